"""Which slots are free now, and when the next one is expected, by how long those of a radio last.

Knows no clock: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from proxyconn.radio import OffersLinks, Radio

SMOOTHING = 0.3
"""Weight of the last observation in a mean."""

USUAL_CONNECT = 1.5
"""Seconds for one connect until a radio has shown how fast it is."""

USUAL_HOLD = 5.0
"""Seconds a link is thought to last, at least, until one has ended."""

LEAST_REST = 0.25
"""Seconds that a link is thought to go on, at least, once it is older than most."""


@dataclass(slots=True)
class Holding:
    """What was seen of one radio's slots.

    Attributes:
        connect: seconds from a connect's start to its end, smoothed.
        hold: seconds that a slot stays taken, smoothed; None until one came free.
    """

    connect: float = USUAL_CONNECT
    hold: float | None = None
    _since: dict[str, float] = field(default_factory=dict)

    def taken(self, address: str, now: float) -> None:
        """A slot was taken."""
        self._since.setdefault(address, now)

    def freed(self, address: str, now: float) -> None:
        """A slot came free."""
        since = self._since.pop(address, None)
        if since is None:
            return
        held = now - since
        self.hold = held if self.hold is None else self.hold + SMOOTHING * (held - self.hold)

    def since(self, address: str) -> float | None:
        """Return since when a device holds a slot; None if it holds none."""
        return self._since.get(address)

    def connected(self, seconds: float) -> None:
        """A connect succeeded after `seconds`."""
        self.connect += SMOOTHING * (seconds - self.connect)

    def until_free(self, now: float, ahead: int) -> float:
        """Return the seconds until a slot is expected to be free for the caller after `ahead`."""
        rests = sorted(self._rest(now - since) for since in self._since.values())
        if not rests:
            return 0.0
        rounds, place = divmod(ahead, len(rests))
        return rests[place] + rounds * (self.hold or USUAL_HOLD)

    def _rest(self, age: float) -> float:
        if self.hold is None:
            return max(age, USUAL_HOLD)
        # A link that has outlived the others is likely to last as long again.
        return max(self.hold - age if age < self.hold else age - self.hold, LEAST_REST)


def free_slots(radios: Iterable[Radio]) -> int | None:
    """Return the free slots of all radios that connect; None if one does not say."""
    total = 0
    for radio in radios:
        is_own = not isinstance(radio, OffersLinks)
        if is_own and radio.connectable and radio.state.is_usable:
            if (free := radio.free_slots()) is None:
                return None
            total += free
    return total


def is_idle(radio: Radio) -> bool:
    """Whether a radio can open a link now, or its owner can be asked for one."""
    return isinstance(radio, OffersLinks) or (radio.connecting == 0 and radio.free_slots() != 0)
