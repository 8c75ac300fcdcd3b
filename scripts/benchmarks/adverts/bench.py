"""Runs the advertisement benchmark.

The proxies are in one process, each client in one of its own. A measurement is a burst: the client
looks away while some hundred messages are sent, and its CPU time is taken while it takes them, so
that what it pays for is the messages and not the waking up, and so that the sender never limits it.
Each burst goes to one side after the other, again and again, so that whatever else the machine does
hits all alike.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from scripts.benchmarks.process import Process

from .sides import SIDES
from .traffic import BATCH

BURST = 200
"""Messages of a burst; what they take fits into a socket's buffers."""

ADVERTS = BURST * BATCH + 1
"""Advertisements of a burst; the last is the marker."""

WARM_UP = 3
"""Times that every device is heard, at least, before anything is measured."""

SETTLE = 3.0
"""Seconds, at most, that a fleet of many gets before it is watched."""

FLAT_SIDES = ("ours", "ours-changes", "peer", "peer-every")
"""Who is measured with any number of devices; all are with the first one."""


PACED_SIDES = ("ours", "peer")
"""Who is measured behind many proxies."""

RATIOS = {"every": ("ours", "peer-every"), "changes": ("ours-changes", "peer")}
"""What the callback is called with -> whose figures compare."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        devices: how many devices; the first of the numbers is that of the comparison.
        changing: share of the advertisements, 0..1, that say something new.
        seconds: for each number of devices, and for the fleet of many proxies.
        proxies: of the fleet of many.
        rate: advertisements a second that each of those reports.
    """

    devices: tuple[int, ...] = (200, 10, 100, 1000, 10000)
    changing: float = 0.3
    seconds: float = 15.0
    proxies: int = 200
    rate: int = 100


@contextmanager
def started(sides: Sequence[str], devices: int, size: Size, proxies: int = 1) -> Iterator[_Run]:
    """Run the proxies, and a client process for each side."""
    with ExitStack() as stack:
        names = [f"{side}-{number}" for side in sides for number in range(proxies)]
        server = Process(stack, "adverts.server", str(devices), str(size.changing), *names)
        ways = iter(server.hear())
        clients = {side: Process(stack, "adverts.client", side, str(devices)) for side in sides}
        empty = {}
        for side, client in clients.items():
            empty[side] = client.ask([next(ways) for _ in range(proxies)])["rss"]
        yield _Run(server, clients, empty)


@dataclass
class _Run:
    """The processes of one run.

    Attributes:
        server: that of the proxies.
        clients: side -> its process.
        empty: side -> MB that its process held before it heard anything.
    """

    server: Process
    clients: dict[str, Process]
    empty: dict[str, float]

    def burst(self, side: str) -> dict[str, float]:
        """Send a burst to one side; return what it says."""
        client = self.clients[side]
        client.ask({"do": "take"})
        sent = self.server.ask({"proxy": f"{side}-0", "batches": BURST})
        if sent["lost"]:
            raise RuntimeError(f"the sockets are too small: {sent['lost']} messages lost")
        result: dict[str, float] = client.ask({})
        return result


def compare(sides: Sequence[str], devices: int, size: Size) -> dict[str, Any]:
    """Measure advertisements handled for each second of CPU."""
    samples: dict[str, list[float]] = defaultdict(list)
    calls: dict[str, float] = defaultdict(float)
    with started(sides, devices, size) as run:
        for _ in range(1 + WARM_UP * devices // ADVERTS):
            for side in sides:
                run.burst(side)
        end = time.monotonic() + size.seconds
        while time.monotonic() < end:
            for side in sides:
                result = run.burst(side)
                samples[side].append(ADVERTS / result["cpu"])
                calls[side] += result["calls"]
        held = {side: client.ask({"do": "memory"})["rss"] for side, client in run.clients.items()}
    return {
        "devices": devices,
        "ratios": {
            what: statistics.median(
                ours / peer for ours, peer in zip(samples[a], samples[b], strict=True)
            )
            for what, (a, b) in RATIOS.items()
        },
        "sides": {
            side: {
                "per_cpu_second": statistics.median(found),
                "us": 1e6 / statistics.median(found),
                "calls": calls[side] / (len(found) * ADVERTS),
                "rss": held[side],
                "rss_grown": held[side] - run.empty[side],
                "samples": found,
            }
            for side, found in samples.items()
        },
    }


def pace(side: str, size: Size) -> dict[str, Any]:
    """Measure the share of a CPU that a fleet of many proxies takes."""
    devices = size.proxies * 5
    with started([side], devices, size, size.proxies) as run:
        settle = min(SETTLE, size.seconds)
        order = {"rate": size.rate, "seconds": settle + size.seconds + 1}
        run.server.tell(order)
        client = run.clients[side]
        client.ask({"do": "watch", "seconds": settle})
        watched = client.ask({"do": "watch", "seconds": size.seconds})
        sent = run.server.hear()
        held = client.ask({"do": "memory"})["rss"]
    return {
        "share": watched["cpu"] / watched["seconds"],
        "sent_per_second": sent["adverts"] / sent["seconds"],
        "calls_per_second": watched["calls"] / watched["seconds"],
        "lost": sent["lost"],
        "devices": devices,
        "rss": held,
    }


def run(size: Size) -> dict[str, Any]:
    """Measure everything."""
    found: dict[str, Any] = {"compared": [], "paced": {}}
    for number, devices in enumerate(size.devices):
        print(f"{devices} devices", file=sys.stderr, flush=True)
        sides = FLAT_SIDES if number else tuple(SIDES)
        found["compared"].append(compare(sides, devices, size))
    for side in PACED_SIDES if size.proxies else ():
        print(f"{size.proxies} proxies, {side}", file=sys.stderr, flush=True)
        found["paced"][side] = pace(side, size)
    return found
