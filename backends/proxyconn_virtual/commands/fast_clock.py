"""An event loop whose clock skips the waiting: a story of minutes is told in seconds.

What happens is real, the network included, and takes the time it takes. Whenever nothing is left to
do, the clock goes on to the next timer at once.
Made for programs that talk to nobody but themselves: others would be left behind.
"""

from __future__ import annotations

import asyncio
import selectors

GRACE = 0.001
"""Seconds for what was sent over loopback to arrive before nothing counts as left to do."""


class _SkippingSelector(selectors.DefaultSelector):
    """Looks for events, and skips the time for which there are none.

    Attributes:
        skipped: seconds that were skipped.
    """

    skipped = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        """Return the events of the moment; skip `timeout` seconds if there are none."""
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(min(timeout, GRACE))
        if not ready:
            self.skipped += timeout
        return ready


class FastLoop(asyncio.SelectorEventLoop):
    """A loop with a clock that skips."""

    def __init__(self) -> None:
        self._skipping = _SkippingSelector()
        super().__init__(self._skipping)

    def time(self) -> float:
        """Return the time in seconds, what was skipped included."""
        return super().time() + self._skipping.skipped

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        """Wait for the threads, however long: they know nothing of a clock that skips."""
        await super().shutdown_default_executor()
