"""Ends tasks that ask the bus, though one of them may miss that it was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

CANCEL_AGAIN: Final = 0.5
"""Seconds until a task that goes on is cancelled again: nats-py waits for answers by
`asyncio.wait_for`, which up to Python 3.11 forgets a cancelling that comes with the answer
(cpython issue 86296)."""


async def cancelled(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Return once every task has ended; what they end with is nobody's."""
    left = {task for task in tasks if not task.done()}
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=CANCEL_AGAIN)
