"""Sees whether a subscription is still ours, by a question that only its holder is answered.

A disconnect request for an address that nobody has is answered to the subscriber, a request for
slots to whoever asked. Both answers show that it is ours, the slots alone that it is not; if
neither arrives the connection hangs, and its keepalive will tell.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Protocol

PROBE_NUMBER = 0x000000000001
"""Address that no device has: the first one of the first OUI that was ever given out."""

PROBE_TIMEOUT = 3.0
"""Seconds for a proxy to answer a probe."""

LATE_TIME = 1.0
"""Seconds for the first answer to come after the second, which is given behind it: what a full
socket refused is sent again each 0.1 s (bluetooth_proxy.cpp, since ESPHome 2026.8)."""


class AskedProxy(Protocol):
    """The proxy that is asked."""

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def request_slots(self) -> None:
        """Ask it for a slot report. Raises RadioUnavailableError."""


class Probe:
    """Asks one proxy, one question at a time.

    Args:
        proxy: the proxy.
        missed: called when the answer to the holder alone has not come.

    Attributes:
        answered_at: when the last one was answered, in the loop's seconds.
        answers: how many were.
        misses: how many in a row were not, since anything has shown that it is ours.
    """

    def __init__(self, proxy: AskedProxy, missed: Callable[[], None]) -> None:
        self._proxy = proxy
        self._missed = missed
        self._timer: asyncio.TimerHandle | None = None
        self._has_slots = False
        self.answered_at = float("-inf")
        self.answers = self.misses = 0
        self._loop = asyncio.get_running_loop()

    def ask(self) -> None:
        """Ask, unless that is under way. Raises RadioUnavailableError if the session ends."""
        if self._timer:
            return
        self._has_slots = False
        self._proxy.send_disconnect(PROBE_NUMBER)
        self._proxy.request_slots()
        self._timer = self._loop.call_later(PROBE_TIMEOUT, self._time_is_up)

    def on_notice(self, number: int) -> bool:
        """Take connected=false for an address; return whether it is the answer."""
        if number != PROBE_NUMBER:
            return False
        self.stop()
        self.answered_at = self._loop.time()
        self.answers += 1
        return True

    def on_slots(self) -> None:
        """Take a slot report: the proxy answers us, whoever the subscriber is."""
        if self._timer and not self._has_slots:
            self._timer.cancel()
            self._timer = self._loop.call_later(LATE_TIME, self._time_is_up)
        self._has_slots = True

    def stop(self) -> None:
        """Wait for no answer any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _time_is_up(self) -> None:
        self._timer = None
        if self._has_slots:
            self.misses += 1
            self._missed()
