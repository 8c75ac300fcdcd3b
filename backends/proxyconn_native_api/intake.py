"""How slowly a server takes what its clients send it."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Intake:
    """A server that is busy with something else, as a proxy is with its radio.

    Attributes:
        rate: messages it takes in a second.
        buffer: bytes of each client's receive buffer, of which Linux makes twice as many; an ESP32
            has about 5760.
    """

    rate: float
    buffer: int = 4096


class SlowIntake:
    """Takes messages one by one, and reads no more before it has taken them.

    Args:
        intake: how slowly.
        transport: where they come from.
        later: calls a function after some seconds, unless the connection is over.
        take: takes one message.
        resume: reads on.
    """

    def __init__(
        self,
        intake: Intake,
        transport: asyncio.Transport,
        later: Callable[[float, Callable[[], None]], None],
        take: Callable[[int, bytes], None],
        resume: Callable[[], None],
    ) -> None:
        self._wait = 1.0 / intake.rate
        self._transport = transport
        self._later = later
        self._take = take
        self._resume = resume
        self._waiting: deque[tuple[int, bytes]] = deque()
        if hasattr(transport, "max_size"):  # asyncio's own has; others need not
            transport.max_size = intake.buffer

    @property
    def is_full(self) -> bool:
        """Whether something waits to be taken."""
        return bool(self._waiting)

    def add(self, messages: Iterable[tuple[int, bytes]]) -> None:
        """Take these after those that wait."""
        was_full = self.is_full
        self._waiting.extend(messages)
        if self.is_full and not was_full:
            self._transport.pause_reading()
            self._later(self._wait, self._next)

    def _next(self) -> None:
        number, payload = self._waiting.popleft()
        if self._waiting:
            self._later(self._wait, self._next)
        self._take(number, payload)
        if not self._waiting:
            self._resume()
