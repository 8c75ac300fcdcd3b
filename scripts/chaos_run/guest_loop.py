"""A second event loop in the thread, and on the clock, of the first.

What crosses from one loop to another does so as between threads, but always in the same order, and
a clock that leaps can leap for both.
"""

from __future__ import annotations

import asyncio
from asyncio import _set_running_loop
from collections.abc import Callable, Coroutine
from typing import Any, TypeVarTuple, Unpack

Ts = TypeVarTuple("Ts")

AHEAD = 3
"""Turns of the guest in one of the host, at most: a thread would get as far ahead, now and then."""


class GuestLoop(asyncio.SelectorEventLoop):
    """A loop without sockets that its host runs, one step at a time, whenever it has work.

    Args:
        host: the loop that runs.
    """

    def __init__(self, host: asyncio.AbstractEventLoop) -> None:
        self._host = host
        self._timer: asyncio.TimerHandle | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._reached = 0.0
        self._is_asked = False
        super().__init__()

    def time(self) -> float:
        """Return the time of the host, which may call a timer a moment too soon."""
        return max(self._host.time(), self._reached)

    def call_soon(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Any = None,
    ) -> asyncio.Handle:
        """Ask the host for a step as well."""
        handle = super().call_soon(callback, *args, context=context)
        self._ask()
        return handle

    def call_soon_threadsafe(
        self,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Any = None,
    ) -> asyncio.Handle:
        """Do as `call_soon`: there is one thread."""
        return self.call_soon(callback, *args, context=context)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Any = None,
    ) -> asyncio.TimerHandle:
        """Let the host know when."""
        handle = super().call_at(when, callback, *args, context=context)
        self._timers.add(handle)
        if self._timer is None or when < self._timer.when():
            self._arm(when)
        return handle

    def _arm(self, when: float) -> None:
        if self._timer:
            self._timer.cancel()
        self._timer = self._host.call_at(when, self._due)

    def _due(self) -> None:
        if self._timer:
            self._reached = self._timer.when()
        self._timer = None
        self._ask()

    def _ask(self) -> None:
        if not self._is_asked:
            self._is_asked = True
            self._host.call_soon(self._step)

    def _step(self) -> None:
        if self.is_closed():
            return
        _set_running_loop(None)
        try:
            for _ in range(AHEAD):
                self._is_asked = False
                # A loop that is stopped beforehand does what is due, and returns.
                self.stop()
                self.run_forever()
                if not self._is_asked:
                    break
        finally:
            _set_running_loop(self._host)
        now = self.time()
        self._timers = {one for one in self._timers if not one.cancelled() and one.when() > now}
        if self._timers:
            self._arm(min(one.when() for one in self._timers))

    async def run(self, coroutine: Coroutine[Any, Any, None]) -> None:
        """Run a coroutine here, for a task of the host."""
        task = self.create_task(coroutine)
        ended = asyncio.Event()
        task.add_done_callback(lambda _: ended.set())
        try:
            await ended.wait()
        finally:
            if not task.done():
                task.cancel()
                await ended.wait()
        task.result()

    def close(self) -> None:
        """Ask the host for nothing any more."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        super().close()
