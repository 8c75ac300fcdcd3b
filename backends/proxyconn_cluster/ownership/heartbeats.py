"""Says that an owner lives, all the time, and what it can use, when that changes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Final

from proxyconn.radio import Candidate
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.lease_store import put
from proxyconn_cluster.ownership.observed import Buckets
from proxyconn_cluster.ownership.records import MOST_SEEN, Heartbeat, Sight, packed

SIGHT_KEPT: Final = 3600.0
"""Seconds for which the store keeps what an owner sees: that of dead ones goes by itself."""

SIGHT_AGAIN: Final = SIGHT_KEPT / 3
"""Seconds after which it is written again though nothing has changed."""

_LOGGER = logging.getLogger(__name__)


class Heartbeats:
    """Says that one owner lives, and what it sees.

    Args:
        owner: id of the owner.
        site: where it is.
    """

    def __init__(self, owner: str, site: str) -> None:
        self._owner = owner
        self._site = site
        self._number = 0
        self._told: tuple[bytes, bytes] = (b"", b"")
        self._told_at = float("-inf")
        self._said_too_many = False

    def tell_anew(self) -> None:
        """Take it that the store may have lost what it was told."""
        self._told_at = float("-inf")

    async def beat(
        self, buckets: Buckets, seen: Mapping[str, Candidate], age: float, ttl: float
    ) -> Heartbeat:
        """Say it, and return what was said.

        Args:
            buckets: where.
            seen: the proxies that the owner can use, by their MAC addresses.
            age: seconds that it lives.
            ttl: seconds for which a heartbeat counts.

        Raises:
            UnreachableError: nobody is told.
        """
        await self._tell_sight(buckets, seen, ttl)
        beat = Heartbeat(sender=self._owner, site=self._site, age=round(age, 3), sight=self._number)
        await put(buckets.owners, self._owner, encode(beat), ttl)
        return beat

    async def _tell_sight(
        self, buckets: Buckets, seen: Mapping[str, Candidate], ttl: float
    ) -> None:
        macs = sorted(seen)
        if len(macs) > MOST_SEEN:
            self._say_too_many(len(macs))
            del macs[MOST_SEEN:]
        found = packed(mac for mac in macs if not seen[mac].named)
        named = packed(mac for mac in macs if seen[mac].named)
        if self._told == (found, named) and now() - self._told_at < SIGHT_AGAIN:
            return
        sight = Sight(sender=self._owner, number=self._number + 1, found=found, named=named)
        await put(buckets.seen, self._owner, encode(sight), ttl)
        self._number, self._told, self._told_at = sight.number, (found, named), now()

    def _say_too_many(self, count: int) -> None:
        if not self._said_too_many:
            self._said_too_many = True
            _LOGGER.warning(
                "%d proxies are seen, and %d of them are shared out at most: make several fleets",
                count,
                MOST_SEEN,
            )
