"""Compares wall clocks: nothing in a cluster depends on them, but people who read times do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from proxyconn.radio import Finding, Level

CHECK: Final = "cluster-clocks"

SLACK: Final = 5.0
"""Seconds by which clocks may differ without being told."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What somebody says that the time is.

    Attributes:
        who: for people.
        says: Unix seconds.
        asked, answered: by our clock, before and after.
    """

    who: str
    says: float
    asked: float
    answered: float

    @property
    def ahead(self) -> float:
        """Seconds by which it is ahead of ours, at least; negative if it is behind."""
        if self.says > self.answered:
            return self.says - self.answered
        return min(self.says - self.asked, 0.0)


def of_clocks(readings: Sequence[Reading]) -> list[Finding]:
    """Return what is found; nothing where nobody has said what the time is."""
    if not readings:
        return []
    off = [one for one in readings if abs(one.ahead) > SLACK]
    if not off:
        seen = f"the clocks of {', '.join(one.who for one in readings)} agree with this one"
        return [Finding(CHECK, Level.OK, None, seen)]
    return [
        Finding(
            CHECK,
            Level.WARNING,
            None,
            f"the clock of {one.who} is {abs(one.ahead):.0f} s "
            f"{'ahead of' if one.ahead > 0 else 'behind'} this one",
            "set the one that is wrong, by NTP for example: leases do not depend on it, but what "
            "logs say, certificates and credentials do",
        )
        for one in off
    ]
