"""Takes the lease of a proxy, if it is proved that nobody else uses it.

An owner uses a proxy for two thirds of a lease from when it asked for the last entry of its own
that the store took. As long as the store is what it was, compare-and-set on what is there is proof
enough. But it may have been emptied (its machine's clock was set on), or put back to what it was
before; and what is heard may have been refused by it, or be late, or said twice. So it takes two:

- *Compare-and-set*: our entry follows the very revision that we have looked at, so of all who want
  a proxy one has it. A request that is late, or comes twice, follows another one and is refused;
  only a first entry is not, in a store that was emptied. So one of our own that is there though we
  do not have the proxy proves no more than nothing would.
- *Silence or a word*: while we listened without a break, nobody else has said for a lease that the
  proxy is theirs. Or the store has the marker by which somebody gave it back, after what we have
  heard of it since we listen; hearing of it is a reason to look, and no more. Or it has the entry
  of our predecessor, which is proved to be gone.

Whoever was stopped, or hears late, has heard by the store's answer what came before it on the same
connection: if that was anything of this proxy, we think again.
"""

from __future__ import annotations

import asyncio
from typing import Final

from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.deciding import Claim
from proxyconn_cluster.ownership.lease_store import Found, LeaseStore, TakenError
from proxyconn_cluster.ownership.observed import Observed, Seen
from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.ownership.unrenewed import Unrenewed

LOOKS: Final = (0.0, 0.005, 0.02, 0.1)
"""Seconds between looks at what was given back: what is heard is in the store a moment later."""


class Taking:
    """Takes leases for one owner.

    Args:
        owner: its id.
        predecessor: id of an earlier run of it that is surely gone; None if none is known.
        observed: what is known of the others.
    """

    def __init__(self, owner: str, predecessor: str | None, observed: Observed) -> None:
        self._owner = owner
        self._predecessor = predecessor
        self._observed = observed
        self._unrenewed = Unrenewed()
        self._began_at = now()

    def begin_anew(self) -> None:
        """Take it that something may not have been heard."""
        self._unrenewed = Unrenewed()
        self._observed.begin_anew()
        self._began_at = now()

    async def take(self, store: LeaseStore, mac: str, lease: Lease, claim: Claim) -> int:
        """Take a lease; returns its revision.

        Raises:
            TakenError: another one has it, or may have it.
            UnreachableError: it may be ours or not.
            MessageError: whoever has it says so in a way that is not known here.
        """
        asked_at = now()
        found = await self._look(store, mac, claim)
        self._check_silence(mac, asked_at)
        if not self._is_proved(mac, found, claim, store.ttl):
            raise TakenError(f"{mac}: it may be another one's")
        try:
            revision = await store.take(mac, lease, found.revision)
            try:
                self._check_silence(mac, asked_at)
            except TakenError:
                await store.give_back(mac, lease, revision)
                raise
        except TakenError:
            seen = self._observed.leases.get(mac)
            self._observed.doubt(mac, seen.lease if seen else None)
            raise
        self._unrenewed.forget(mac)
        self._observed.leases[mac] = Seen(lease, now(), revision=revision)
        return revision

    async def _look(self, store: LeaseStore, mac: str, claim: Claim) -> Found:
        found = await store.look(mac)
        if claim is Claim.GIVEN_BACK:
            for pause in LOOKS:
                if found.lease is None:
                    break
                await asyncio.sleep(pause)
                found = await store.look(mac)
        return found

    def _check_silence(self, mac: str, asked_at: float) -> None:
        """Raise TakenError if something was heard since then, or may not have been."""
        if self._observed.heard_since(mac, asked_at) or self._began_at > asked_at:
            raise TakenError(f"{mac}: something was said of it meanwhile")

    def _is_proved(self, mac: str, found: Found, claim: Claim, ttl: float) -> bool:
        """Whether nobody else uses a proxy; take note of it if that is not proved."""
        seen, owner = self._observed.leases.get(mac), found.lease.owner if found.lease else None
        before = seen.lease if seen else None
        if claim is Claim.SILENT:
            if owner in (None, self._owner, self._predecessor):
                return True
            if self._unrenewed.is_over(mac, found.revision, now(), ttl):
                return True
            if found.lease:
                self._observed.took(mac, found.lease)
            return False
        if claim is Claim.INHERITED:
            proved, before = owner is not None and owner == self._predecessor, None
        else:
            known = seen.revision if seen else None
            proved = found.given_back and known is not None and found.revision > known
        if not proved:
            self._observed.doubt(mac, found.lease or before)
        return proved
