"""Whose turn it is to open a link: a proxy opens one at a time."""

from __future__ import annotations

import asyncio


class Turn(asyncio.Lock):
    """The turn to open a link over one proxy; who asks first has it first."""

    def __init__(self) -> None:
        super().__init__()
        self._asking = 0

    async def take(self, timeout: float) -> None:
        """Wait for it. Raises TimeoutError after `timeout` seconds."""
        if not (self.locked() or self._asking):
            # There is nothing to wait for, so no deadline to be kept.
            await self.acquire()
            return
        self._asking += 1
        try:
            async with asyncio.timeout(timeout):
                await self.acquire()
        finally:
            self._asking -= 1
