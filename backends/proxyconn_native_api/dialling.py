"""A device that calls its client, instead of waiting to be called.

The rules and clocks are those of ESPHome 2026.10, api_outgoing_connection.cpp, which the YAML block
`api: outgoing_connection:` switches on.
"""

from __future__ import annotations

import asyncio
import ipaddress
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from proxyconn_native_api.session import Session

DEFAULT_PORT: Final = 6054
"""TCP port that is called unless the YAML says another one."""

FIRST_RETRY: Final = 5.0
"""Seconds until a call that failed is repeated; each further one waits twice as long."""

LONGEST_RETRY: Final = 300.0
JITTER: Final = 0.2
"""Part of such a time by which it may be shorter or longer, so that no fleet calls in lockstep."""

CONNECT_TIMEOUT: Final = 10.0
PRECONDITION_RETRY: Final = 5.0
"""Seconds until the next look if nobody can be called now."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OutgoingConnection:
    """Whom a device calls, and when.

    Attributes:
        host: IP address to call; None for the last client that declared itself a target.
        port: TCP port to call.
        delay: seconds after boot, and after the loss of the target, before the first call. A device
            that sleeps calls at once, and 5 s after a loss.
        longest_retry: seconds between two calls at most; the firmware's, or less to try things out.

    Raises:
        ValueError: the host is no IP address: the firmware resolves no names.
    """

    host: str | None = None
    port: int = DEFAULT_PORT
    delay: float = 60.0
    longest_retry: float = LONGEST_RETRY

    def __post_init__(self) -> None:
        if self.host is not None:
            ipaddress.ip_address(self.host)


Call = Callable[[str, int], Awaitable[Session | None]]
"""Calls a client; None if the client table is full by then. Raises OSError."""


class Dialler:
    """Calls a client whenever there is none that may be called.

    Args:
        settings: whom to call, and when.
        call: calls somebody.
        can_call: whether there is room for another client.
        sleeps: whether the device is a deep sleeper.
        chance: of the jitter.

    Attributes:
        remembered: address of the last client that declared itself a target, kept in flash.
        calls: how many calls were made.
    """

    def __init__(
        self,
        settings: OutgoingConnection,
        call: Call,
        can_call: Callable[[], bool],
        *,
        sleeps: bool,
        chance: random.Random,
    ) -> None:
        self.remembered: str | None = None
        self.calls = 0
        self._settings = settings
        self._call = call
        self._can_call = can_call
        self._boot_wait = 0.0 if sleeps else settings.delay
        self._idle_wait = FIRST_RETRY if sleeps else settings.delay
        self._chance = chance
        self._first_retry = min(FIRST_RETRY, settings.longest_retry)
        self._targets: set[Session] = set()
        self._changed = asyncio.Event()
        self._backoff = self._first_retry

    def target_declared(self, session: Session) -> None:
        """Take a client that may be called: there is nobody to call while it is here."""
        self._targets.add(session)
        self._backoff = self._first_retry
        if self._settings.host is None:
            self.remembered = session.peer
        self._changed.set()

    def session_closed(self, session: Session) -> None:
        """Forget a client that is gone."""
        self._targets.discard(session)
        self._changed.set()

    async def run(self) -> None:
        """Call, from power-on until cancelled."""
        self._targets.clear()
        self._backoff = self._first_retry
        wait = self._boot_wait
        while True:
            if self._targets:
                await self._until(lambda: not self._targets)
                wait = self._idle_wait
            try:
                async with asyncio.timeout(wait):
                    await self._until(lambda: bool(self._targets))
            except TimeoutError:
                wait = await self._try()

    async def _until(self, met: Callable[[], bool]) -> None:
        while not met():
            self._changed.clear()
            await self._changed.wait()

    async def _try(self) -> float:
        """Make a call, and live through it; return the seconds until the next one."""
        host = self._settings.host or self.remembered
        if host is None or not self._can_call():
            return PRECONDITION_RETRY
        self.calls += 1
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT):
                session = await self._call(host, self._settings.port)
        except (OSError, TimeoutError):
            return self._retry()
        if session is None:
            return PRECONDITION_RETRY
        await session.closed
        if not session.greeted:
            return self._retry()
        self._backoff = self._first_retry
        return self._idle_wait

    def _retry(self) -> float:
        wait = self._backoff * self._chance.uniform(1 - JITTER, 1 + JITTER)
        self._backoff = min(2 * self._backoff, self._settings.longest_retry)
        return wait
