"""Measures how the CPU of owners grows: with their proxies, and with the number of owners.

So many proxies, shared out among so many owners, hear advertisements. First nobody in the cluster
wants to hear of them (*quiet*), then one program wants all (*telling*). Owners have their leases,
their loop and everything else that `proxyconn serve` gives them in a cluster. What is measured is
the CPU time of each process, which other processes do not add to; of several windows the median.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean, median

from scripts.benchmarks.process import Process

from . import linear, world
from .broker import start_broker
from .members import started
from .size import Size, note

STATE = {"do": "state"}

PHASES = ("quiet", "telling")


@dataclass(frozen=True, eq=False)
class Grown:
    """What was measured of some owners.

    Attributes:
        owners, proxies: how many.
        used: phase -> CPU seconds per second of each owner.
        sent: advertisements a second that the proxies sent.
        passed_on: advertisements a second that reached the program.
        program: CPU seconds per second of the program that hears them.
    """

    owners: int
    proxies: int
    used: dict[str, list[float]]
    sent: float
    passed_on: float
    program: float

    @property
    def per_cpu_second(self) -> float:
        """Advertisements passed on for each CPU second of the owners, hearing them included."""
        return self.passed_on / sum(self.used["telling"])


def growth(size: Size) -> list[Grown]:
    """Measure owners without proxies, then with more and more."""
    found = []
    for proxies in (0, *size.proxies):
        for owners in size.owners:
            note(f"{proxies} proxies on {owners} owners")
            found.append(_grown(size, owners, proxies))
    return found


def points(grown: Sequence[Grown], phase: str) -> list[tuple[Grown, linear.Point]]:
    """Return all that have proxies, each as a point of one phase."""
    used = {(one.owners, one.proxies): fmean(one.used[phase]) for one in grown}
    return [
        (
            one,
            linear.Point(
                one.owners,
                one.proxies / one.owners,
                used[one.owners, one.proxies],
                used[one.owners, 0],
            ),
        )
        for one in grown
        if one.proxies
    ]


def _grown(size: Size, owners: int, proxies: int) -> Grown:
    with ExitStack() as stack:
        url = start_broker(stack)
        names = [f"proxy-{number}" for number in range(proxies)]
        air = Process(stack, "adverts.server", str(world.DEVICES), str(world.CHANGING), *names)
        ways = air.hear()
        members = [
            started(stack, "owner", f"owner-{number}", url, ways[number::owners], size.lease)
            for number in range(owners)
        ]
        for member in members:
            member.hear()
        _hear(air, size.settle)
        quiet = [_window(air, members, size.seconds) for _ in range(size.windows)]
        program = started(stack, "program", "program", url, [], size.lease)
        program.hear()
        program.ask({"do": "listen", "on": True})
        _hear(air, size.settle / 2)
        telling = [_window(air, [*members, program], size.seconds) for _ in range(size.windows)]
    return Grown(
        owners,
        proxies,
        {
            "quiet": [median(one.used[number] for one in quiet) for number in range(owners)],
            "telling": [median(one.used[number] for one in telling) for number in range(owners)],
        },
        median(one.sent for one in telling),
        median(one.heard for one in telling),
        median(one.used[-1] for one in telling),
    )


@dataclass(frozen=True)
class _Window:
    """What went on for some seconds: CPU seconds per second of each process, adverts a second."""

    used: list[float]
    sent: float
    heard: float


def _window(air: Process, members: Sequence[Process], seconds: float) -> _Window:
    """Have proxies hear; return what that took. The last process is who hears of it."""
    before = [member.ask(STATE) for member in members]
    began = time.perf_counter()
    sent = _hear(air, seconds)
    passed = time.perf_counter() - began
    after = [member.ask(STATE) for member in members]

    def grew(name: str) -> list[float]:
        pairs = zip(before, after, strict=True)
        return [(later[name] - earlier[name]) / passed for earlier, later in pairs]

    return _Window(grew("cpu"), sent / passed, grew("heard")[-1])


def _hear(air: Process, seconds: float) -> float:
    """Have proxies hear for a while; return how many advertisements."""
    sent: float = air.ask({"rate": world.RATE, "seconds": seconds, "spread": True})["adverts"]
    return sent
