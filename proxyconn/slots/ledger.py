"""Who holds which connection slot of one radio. Decides, never waits.

The radio's own report is the truth. Between asking for a slot and the report that shows it taken,
the ledger keeps the asker's claim, so that no more are asked for than there are.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterable
from dataclasses import dataclass, field

from proxyconn.models import AllocationChange, AllocationChangeEvent, Allocations


@dataclass(slots=True)
class SlotLedger:
    """The slots of one radio.

    Attributes:
        name: the radio.
        limit: slots there are; 0 until the first report.
        free: slots the radio reports as not taken.
        holders: addresses the radio reports as holding one.
        others: addresses that hold one for somebody else, with whom the radio is shared.
        complete: whether the report names every holder, so that absence from it means something.
        inherited: holders whose link is up, is ours and has no client: one may have it as it is.
        claims: addresses that a slot is promised to and not yet reported for.
    """

    name: str
    limit: int = 0
    free: int = 0
    holders: frozenset[str] = frozenset()
    others: frozenset[str] = frozenset()
    complete: bool = False
    inherited: frozenset[str] = frozenset()
    claims: frozenset[str] = frozenset()
    _sorted: list[str] = field(default_factory=list, compare=False, repr=False)

    @property
    def reported(self) -> bool:
        """Whether the radio has reported its slots."""
        return self.limit > 0

    @property
    def available(self) -> int:
        """Slots that nobody holds and nobody has claimed."""
        return max(self.free - len(self.claims), 0)

    def update(
        self,
        free: int,
        limit: int,
        allocated: Iterable[str],
        others: Iterable[str] = (),
    ) -> list[AllocationChangeEvent]:
        """Take a report of the radio; return what changed.

        Zero padding must be gone from `allocated`. Holders are a set: firmware may name one
        address twice. A list whose length does not match is not trusted to be complete. Those of
        its addresses that are `others` hold nothing for us: no attempt waits until they have gone.
        """
        named = list(allocated)
        before, before_others = self.holders, self.others
        self.limit, self.free = limit, free
        self.others = frozenset(others)
        listed = frozenset(named)
        self.holders = listed - self.others if self.others else listed
        self.complete = len(named) == limit - free
        if self.holders == before and self.others == before_others:
            return []
        self.inherited &= self.holders
        self.claims -= self.holders
        gone, came = before - self.holders, self.holders - before
        if self.others or before_others:
            self._sorted = sorted(self.holders | self.others)
        else:
            for address in gone:
                self._sorted.remove(address)
            for address in came:
                insort(self._sorted, address)
        events = self._events(AllocationChange.RELEASED, gone) if gone else []
        if came:
            events += self._events(AllocationChange.ALLOCATED, came)
        return events

    def _events(
        self, change: AllocationChange, addresses: Iterable[str]
    ) -> list[AllocationChangeEvent]:
        return [
            AllocationChangeEvent(change, f"{self.name}/{address}", self.name, address)
            for address in sorted(addresses)
        ]

    def claim(self, address: str) -> bool:
        """Claim a slot for `address`; False if there is none, or if it already has one.

        One that it has inherited needs no other slot.
        """
        if address in self.inherited:
            return True
        if address in self.holders or address in self.claims or not self.available:
            return False
        self.claims |= {address}
        return True

    def drop_claim(self, address: str) -> None:
        """Give up a claim that the radio never honoured; harmless if there is none."""
        if address in self.claims:
            self.claims -= {address}

    def holds(self, address: str) -> bool:
        """Whether the radio reports a slot held for `address`."""
        return address in self.holders

    def has_lost(self, address: str) -> bool:
        """Whether the radio's report shows for certain that `address` holds no slot."""
        return self.complete and address not in self.holders

    def clear(self) -> list[AllocationChangeEvent]:
        """Forget everything: the session with the radio has ended."""
        events = self._events(AllocationChange.RELEASED, self.holders)
        self.limit = self.free = 0
        self.holders = self.others = self.inherited = self.claims = frozenset()
        self.complete = False
        self._sorted = []
        return events

    def allocations(self) -> Allocations | None:
        """Return the report in the form users know; None before the first one."""
        if not self.reported:
            return None
        return Allocations(self.name, self.limit, self.free, self._sorted.copy())
