"""The clocks of a run, and what is left on them at its end.

The virtual clock leaps to the next timer whenever nothing is ready: the sockets are real, all of
them on loopback and both ends in this process, so that what has been sent has arrived by then.
"""

from __future__ import annotations

import asyncio
import faulthandler
import selectors
import threading
from collections.abc import Callable
from typing import Any, Self, TypeVar, TypeVarTuple, Unpack
from weakref import WeakValueDictionary

import looptime

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

NO_OP_CYCLES = 6
"""Looks at the sockets with nothing there before the virtual clock leaps."""

PATIENT_LOOK = 4
"""Which of them waits for a moment: a busy machine delivers late even what stays on it."""

PATIENCE = 0.0002
"""Seconds of the world that it waits."""

STANDSTILL = 30.0
"""Seconds of the world in which the clock of the loop must move."""


class TimerLog(asyncio.SelectorEventLoop):
    """A loop that knows its timers."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._timers: WeakValueDictionary[int, asyncio.TimerHandle] = WeakValueDictionary()
        super().__init__(*args, **kwargs)

    def call_at(
        self,
        when: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Any = None,
    ) -> asyncio.TimerHandle:
        """Remember the timer as well."""
        handle = super().call_at(when, callback, *args, context=context)
        self._timers[id(handle)] = handle
        return handle

    def call_later(
        self,
        delay: float,
        callback: Callable[[Unpack[Ts]], object],
        *args: *Ts,
        context: Any = None,
    ) -> asyncio.TimerHandle:
        """Remember the timer as well."""
        return self.call_at(self.time() + delay, callback, *args, context=context)

    def pending_timers(self) -> list[asyncio.TimerHandle]:
        """Return the timers that are still to fire."""
        now = self.time()
        return [
            handle
            for handle in self._timers.values()
            if not handle.cancelled() and handle.when() > now
        ]


class _PatientSelector(selectors.SelectSelector):
    """Waits for a moment before it says that nothing is there, for so long that a leap is near."""

    def __init__(self) -> None:
        super().__init__()
        self._in_vain = 0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Look, and look again."""
        ready = super().select(timeout)
        self._in_vain = 0 if ready or timeout != 0 else self._in_vain + 1
        return super().select(PATIENCE) if self._in_vain == PATIENT_LOOK else ready


class VirtualLoop(looptime.LoopTimeEventLoop, TimerLog):
    """A loop that leaps over all waiting."""

    def __init__(self) -> None:
        super().__init__(_PatientSelector(), noop_cycles=NO_OP_CYCLES)

    def run_in_executor(
        self, executor: Any, func: Callable[[Unpack[Ts]], T], *args: *Ts
    ) -> asyncio.Future[T]:
        """Do it here and now: a thread would take time of the world, never twice the same."""
        future: asyncio.Future[T] = self.create_future()
        try:
            future.set_result(func(*args))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
            future.set_exception(error)
        return future


LOOPS: dict[str, Callable[[], TimerLog]] = {"virtual": VirtualLoop, "real": TimerLog}


class StandstillGuard:
    """Ends a run whose clock stands still because something goes round and round.

    Attributes:
        tripped: whether that happened; the tracebacks are on standard error then.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, end: Callable[[], object]) -> None:
        self.tripped = False
        self._loop = loop
        self._end = end
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        last = self._loop.time()
        while not self._over.wait(STANDSTILL):
            now = self._loop.time()
            if now == last:
                self.tripped = True
                faulthandler.dump_traceback()
                self._loop.call_soon_threadsafe(self._end)
                return
            last = now
