"""How far the CPU of owners is from growing with their proxies, and with nothing else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

GOAL: Final = 0.15
"""Share by which an owner may take more than it would on the line, or alone."""


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
    alone = [one for one in points if one.owners == min(point.owners for point in points)]
    fewest = min(alone, key=lambda one: one.proxies)
    return [one.cpu / (one.base + fewest.each * one.proxies) - 1 for one in points]
