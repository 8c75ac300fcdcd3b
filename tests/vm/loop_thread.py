"""An event loop in a thread of its own, for what outlives the loop of a single test."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")

DEADLINE = 30.0
"""Seconds that anything done in the thread may take: a processor emulated in software is slow."""


class LoopThread:
    """Runs coroutines and functions for callers in other threads."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="hardware")
        self._thread.start()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and block until it is done. Raises TimeoutError after DEADLINE."""
        return asyncio.run_coroutine_threadsafe(_limited(coroutine), self._loop).result()

    async def do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine, and await it. Raises TimeoutError after DEADLINE."""
        future = asyncio.run_coroutine_threadsafe(_limited(coroutine), self._loop)
        return await asyncio.wrap_future(future)

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function in the thread."""

        async def called() -> T:
            return function()

        return await self.do(called())

    def close(self) -> None:
        """Stop the loop, and wait for the thread to end."""
        self.run(self._loop.shutdown_default_executor())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _limited(coroutine: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(DEADLINE):
        return await coroutine
