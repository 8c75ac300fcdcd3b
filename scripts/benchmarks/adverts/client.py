"""One client process of the advertisement benchmark.

Arguments: the side, how many devices there are; the first line of the input has the proxies' ports
and keys. Each further line is an order, and each line of the output its result. The end of the
input ends it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from .sides import SIDES, Count

LOST = 30.0
"""Seconds after which a marker that has not come is taken for lost."""


def resident() -> float:
    """Return the memory that this process holds, in MB; 0 where Linux is not there to tell."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0.0
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) / 1024


def say(result: dict[str, Any]) -> None:
    """Print a line."""
    print(json.dumps(result), flush=True)


class Client:
    """A side, and what can be measured with it."""

    def __init__(self, count: Count) -> None:
        self._count = count

    async def take(self) -> dict[str, Any]:
        """Look away until told to look, then take everything up to the marker."""
        count = self._count
        count.marked.clear()
        count.calls = 0
        say({})
        sys.stdin.readline()  # blocks the loop, as it shall
        cpu = time.process_time()
        async with asyncio.timeout(LOST):
            await count.marked.wait()
        return {"cpu": time.process_time() - cpu, "calls": count.calls}

    async def watch(self, seconds: float) -> dict[str, Any]:
        """Take what comes for some time."""
        self._count.calls = 0
        gc.collect()
        cpu, wall = time.process_time(), time.perf_counter()
        await asyncio.sleep(seconds)
        return {
            "cpu": time.process_time() - cpu,
            "seconds": time.perf_counter() - wall,
            "calls": self._count.calls,
        }

    async def memory(self) -> dict[str, Any]:
        """Return how much memory is held."""
        gc.collect()
        return {"rss": resident()}


async def run(side: str, devices: int) -> None:
    """Carry out orders until there are none left."""
    loop = asyncio.get_running_loop()
    count = Count()
    client = Client(count)
    async with AsyncExitStack() as stack:
        ways = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
        await SIDES[side]().start(stack, ways, devices, count)
        say(await client.memory())
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            say(await getattr(client, order.pop("do"))(**order))


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2])))
