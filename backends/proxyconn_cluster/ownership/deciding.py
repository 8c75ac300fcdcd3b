"""What one owner does about each proxy: take it, or let it go. Asks nobody."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.held_leases import HeldLeases
from proxyconn_cluster.ownership.observed import Observed
from proxyconn_cluster.ownership.out_of_reach import OutOfReach
from proxyconn_cluster.ownership.placement import Owner, ranked

SETTLE: Final = 0.4
"""Part of a lease for which a new owner listens, and is not given what others have: whoever lives
is heard in that time."""

UNHEARD: Final = 0.75
"""Part of a lease after which nobody uses a proxy whom we have not heard since we listen: two
thirds of it are the owner's, the rest is for what clocks differ."""


class Claim(Enum):
    """Why a proxy may be ours."""

    SILENT = "nobody has said for a lease that it is theirs"
    GIVEN_BACK = "somebody has said that it is given back"
    INHERITED = "it was our predecessor's"


@dataclass
class Decision:
    """What is to be done.

    Attributes:
        take: MAC addresses of proxies that are to be ours, and why they may be.
        leave: of those that are to be given back.
        tell: whether the others are to be told soon what we see.
    """

    take: dict[str, Claim] = field(default_factory=dict)
    leave: list[str] = field(default_factory=list)
    tell: bool = False


class Deciding:
    """Decides for one owner.

    Args:
        owner: its id.
        held_leases: what it has.
        observed: what the others have.
        predecessor: id of an earlier run of ours, whose leases are ours now; None for none.

    Attributes:
        is_idle: whether a proxy of ours can be given away without anybody noticing.
        is_away: whether a proxy of ours is out of our reach.
        listens_since: since when we hear the others without a break, by our clock; infinite
            while we do not.
    """

    def __init__(
        self,
        owner: str,
        held_leases: HeldLeases,
        observed: Observed,
        predecessor: str | None = None,
    ) -> None:
        self._owner = owner
        self._predecessor = predecessor
        self._held_leases = held_leases
        self._observed = observed
        self._out_of_reach = OutOfReach()
        self.is_idle: Callable[[str], bool] = lambda mac: True
        self.is_away: Callable[[str], bool] = lambda mac: False
        self.listens_since = float("inf")

    def unseen(self) -> frozenset[str]:
        """Return what we leave to others because we do not reach it."""
        return self._out_of_reach.left(now())

    def decide(self, candidates: Iterable[str], asking: Collection[str]) -> Decision:
        """Return what is to be done.

        Args:
            candidates: MAC addresses of the proxies that we could use.
            asking: those of which we are just taking the lease.
        """
        ttl, found = self._held_leases.ttl, Decision()
        if self._predecessor:
            wanted = (mac for mac in candidates if mac not in asking)
            found.take = {mac: Claim.INHERITED for mac in wanted if self._is_inherited(mac)}
        if now() - self.listens_since < ttl * SETTLE:
            return found
        live = self._observed.live(ttl)
        others_are_old = self._others_are_old()
        found.tell = self._look_for_lost(live)
        for mac in candidates:
            wish = self._observed.wishes.get(mac)
            order = ranked(mac, live, wish.owner if wish else None)
            held = self._held_leases.held.get(mac)
            if held is None and mac not in asking and self._owner in order:
                claim = self._claim(mac, order.index(self._owner), others_are_old)
                if claim and mac not in found.take:
                    found.take[mac] = claim
            elif held and not held.leaving and order and order[0] != self._owner:
                at_once = wish is not None and wish.now
                if self._has_settled(order[0]) and (at_once or self.is_idle(mac)):
                    found.leave.append(mac)
        return found

    def _look_for_lost(self, live: Sequence[Owner]) -> bool:
        """Leave what we do not reach to others that see it; return whether there is more of it."""
        others = {mac for one in live if one.id != self._owner for mac in one.sees}
        away = [mac for mac in self._held_leases.held if mac in others and self.is_away(mac)]
        return self._out_of_reach.look(away, now(), self._held_leases.ttl)

    def _is_inherited(self, mac: str) -> bool:
        """Whether a proxy is our predecessor's, for all that was heard of it."""
        seen = self._observed.leases.get(mac)
        lease = seen.lease if seen and not seen.free else None
        owned = lease is not None and lease.owner == self._predecessor
        return owned and mac not in self._held_leases.held

    def _claim(self, mac: str, rank: int, others_are_old: bool) -> Claim | None:
        """Return why a proxy is ours to take: the first in rank at once, others if it does not.

        The time counts from when the last lease was heard of, and only while we listen; of one that
        was never heard of likewise where others could have it: a store that has lost its leases is
        no proof that nobody has the proxy.
        """
        ttl, seen = self._held_leases.ttl, self._observed.leases.get(mac)
        free_since = self.listens_since
        if seen is not None or others_are_old:
            free_since += UNHEARD * ttl
        if seen is not None:
            free_since = max(free_since, seen.at + ttl)
        if now() - free_since >= rank * ttl:
            return Claim.SILENT
        return Claim.GIVEN_BACK if seen and seen.free and rank == 0 else None

    def _others_are_old(self) -> bool:
        """Whether another owner may have had something already when we began to listen."""
        since = self._held_leases.ttl * SETTLE + now() - self.listens_since
        owners = self._observed.owners.items()
        return any(beat.age >= since for id_, (beat, _) in owners if id_ != self._owner)

    def _has_settled(self, owner: str) -> bool:
        beat = self._observed.owners.get(owner)
        return beat is not None and beat[0].age >= self._held_leases.ttl * SETTLE
