"""Which radio to take to a device: plain data in, a score out.

A score is in dB, so that it compares with signal strengths: what costs time or has failed is
weighed as a weaker signal. The parts of a score are the explanation of a choice.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from proxyconn.models import RSSI_SWITCH_THRESHOLD, RadioState
from proxyconn.routing.pins import Pin

DB_PER_SECOND = 10.0
"""dB that one second of waiting weighs: a detour of 28 dB is worth it to save three seconds."""

LOUD = -65
"""dBm above which a link is nearly as good as it gets."""

LOUD_DISCOUNT = 0.9
"""Share of each dB above LOUD that does not count: nobody should wait long for more than enough."""

FAILURE_DB = 60.0
"""dB for an attempt that failed on this path just now: more than lies between the nearest radio and
the farthest one that still hears a device, so that the next attempt takes another one."""

FADED = 0.5
"""Failures below which a path has recovered."""

MOST_FAILURES = 3.0
"""Failures in a row beyond which more of them change nothing."""

RADIO_FAILURE_DB = 5.0
"""dB for each other device that failed on this radio just now."""

MOST_RADIO_FAILURES = 6.0
"""Devices that failed on a radio beyond which more of them change nothing."""

CROWDED_DB = 2.0
"""dB for a radio whose slots are all taken but one: it spreads links over radios much alike."""

REFUSED_DB = 60.0
"""dB for a radio whose want of a bond the device has complained of: as for a failure, another one
that hears it is tried first."""

STALE_DB = 40.0
"""dB for a path on which the device has missed so many advertisements that it is thought gone."""

PREFER_DB = 30.0
"""dB for a preferred radio."""

AVOID_DB = -60.0
"""dB for a radio that is to be avoided."""


def obstacle(connectable: bool, state: RadioState, pin: Pin, bonded_elsewhere: bool) -> str | None:
    """Return why no link may be tried through a radio; None if one may. Arguments as in Path."""
    if not connectable:
        return "it does not connect"
    if not state.is_usable:
        return f"it is {state}"
    if pin is Pin.EXCLUDED:
        return "another radio is required"
    if pin is Pin.BANNED:
        return "it is banned for this device"
    return "the bond is with another radio" if bonded_elsewhere else None


@dataclass(frozen=True, slots=True)
class Path:
    """One radio by which a device may be reached.

    Attributes:
        source: name of the radio.
        rssi: signal strength in dBm, smoothed; NO_RSSI_VALUE if the radio never heard the device.
        age: seconds since the last advertisement; infinite if the radio never heard the device.
        patience: seconds of silence after which the device is thought gone, by its own rhythm.
        state: how the radio is doing.
        connectable: whether the radio opens links.
        slots: connection slots of the radio; None if it does not report them.
        free: how many of them are neither taken nor promised; None if it does not report them.
        connecting: attempts that occupy the radio now.
        wait: seconds until the radio is expected to have a slot and a turn; 0.0 if it has both.
        failures: attempts through this path that failed, fading with time.
        radio_failures: other devices that failed on this radio, fading with time.
        incumbent: whether the device is attributed to this radio now.
        pin: what the user has said about this radio for this device.
        bonded_elsewhere: whether the device is bonded, and not through this radio.
        refused: whether the device asked for a bond lately that this radio did not have.
    """

    source: str
    rssi: int
    age: float
    state: RadioState
    connectable: bool
    slots: int | None
    free: int | None
    failures: float = 0.0
    patience: float = 195.0
    connecting: int = 0
    wait: float = 0.0
    radio_failures: float = 0.0
    incumbent: bool = False
    pin: Pin = Pin.NEUTRAL
    bonded_elsewhere: bool = False
    refused: bool = False

    @property
    def obstacle(self) -> str | None:
        """Why no link may be tried through this path; None if one may."""
        return obstacle(self.connectable, self.state, self.pin, self.bonded_elsewhere)

    @property
    def usable(self) -> bool:
        """Whether a link may be tried through this path."""
        return self.obstacle is None

    @property
    def is_wanted(self) -> bool:
        """Whether a link may be tried through this path as soon as its radio is well."""
        return obstacle(self.connectable, RadioState.READY, self.pin, self.bonded_elsewhere) is None

    @property
    def has_slot(self) -> bool:
        """Whether a slot is free, as far as the radio reports."""
        return self.free is None or self.free > 0

    @property
    def keeps(self) -> bool:
        """Whether another path must be clearly better: this is the present one, it works, and it
        can be taken at once."""
        return self.incumbent and self.failures < FADED and not self.wait

    @property
    def stale(self) -> bool:
        """Whether the device has been silent on this path for longer than its rhythm explains."""
        return self.age > self.patience

    @property
    def score(self) -> float:
        """What the path is worth in dB; the highest is taken."""
        return sum(part.db for part in score_parts(self))


class ScorePart(NamedTuple):
    """One reason for a score.

    Attributes:
        reason: what it is for.
        db: what it adds in dB.
    """

    reason: str
    db: float


def score_parts(path: Path) -> list[ScorePart]:
    """Return what makes up the score of a path, in dB; parts that add nothing are left out.

    | part | dB |
    |---|---|
    | signal | the smoothed RSSI |
    | more than enough | -LOUD_DISCOUNT for each dB above LOUD |
    | present path | RSSI_SWITCH_THRESHOLD, so that another one must be better by as much |
    | wait | -DB_PER_SECOND for each second until slot and turn are expected |
    | crowded | up to -CROWDED_DB, as fewer slots are free |
    | failed here | -FAILURE_DB for each failure of this device on this path, fading |
    | radio fails | -RADIO_FAILURE_DB for each other device that failed on this radio, fading |
    | no bond | -REFUSED_DB for a radio that the device has refused for want of security |
    | not heard lately | -STALE_DB for a device that missed too many advertisements |
    | preferred, avoided | PREFER_DB, AVOID_DB |
    """
    parts = (
        ScorePart("signal", path.rssi),
        ScorePart("more than enough", -LOUD_DISCOUNT * max(path.rssi - LOUD, 0)),
        ScorePart("present path", RSSI_SWITCH_THRESHOLD if path.keeps else 0),
        ScorePart("wait", -DB_PER_SECOND * path.wait),
        ScorePart("crowded", -CROWDED_DB * _crowding(path)),
        ScorePart("failed here", -FAILURE_DB * min(path.failures, MOST_FAILURES)),
        ScorePart("radio fails", -RADIO_FAILURE_DB * min(path.radio_failures, MOST_RADIO_FAILURES)),
        ScorePart("no bond", -REFUSED_DB if path.refused else 0),
        ScorePart("not heard lately", -STALE_DB if path.stale else 0),
        ScorePart("preferred", PREFER_DB if path.pin is Pin.PREFERRED else 0),
        ScorePart("avoided", AVOID_DB if path.pin is Pin.AVOIDED else 0),
    )
    return [part for part in parts if part.db]


def _crowding(path: Path) -> float:
    """Return 0.0 for a radio with every slot free, 1.0 for one with a single slot left, or none."""
    if path.slots is None or path.free is None or path.slots < 2:
        return 0.0
    return min((path.slots - path.free) / (path.slots - 1), 1.0)


def rank(path: Path) -> tuple[bool, float, bool]:
    """Return a sort key, best first: usable, then by score; of equals, not the present one."""
    return (not path.usable, -path.score, path.incumbent)


def explain(paths: Iterable[Path]) -> str:
    """Say in one sentence why the first of `paths`, best first, is taken."""
    ranked = list(paths)
    if not ranked:
        return "There is no path: no radio hears it any more."
    best, *others = ranked
    if not best.usable:
        return f"No path can be used: {best.source} is the nearest, but {best.obstacle}."
    rivals = [path for path in others if path.usable]
    if not rivals:
        return f"{best.source} is the only radio that can be used for it."
    second = rivals[0]
    apart = {part.reason: part.db for part in score_parts(best)}
    for part in score_parts(second):
        apart[part.reason] = apart.get(part.reason, 0.0) - part.db
    telling = sorted((db, reason) for reason, db in apart.items() if round(db))[::-1]
    reasons = ", ".join(f"{reason} {db:+.0f}" for db, reason in telling)
    return f"{best.source} leads {second.source} by {best.score - second.score:.0f} dB ({reasons})."


def explain_choice(source: str, paths: Iterable[Path]) -> str:
    """Say in one sentence why the radio `source` is taken, of `paths`, best first."""
    ranked = list(paths)
    if ranked and ranked[0].source != source and ranked[0].usable:
        return f"{source} is free now, and {ranked[0].source} is not worth the wait any more."
    return explain(ranked)
