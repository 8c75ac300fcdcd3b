"""Runs the GATT benchmark.

One process has the proxies, one proxy for each client; each client has a process of its own. All
are connected at the same time, and every measurement is taken of one after the other, again and
again, so that whatever the machine does meanwhile hits all of them alike.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.process import Process

LEVELS = (1, 20, 100)


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        rounds: times that all clients are started anew.
        repeats: times that each measurement is taken in a round.
        connects, reads, notifications: how many make one measurement.
    """

    rounds: int
    repeats: int
    connects: int
    reads: int
    notifications: int


FULL = Size(rounds=3, repeats=5, connects=10, reads=2000, notifications=20000)
QUICK = Size(rounds=1, repeats=3, connects=5, reads=1000, notifications=5000)

Samples = dict[str, dict[str, list[dict[str, float]]]]
"""Figure -> side -> one result for each time it was measured; those of one time are neighbours."""


@contextmanager
def workers(sides: Sequence[str], loop: str) -> Iterator[dict[str, Process]]:
    """Run the proxies, and a client process for each side, on that kind of event loop."""
    with ExitStack() as stack:
        ways = Process(stack, "gatt.server").hear()
        yield {
            side: Process(stack, "gatt.client", side, str(way["port"]), way["noise_psk"], loop)
            for side in sides
            for way in (ways[side],)
        }


def orders(size: Size) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield every measurement with the name of its figure; no name for what only prepares."""
    yield from connects(size, 0)
    for level in LEVELS:
        yield "", {"do": "level", "connections": level}
        reads = {"do": "reads", "count": size.reads}
        yield "", {**reads, "count": 2 * level}
        yield f"reads, {level}", reads
        for batched in (True, False):
            kind = "batched" if batched else "streamed"
            count = {"count": size.notifications, "batched": batched}
            yield f"notifications {kind}, {level}", {"do": "notifications", **count}
    yield from connects(size, LEVELS[-1])


def connects(size: Size, others: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the connect measurements, beside `others` connections."""
    for cached in (False, True):
        order = {"do": "connects", "count": size.connects, "cached": cached}
        yield "", {**order, "count": 2}
        yield f"connect {'cached' if cached else 'uncached'}, {others} others", order


def run(size: Size, sides: Sequence[str], loop: str) -> Samples:
    """Measure everything; `loop` is the kind of event loop, asyncio or uvloop."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    for round_number in range(size.rounds):
        with workers(sides, loop) as processes:
            for figure, order in orders(size):
                if figure:
                    print(f"round {round_number + 1}: {figure}", file=sys.stderr, flush=True)
                for _ in range(size.repeats if figure else 1):
                    for side, process in processes.items():
                        if side == "bare" and order["do"] != "connects":
                            continue
                        process.tell(order)
                        result = process.hear()
                        if figure:
                            samples[figure][side].append(result)
    return samples
