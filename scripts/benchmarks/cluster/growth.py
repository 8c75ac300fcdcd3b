"""Measures how the CPU of owners grows: with their proxies, and with the number of owners.

So many proxies, shared out among so many owners, hear advertisements. First nobody in the cluster
wants to hear of them (*quiet*), then one program wants all (*telling*). Owners have their leases,
their loop and everything else that `proxyconn serve` gives them in a cluster. What is measured is
the CPU time of each process, which other processes do not add to; of several windows the median.

What several owners cost each other is measured against as many owners with as many proxies of
which each is alone in a cluster of its own: by turns, on the same machine, so that all else, the
machine's own load too, is the same for both.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean, median

from . import linear
from .broker import start_broker
from .side import Side, Window
from .size import Size, note

PHASES = ("quiet", "telling")


@dataclass(frozen=True, eq=False)
class Grown:
    """What was measured of some owners.

    Attributes:
        owners, proxies: how many.
        used: phase -> CPU seconds per second of each owner.
        above_alone: phase -> share by which an owner takes more than one alone with as many
            proxies, in each pair of windows; empty where there are no others, or no proxies.
        sent: advertisements a second that the proxies sent.
        passed_on: advertisements a second that reached the program.
        program: CPU seconds per second of the program that hears them.
    """

    owners: int
    proxies: int
    used: dict[str, list[float]]
    above_alone: dict[str, list[float]]
    sent: float
    passed_on: float
    program: float

    @property
    def per_cpu_second(self) -> float:
        """Advertisements passed on for each CPU second of the owners, hearing them included."""
        return self.passed_on / sum(self.used["telling"])

    def from_alone(self, phase: str) -> float:
        """Share by which an owner takes more because there are others; 0 where there are none."""
        pairs = self.above_alone[phase]
        return median(pairs) if pairs else 0.0


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
        sides = [Side(stack, url, size, owners, proxies)]
        if owners > 1 and proxies:
            sides.append(Side(stack, url, size, owners, proxies, apart=True))
        for side in sides:
            side.ready()
        windows = {"quiet": _by_turns(sides, size.windows)}
        for side in sides:
            side.listen()
        windows["telling"] = _by_turns(sides, size.windows)
    told = [together for together, *_ in windows["telling"]]
    return Grown(
        owners,
        proxies,
        {phase: _median_of_each([one[0] for one in every]) for phase, every in windows.items()},
        {
            phase: [one[0].owner / apart.owner - 1 for one in every for apart in one[1:]]
            for phase, every in windows.items()
        },
        median(one.sent for one in told),
        median(one.heard for one in told),
        median(one.program for one in told),
    )


def _by_turns(sides: Sequence[Side], windows: int) -> list[list[Window]]:
    """Return so many windows of each side; whose comes first changes."""
    found = []
    for number in range(windows):
        turn = list(enumerate(sides))[:: 1 if number % 2 else -1]
        window = {which: side.window() for which, side in turn}
        found.append([window[which] for which in range(len(sides))])
    return found


def _median_of_each(windows: Sequence[Window]) -> list[float]:
    return [median(used) for used in zip(*(one.used for one in windows), strict=True)]
