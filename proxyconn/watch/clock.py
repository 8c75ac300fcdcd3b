"""The event loop's seconds as Unix seconds, the same for the same moment."""

from __future__ import annotations

import asyncio
import time


class WallClock:
    """Says when something was.

    Args:
        loop: whose seconds are meant.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._offset = time.time() - loop.time()

    def at(self, seconds: float) -> float:
        """Return the Unix seconds of a moment in the loop's seconds, rounded to milliseconds."""
        return round(self._offset + seconds, 3)

    def tenths(self, seconds: float) -> float:
        """Return the same, cut to tenths of a second."""
        # For every advertisement, and three times as fast as round().
        return int((self._offset + seconds) * 10) / 10

    def now(self) -> float:
        """Return the Unix seconds of this moment."""
        return self.at(self._loop.time())
