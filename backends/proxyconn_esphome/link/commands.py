"""What one link sends without waiting for a reply, and the replies that come all the same.

The firmware may answer a write without response like any other, milliseconds after it has read it,
and in words that do not tell which write is meant.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable

from proxyconn.radio import RadioError
from proxyconn_esphome.link.command_flow import CommandFlow, Line

STRAY_REPLY_TIME = 0.2
"""Seconds in which the firmware may still answer a write that wants no response."""


class Commands:
    """The writes without response of one link.

    Args:
        turn: held by the link's request in flight.
        flow: lets the links of a proxy send by turns; None for no limit.

    Attributes:
        line: those that wait for their turn.
        strays: handle -> when something was last sent that may bring a stray reply for it.
        asked: handle -> requests about it that wait for the link's turn.
    """

    def __init__(self, turn: asyncio.Lock, flow: CommandFlow | None) -> None:
        self.line = Line()
        self.strays: dict[int, float] = {}
        self.asked: defaultdict[int, int] = defaultdict(int)
        self._turn = turn
        self._behind = 0
        self._flow = flow
        self._loop = asyncio.get_running_loop()

    async def send(self, transmit: Callable[[], None], *, is_asked_about: bool) -> None:
        """Call `transmit` once it may be sent; `is_asked_about` if a request has its handle.

        The reply to that request and a stray one could not be told apart. What comes later on this
        link stays behind.
        """
        if not (is_asked_about or self._behind):
            await self._send(transmit)
            return
        self._behind += 1
        try:
            async with self._turn:
                await self._send(transmit)
        finally:
            self._behind -= 1

    async def _send(self, transmit: Callable[[], None]) -> None:
        if self._flow:
            await self._flow.send(self.line, transmit)
        else:
            transmit()

    def note(self, handle: int) -> None:
        """Take note that a stray reply may come for `handle` from now on."""
        self.strays[handle] = self._loop.time()

    async def strays_over(self, handle: int) -> None:
        """Wait until no stray reply for `handle` can be taken for that to the next request."""
        noted = self.strays[handle]
        begun = noted
        if self._flow and await self._flow.all_read():
            begun = self._loop.time()
        if (wait := begun + STRAY_REPLY_TIME - self._loop.time()) > 0:
            await asyncio.sleep(wait)
        if self.strays.get(handle) == noted:
            del self.strays[handle]

    def end(self, error: RadioError) -> None:
        """Fail all that waits."""
        if self._flow:
            self._flow.end(self.line, error)
