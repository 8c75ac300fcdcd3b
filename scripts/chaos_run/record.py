"""What happened in a run."""

from __future__ import annotations

import asyncio
import statistics
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

MOST_DETAILS = 50
"""Violations that are told in full."""


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that did not hold: when, which, and what was seen."""

    at: float
    invariant: str
    detail: str


@dataclass
class Record:
    """What happened.

    Attributes:
        sessions: how many began.
        completed: how many did all that they were to do.
        outcomes: operation -> how it ended -> how often.
        violations: invariants that did not hold.
        late: operations that ended more than a moment after their deadline, or were cancelled and
            did not end at once.
        hung: operations that did not end at all.
        outages: seconds from the first failure of a device to the next operation on it, while
            there were faults.
        healed: seconds from the end of the faults to the next operation that each device does.
        drops: links that were up and ended.
        in_storm: connects and complete sessions while there were faults.
    """

    sessions: int = 0
    completed: int = 0
    outcomes: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    violations: list[Violation] = field(default_factory=list)
    late: int = 0
    hung: int = 0
    outages: list[float] = field(default_factory=list)
    healed: list[float] = field(default_factory=list)
    drops: int = 0
    in_storm: Counter[str] = field(default_factory=Counter)
    _failing: dict[str, float] = field(default_factory=dict)
    _awaited: set[str] = field(default_factory=set)
    _calm_since: float = 0.0
    _begun: float = field(default_factory=lambda: asyncio.get_running_loop().time())

    @property
    def now(self) -> float:
        """Seconds since the begin of the run."""
        return asyncio.get_running_loop().time() - self._begun

    def violate(self, invariant: str, detail: str) -> None:
        """An invariant does not hold."""
        self.violations.append(Violation(round(self.now, 3), invariant, detail))

    def failed(self, address: str) -> None:
        """A session has failed, or a kept connection was lost."""
        self._failing.setdefault(address, self.now)

    def succeeded(self, address: str) -> None:
        """An operation on the device has succeeded, or it has notified its kept connection."""
        since = self._failing.pop(address, None)
        if address in self._awaited:
            self._awaited.discard(address)
            self.healed.append(self.now - self._calm_since)
        elif since is not None and not self._calm_since:
            self.outages.append(self.now - since)

    def storm(self) -> None:
        """The faults begin."""
        self.in_storm = self._counts()

    def _counts(self) -> Counter[str]:
        connects = self.outcomes["connect"]
        return Counter(asked=connects.total(), connected=connects["ok"], completed=self.completed)

    def calm(self, addresses: Sequence[str]) -> None:
        """The faults are over; from now on every device is to succeed again."""
        self._calm_since = self.now
        self.in_storm = self._counts() - self.in_storm
        self.outages += [self.now - since for since in self._failing.values()]
        self._failing.clear()
        self._awaited = set(addresses)

    @property
    def awaited(self) -> set[str]:
        """Devices that have not succeeded since the faults were over."""
        return self._awaited

    def dump(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "sessions": self.sessions,
            "completed": self.completed,
            "drops": self.drops,
            "in storm": dict(self.in_storm),
            "outcomes": {
                name: dict(counts.most_common()) for name, counts in self.outcomes.items()
            },
            "late": self.late,
            "hung": self.hung,
            "broken": len(self.violations),
            "broken by name": dict(Counter(one.invariant for one in self.violations)),
            "violations": [
                [violation.at, violation.invariant, violation.detail]
                for violation in self.violations[:MOST_DETAILS]
            ],
            "outage": spread(self.outages),
            "out of order": round(sum(self.outages), 1),
            "healing": spread(self.healed),
            "samples": {"outage": _rounded(self.outages), "healing": _rounded(self.healed)},
        }


def _rounded(seconds: Sequence[float]) -> list[float]:
    return [round(one, 3) for one in seconds]


def spread(seconds: Sequence[float]) -> dict[str, float] | None:
    """Return count, median, 95th percentile and worst; None of nothing."""
    if not seconds:
        return None
    ordered = sorted(seconds)
    return {
        "count": len(ordered),
        "median": round(statistics.median(ordered), 3),
        "p95": round(ordered[min(int(0.95 * len(ordered)), len(ordered) - 1)], 3),
        "worst": round(ordered[-1], 3),
    }
