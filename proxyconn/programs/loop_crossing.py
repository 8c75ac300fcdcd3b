"""How programs reach a fleet from whatever event loop they run in.

A fleet lives in one loop. A program that runs in the same one calls it directly; for any other, the
call is made in the fleet's loop, and what the fleet reports is handed to the program's.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, Generic, Protocol, TypeVar

from bleak.exc import BleakBluetoothNotAvailableError, BleakBluetoothNotAvailableReason

from proxyconn.errors import RadioUnavailableError
from proxyconn.fleet.fleet import Fleet

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


class _Call(Generic[T]):
    """A call in the fleet's loop, for a program in another one.

    Args:
        function: what is called and awaited.
        behind: tasks that must end before it begins; it is one of them while it is being cancelled.
    """

    def __init__(
        self, function: Callable[[], Awaitable[T]], behind: set[asyncio.Task[Any]]
    ) -> None:
        self._function = function
        self._behind = behind
        self._has_begun = self._is_cancelled = False
        self._task: asyncio.Task[T] | None = None
        caller = asyncio.current_task()
        self._name = caller.get_name() if caller else None

    def start_in(
        self,
        loop: asyncio.AbstractEventLoop,
        owned: set[asyncio.Task[Any]],
        on_ended: Callable[[], object],
    ) -> None:
        """Begin soon. From any loop; everything else happens in that of the fleet.

        Raises:
            RadioUnavailableError: the loop of the fleet has ended.
        """

        def start() -> None:
            task = self._task = loop.create_task(self._run(), name=self._name)
            owned.add(task)
            task.add_done_callback(end)

        def end(task: asyncio.Task[T]) -> None:
            owned.discard(task)
            self._behind.discard(task)
            # Whoever was cancelled does not look for an error.
            _ = task.cancelled() or task.exception()
            on_ended()

        try:
            loop.call_soon_threadsafe(start)
        except RuntimeError:
            raise _fleet_has_ended() from None

    async def _run(self) -> T:
        while others := self._behind - {self._task}:
            await asyncio.wait(others)
        self._has_begun = True
        if self._is_cancelled:
            self._cancel_soon()
        return await self._function()

    def cancel(self) -> None:
        """Cancel it, but not before it has begun: what never ran has tidied up nothing."""
        self._is_cancelled = True
        assert self._task
        if not self._task.done():
            self._behind.add(self._task)
        if self._has_begun:
            self._cancel_soon()

    def _cancel_soon(self) -> None:
        assert self._task
        self._task.get_loop().call_soon(self._task.cancel)

    def result(self) -> T:
        """Return what the function has returned. Raises what it has raised."""
        assert self._task
        if self._task.cancelled():
            raise _fleet_has_ended()
        return self._task.result()


def _fleet_has_ended() -> RadioUnavailableError:
    return RadioUnavailableError("the event loop that the fleet lived in has ended")


class FleetAccess:
    """A fleet for programs in any loop.

    Args:
        fleet: a fleet that is running, in whatever loop.
        ready: awaited in the fleet's loop until a radio can be used.

    Attributes:
        loop: where the fleet lives.
        backend: the class of its clients.
        links: those that programs have open; only the fleet's loop touches them.

    Raises:
        BleakError: the fleet is not running.
    """

    def __init__(self, fleet: Fleet, ready: Ready) -> None:
        self.fleet = fleet
        self._ready = ready
        self._process = os.getpid()
        self.loop = fleet.loop
        # Not kept alive: who drops a client drops its link.
        self.links: weakref.WeakSet[ProgramLink] = weakref.WeakSet()
        self._calls: set[asyncio.Task[Any]] = set()
        self.backend = fleet.lending().backend()

    async def call(
        self,
        function: Callable[[], Awaitable[T]],
        *,
        behind: set[asyncio.Task[Any]] | None = None,
        patience: float = CANCEL_TIMEOUT,
    ) -> T:
        """Return what `function` returns; it is called and awaited in the fleet's loop.

        If this is cancelled, so is the call once it has begun, as in one loop, and this waits until
        it has ended, for `patience` seconds at most, or until it is cancelled once more.

        Args:
            function: what to call.
            behind: calls that were cancelled and have not ended, of one object, which keeps them:
                what comes after them in the program waits for their end.
            patience: seconds to wait for its end, at most, if this is cancelled.

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
        call = _Call(function, set() if behind is None else behind)
        ended: asyncio.Future[None] = here.create_future()

        def tell_ended() -> None:
            if not ended.done():
                ended.set_result(None)

        call.start_in(self.loop, self._calls, lambda: self.tell(here, tell_ended))
        try:
            await asyncio.shield(ended)
        except asyncio.CancelledError:
            self.ask(call.cancel)
            await asyncio.wait([ended], timeout=patience)
            raise
        return call.result()

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
