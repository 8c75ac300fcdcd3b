"""How far the CPU of owners is from growing with their proxies, and with nothing else."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Point:
    """What owners used.

    Attributes:
        owners: how many there are.
        proxies: of each owner, on average.
        cpu: of each owner, on average, as a share of a core.
        base: the same of owners that have no proxy, with as many others.
    """

    owners: int
    proxies: float
    cpu: float
    base: float

    @property
    def each(self) -> float:
        """CPU of each proxy, beyond what its owner takes without any."""
        return (self.cpu - self.base) / self.proxies


def from_line(points: Sequence[Point]) -> list[float]:
    """Return by which share each point is above the straight line, or below if that is negative.

    On the line each proxy costs what it does at one owner that has the fewest.
    """
    fewest = min(_alone(points), key=lambda one: one.proxies)
    return [one.cpu / (one.base + fewest.each * one.proxies) - 1 for one in points]


def from_alone(points: Sequence[Point]) -> list[float]:
    """Return by which share each owner takes more because there are others.

    That is more than an owner without others takes for as many proxies; what was not measured lies
    on a straight line between what was.
    """
    alone = _alone(points)
    known = [(0.0, alone[0].base), *((one.proxies, one.cpu) for one in alone)]
    return [one.cpu / _between(known, one.proxies) - 1 for one in points]


def _alone(points: Sequence[Point]) -> list[Point]:
    fewest = min(one.owners for one in points)
    return sorted((one for one in points if one.owners == fewest), key=lambda one: one.proxies)


def _between(known: Sequence[tuple[float, float]], proxies: float) -> float:
    """Return the CPU for so many proxies, which are at most as many as are known."""
    for (fewer, less), (more, most) in itertools.pairwise(known):
        if proxies <= more:
            return less + (most - less) * (proxies - fewer) / (more - fewer)
    raise ValueError(f"nothing is known of {proxies:g} proxies")
