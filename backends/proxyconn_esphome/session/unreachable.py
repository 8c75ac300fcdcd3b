"""Why there is no session with a proxy, and how long that is no news."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxyconn.radio import RadioState
from proxyconn_esphome.wire.problems import Problem

RETURN_TIMEOUT = 15.0
"""Seconds for a proxy to come back before it is called gone: most reboots and WiFi drops take less,
and all of them would have every display flicker."""


class Unreachable:
    """What to say of a proxy while there is no session with it.

    Args:
        on_change: called when `state` or `problem` became another one by the mere lapse of time.

    Attributes:
        state: CONNECTING, or that of `problem`.
        problem: why there is no session; None while that is still no news.
        is_lasting: whether a session was lost, and an attempt to have it again has failed.
    """

    def __init__(self, on_change: Callable[[], None]) -> None:
        self.state = RadioState.CONNECTING
        self.problem: Problem | None = None
        self.is_lasting = False
        self._reason: Problem | None = None
        self._on_change = on_change
        self._timer: asyncio.TimerHandle | None = None

    def lost(self, why: str) -> None:
        """The session has ended; the proxy gets RETURN_TIMEOUT to come back."""
        if self.problem and self.problem.lasting:
            return
        self._settle(None)
        self._reason = Problem(RadioState.GONE, f"its session has ended: {why}")
        self._timer = asyncio.get_running_loop().call_later(RETURN_TIMEOUT, self._too_long)

    def failed(self, problem: Problem) -> None:
        """An attempt to connect has failed."""
        if self._timer and not problem.lasting:
            self._reason, self.is_lasting = problem, True
        else:
            self._settle(problem)

    def said_goodbye(self) -> None:
        """MDNS says that the proxy has left the network, so it is not waited for."""
        if self._timer:
            self._too_long()

    def over(self) -> None:
        """There is a session."""
        self._settle(None)

    def _settle(self, problem: Problem | None) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
        self.is_lasting = False
        self.problem = problem
        self.state = problem.state if problem else RadioState.CONNECTING

    def _too_long(self) -> None:
        self._settle(self._reason)
        self._on_change()
