"""Decides what SIGTERM and Ctrl-C do to an owner.

The first one calls off a start, or ends an owner in order whose clients are welcome already. Each
one after that calls off whatever is waited for.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, Final

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


class Ending:
    """The end of an owner.

    Attributes:
        told: set once it is time to end.
    """

    def __init__(self) -> None:
        self.told = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._in_order = False

    def clients_are_welcome(self) -> None:
        """The start is over: from now on the first signal does not call anything off."""
        self._in_order = True

    def tell(self) -> None:
        """A signal has come."""
        called_off = self.told.is_set() or not self._in_order
        self.told.set()
        if self._task and called_off:
            self._task.cancel()

    async def until_told(self, run: Callable[[Ending], Coroutine[Any, Any, None]]) -> None:
        """Run an owner to its end, or until its start is called off.

        Raises:
            CancelledError: it did not end in order, as it was told to twice.
        """
        self._task = asyncio.get_running_loop().create_task(run(self))
        with self._told_by_signals():
            try:
                await self._task
            except asyncio.CancelledError:
                caller = asyncio.current_task()
                if self._in_order or not self.told.is_set() or (caller and caller.cancelling()):
                    raise

    @contextlib.contextmanager
    def _told_by_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        # Not on Windows, nor off the main thread.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            for number in SIGNALS:
                loop.add_signal_handler(number, self.tell)
        try:
            yield
        finally:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                for number in SIGNALS:
                    loop.remove_signal_handler(number)
