"""How programs reach a fleet from whatever event loop they run in.

A fleet lives in one loop. A program that runs in the same one calls it directly; for any other, the
call is made in the fleet's loop, and what the fleet reports is handed to the program's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from collections.abc import Awaitable, Callable
from typing import Any, Protocol, TypeVar

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason

from proxyconn._errors import RadioUnavailableError
from proxyconn._fleet import Fleet

LINKS_TIMEOUT = 3.0
"""Seconds for closing the links that programs have left open."""

CANCEL_TIMEOUT = 10.0
"""Seconds that a cancelled call gets in the fleet's loop to leave nothing behind."""

_LOGGER = logging.getLogger(__name__)

T = TypeVar("T")

Ready = Callable[[], Awaitable[object]]
"""Returns once a radio can be used; raises RadioUnavailableError if none can."""


class ProgramLink(Protocol):
    """A link that a program has open."""

    @property
    def is_abandoned(self) -> bool:
        """Whether the loop that it was opened for has ended."""
        ...

    async def close(self) -> None:
        """Close it. To be called in the fleet's loop."""
        ...


class FleetAccess:
    """A fleet for programs in any loop.

    Args:
        fleet: a fleet that is running in the loop of the caller.
        ready: awaited in the fleet's loop until a radio can be used.

    Attributes:
        loop: where the fleet lives.
        links: those that programs have open; only the fleet's loop touches them.

    Raises:
        RuntimeError: no loop is running.
        BleakError: the fleet is not running.
    """

    def __init__(self, fleet: Fleet, ready: Ready) -> None:
        self.fleet = fleet
        self._ready = ready
        self._process = os.getpid()
        self.loop = asyncio.get_running_loop()
        self.links: set[ProgramLink] = set()
        # Raises if the fleet is not running.
        _ = fleet.radios

    async def call(self, function: Callable[[], Awaitable[T]]) -> T:
        """Return what `function` returns; it is called and awaited in the fleet's loop.

        If this is cancelled, so is the call, and this waits until it has ended.

        Raises:
            RadioUnavailableError: the loop of the fleet has ended, or is another process's.
        """
        here = asyncio.get_running_loop()
        if here is self.loop:
            return await function()
        if os.getpid() != self._process:
            raise RadioUnavailableError(
                "the fleet lives in the process that this one was forked from; use it there, "
                "or run a fleet here"
            )
        return await self._cross(here, function)

    async def _cross(
        self, here: asyncio.AbstractEventLoop, function: Callable[[], Awaitable[T]]
    ) -> T:
        ended: asyncio.Future[None] = here.create_future()
        calls: list[asyncio.Task[T]] = []

        async def call() -> T:
            return await function()

        def end(call: asyncio.Task[T]) -> None:
            # Whoever was cancelled does not look for an error.
            _ = call.cancelled() or call.exception()
            self.tell(here, ended.set_result, None)

        def start() -> None:
            calls.append(self.loop.create_task(call()))
            calls[0].add_done_callback(end)

        def cancel() -> None:
            calls[0].cancel()

        try:
            self.loop.call_soon_threadsafe(start)
        except RuntimeError:
            raise self._ended() from None
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self.ask(cancel)
            await asyncio.wait([ended], timeout=CANCEL_TIMEOUT)
            raise
        if calls[0].cancelled():
            raise self._ended()
        return calls[0].result()

    def _ended(self) -> RadioUnavailableError:
        return RadioUnavailableError("the event loop that the fleet lived in has ended")

    async def close_abandoned(self) -> None:
        """Close the links that were left open in loops which have ended since."""
        await self._close([link for link in self.links if link.is_abandoned])

    async def close_links(self) -> None:
        """Close every link that programs have open, for as long as LINKS_TIMEOUT at most."""
        await self._close(list(self.links))

    async def _close(self, links: list[ProgramLink]) -> None:
        try:
            async with asyncio.timeout(LINKS_TIMEOUT):
                closing = [link.close() for link in links]
                for outcome in await asyncio.gather(*closing, return_exceptions=True):
                    if outcome:
                        _LOGGER.debug("a link was not closed: %r", outcome)
        except TimeoutError:
            _LOGGER.debug("links were not closed within %g s", LINKS_TIMEOUT)

    def tell(
        self, loop: asyncio.AbstractEventLoop, callback: Callable[..., object], *args: Any
    ) -> None:
        """Call `callback` in `loop`, at once if it is the fleet's own; else soon, and in order.

        To be called in the fleet's loop. In a loop that was closed, there is nobody to tell.
        """
        if loop is self.loop:
            callback(*args)
            return
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(callback, *args)

    def ask(self, callback: Callable[..., object], *args: Any) -> None:
        """Have `callback` called soon in the fleet's loop, if that is still there."""
        with contextlib.suppress(RuntimeError):
            self.loop.call_soon_threadsafe(callback, *args)

    async def ready(self) -> None:
        """Wait until a radio can be used. To be called in the fleet's loop.

        Raises:
            BleakBluetoothNotAvailableError: none can; says why.
        """
        try:
            await self._ready()
        except RadioUnavailableError as exc:
            reason = BleakBluetoothNotAvailableReason.NO_BLUETOOTH
            raise BleakBluetoothNotAvailableError(str(exc), reason) from exc
