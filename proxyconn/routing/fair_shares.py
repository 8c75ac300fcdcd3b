"""Who is next when several parties want slots: turns, caps and guarantees.

A party is whoever callers belong to: one client of an owner, or the program itself. Knows no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

Party = str | None
"""A party's name; None for the program itself."""

Place = tuple[int, int]
"""Turn, and number within all: the lower goes first."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a party may count on, and what it may not exceed.

    Attributes:
        guaranteed: slots that are kept for it.
        most: slots that it may hold at once; None for any number.
    """

    guaranteed: int = 0
    most: int | None = None

    def __post_init__(self) -> None:
        if self.guaranteed < 0 or (self.most is not None and self.most < max(self.guaranteed, 1)):
            raise ValueError(
                f"a share of {self.guaranteed} guaranteed and {self.most} at most is none: "
                "0 <= guaranteed <= most, and most is 1 or more"
            )


NO_SHARE = Share()


@dataclass(slots=True)
class FairShares:
    """Gives places to callers, and says who may have one more slot.

    Within a party the first to come is the first to be served. Between parties they take turns: the
    n-th caller that a party has waiting is in the n-th turn from the present one, so that a party
    with a hundred of them does not keep another's single one waiting for more than one turn.

    Attributes:
        shares: party -> what it may count on.
        held: slots that each party holds or is about to.
    """

    shares: Mapping[Party, Share] = field(default_factory=dict)
    held: Counter[Party] = field(default_factory=Counter)
    _turn: int = 0
    _last: dict[Party, int] = field(default_factory=dict)
    _number: int = 0

    def place(self, party: Party) -> Place:
        """Return the place of a caller that has just come."""
        turn = max(self._turn, self._last.get(party, -1) + 1)
        self._last[party] = turn
        self._number += 1
        return turn, self._number

    def granted(self, place: Place, party: Party) -> None:
        """A caller has been served: the turn is its own now."""
        self._turn = max(self._turn, place[0])
        self.held[party] += 1
        self._last = {one: last for one, last in self._last.items() if last >= self._turn}

    def given_back(self, party: Party) -> None:
        """A party has one slot less."""
        self.held[party] -= 1
        if self.held[party] <= 0:
            del self.held[party]

    def passed_on(self, giver: Party, taker: Party) -> None:
        """A slot that one party holds is another's from now on."""
        self.given_back(giver)
        self.held[taker] += 1

    def may_take(self, party: Party, free: int | None) -> bool:
        """Whether a party may have one more slot.

        Args:
            party: who asks.
            free: free slots of the whole fleet; None if a radio does not say.
        """
        share = self.shares.get(party, NO_SHARE)
        held = self.held[party]
        if share.most is not None and held >= share.most:
            return False
        if held < share.guaranteed or free is None:
            return True
        return free > self._kept_for_others(party)

    def _kept_for_others(self, party: Party) -> int:
        return sum(
            max(0, share.guaranteed - self.held[other])
            for other, share in self.shares.items()
            if other != party
        )
