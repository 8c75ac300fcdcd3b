"""What outlives its owner: tasks, timers and descriptors, and memory."""

from __future__ import annotations

import asyncio
import gc
import os
import resource
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Self

from .clock import TimerLog
from .record import Record

DESCRIPTORS: Final = Path("/proc/self/fd")
CAN_COUNT: Final = DESCRIPTORS.is_dir()
STATM: Final = Path("/proc/self/statm")

MEMORY_TOLERANCE: Final = 16e6
"""Bytes by which a process may be larger after a storm: it does not give all of a peak back."""

BLOCKS_TOLERANCE: Final = 0.1
"""Share by which Python may have more blocks of memory in use after a storm."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Memory in use: bytes of the process that are resident, and blocks that Python has given."""

    resident: int
    blocks: int

    @classmethod
    def now(cls) -> Self:
        """Return what is in use once the garbage is gone."""
        gc.collect()
        pages = int(STATM.read_text().split()[1]) if STATM.exists() else 0
        return cls(pages * resource.getpagesize(), sys.getallocatedblocks())


def mind_memory(before: Memory, after: Memory, record: Record) -> None:
    """See to it that memory is back at its level."""
    resident = after.resident - before.resident
    blocks = after.blocks / before.blocks - 1
    if resident > MEMORY_TOLERANCE or blocks > BLOCKS_TOLERANCE:
        record.violate(
            "memory is back at its level after a storm",
            f"{resident / 1e6:+.1f} MB resident, {blocks:+.1%} blocks",
        )


def descriptors() -> set[tuple[str, str]]:
    """Return number and target of every open file descriptor; nothing where /proc is missing.

    Data files of packages do not count: some keep theirs open.
    """
    found = set()
    for name in os.listdir(DESCRIPTORS) if CAN_COUNT else ():
        try:
            target = os.readlink(DESCRIPTORS / name)
        except FileNotFoundError:  # the descriptor of this very listing
            continue
        if not target.startswith(sys.prefix):
            found.add((name, target))
    return found


class Leftovers:
    """Compares the end of a run with its begin."""

    def __init__(self, tasks: set[asyncio.Task[Any]], open_before: set[tuple[str, str]]) -> None:
        self._tasks = tasks
        self._descriptors = open_before

    @classmethod
    async def begin(cls) -> Self:
        """Look at what there is."""
        return cls(asyncio.all_tasks(), await asyncio.to_thread(descriptors))

    async def mind(self, record: Record) -> None:
        """See to it that nothing is left."""
        await asyncio.sleep(0.01)  # transports close in the turn after close()
        loop = asyncio.get_running_loop()
        timers = loop.pending_timers() if isinstance(loop, TimerLog) else []
        gc.collect()
        opened = await asyncio.to_thread(descriptors) - self._descriptors
        left = {
            "task": [repr(task) for task in asyncio.all_tasks() - self._tasks],
            "timer": [repr(timer) for timer in timers],
            "descriptor": [" ".join(one) for one in opened],
        }
        for what, those in left.items():
            for one in those:
                record.violate(f"no {what} outlives its owner", one)
