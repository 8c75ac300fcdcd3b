"""What an owner sees of the others: leases, heartbeats, what they see, and what people wish for.

Everything that is put into a bucket passes on a subject, and is heard there; what was put before is
read once, and again after each break. What was heard may have been refused by the store, or come
late, so nothing is taken for free or for ours because of it: `taking.py` looks at the store first.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Final, TypeVar

from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from proxyconn_cluster.bus.connection import Bus, Subscribed
from proxyconn_cluster.bus.messages import Message, MessageError, decode
from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.lease_store import (
    entry_of,
    everything_in,
    follows,
    is_given_back,
    is_marker,
)
from proxyconn_cluster.ownership.placement import Owner
from proxyconn_cluster.ownership.records import Heartbeat, Lease, Sight, Wish, unpacked

MOST_OWNERS: Final = 1024
MOST_PROXIES: Final = 65536
"""Keys that are kept of what others put: whoever may put some can put any number."""

MessageT = TypeVar("MessageT", bound=Message)

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Seen:
    """A lease, as it was heard of last.

    Attributes:
        lease: what it says; None if it cannot be read.
        at: when anybody else said something of it, by our clock.
        free: whether somebody has said that it is given back: the store knows whether that is so.
        revision: one that the store had of it since we listen, before the last that was heard;
            None for none.
    """

    lease: Lease | None
    at: float
    free: bool = False
    revision: int | None = None


@dataclass(slots=True)
class Sees:
    """What an owner can use.

    Attributes:
        number: of its `Sight`.
        macs: MAC addresses of all of it.
        named: of those that its user named.
        at: when that was heard, by our clock.
    """

    number: int
    macs: frozenset[str]
    named: frozenset[str]
    at: float


NOTHING: Final = Sees(0, frozenset(), frozenset(), float("-inf"))


@dataclass(slots=True)
class Buckets:
    """The buckets of a fleet."""

    leases: KeyValue
    owners: KeyValue
    seen: KeyValue
    wishes: KeyValue


@dataclass
class Observed:
    """What is known of the others.

    Args:
        bus: the connection.
        changed: called when something is another way than before.
        owner: our id: what we say ourselves is no news.

    Attributes:
        leases: MAC address -> lease.
        owners: id -> heartbeat, and when it was heard, by our clock.
        sees: id -> what that owner can use.
        overtaken: ids of owners of which the store may have an older one.
        wishes: MAC address -> wish.
    """

    bus: Bus
    changed: Callable[[], None]
    owner: str = ""
    leases: dict[str, Seen] = field(default_factory=dict)
    owners: dict[str, tuple[Heartbeat, float]] = field(default_factory=dict)
    sees: dict[str, Sees] = field(default_factory=dict)
    overtaken: set[str] = field(default_factory=set)
    wishes: dict[str, Wish] = field(default_factory=dict)
    _heard: list[Subscribed] = field(default_factory=list)
    _told: set[tuple[str, str]] = field(default_factory=set)

    async def start(self) -> None:
        """Begin to listen."""
        subjects = self.bus.subjects
        for bucket, handler in (
            (subjects.leases, self._hear_lease),
            (subjects.owners, self._handler(self._take_heartbeat)),
            (subjects.seen, self._handler(self._take_sight)),
            (subjects.wishes, self._handler(self._take_wish)),
        ):
            self._heard.append(await self.bus.subscribe(subjects.entries(bucket), handler))

    async def stop(self) -> None:
        """Listen no more; idempotent."""
        for one in self._heard:
            await self.bus.unsubscribe(one)
        self._heard.clear()

    def begin_anew(self) -> None:
        """Take it that something may not have been heard: the store may be another one by now."""
        for seen in self.leases.values():
            seen.revision = None

    async def read(self, buckets: Buckets) -> None:
        """Take what was put while nobody listened. Raises UnreachableError.

        What is not there any more is not taken for free: it must be silent for a lease as well. A
        wish that is not there any more was taken back.
        """
        before = dict(self.wishes)
        async for mac, value, revision in everything_in(buckets.leases):
            self._note(mac, self._decoded(mac, value, Lease), revision)
        for bucket, take in (
            (buckets.owners, self._take_heartbeat),
            (buckets.seen, self._read_sight),
            (buckets.wishes, self._take_wish),
        ):
            async for key, value, _ in everything_in(bucket):
                take(key, value)
        # What is another object now was heard meanwhile, or read.
        for mac in [mac for mac, wish in before.items() if self.wishes.get(mac) is wish]:
            self._take_wish(mac, None)

    def live(self, ttl: float) -> list[Owner]:
        """Return the owners that were heard within `ttl` seconds, and forget others in time."""
        since = now() - ttl
        self.owners = {id_: one for id_, one in self.owners.items() if one[1] > since}
        # What an owner sees is heard a moment before its first heartbeat.
        self.sees = {
            id_: one for id_, one in self.sees.items() if id_ in self.owners or one.at > since
        }
        self.overtaken &= self.sees.keys()
        return [
            Owner(id_, beat.site, sees.macs, sees.named)
            for id_, (beat, _) in self.owners.items()
            for sees in [self.sees.get(id_, NOTHING)]
        ]

    async def catch_up(self, seen: KeyValue) -> None:
        """Read what was written of owners and has not been heard. Raises UnreachableError."""
        for id_, (beat, _) in list(self.owners.items()):
            if beat.sight != self.sees.get(id_, NOTHING).number:
                self._take_sight(id_, await entry_of(seen, id_))

    def heard_since(self, mac: str, asked_at: float) -> bool:
        """Whether anybody else has said something of a proxy since some moment, by our clock."""
        seen = self.leases.get(mac)
        return seen is not None and seen.at > asked_at

    def took(self, mac: str, lease: Lease) -> None:
        """Take note of who has a proxy, as the store said."""
        seen = self.leases.get(mac)
        if seen is None or seen.free or seen.lease is None or seen.lease.owner != lease.owner:
            self.doubt(mac, lease)

    def doubt(self, mac: str, lease: Lease | None) -> None:
        """Have a proxy be somebody's, for all that is known, until it is silent for a lease."""
        seen = self.leases.get(mac)
        self.leases[mac] = Seen(lease, now(), revision=seen.revision if seen else None)

    def _handler(
        self, take: Callable[[str, bytes | None], None]
    ) -> Callable[[Msg], Awaitable[None]]:
        async def handle(msg: Msg) -> None:
            key = msg.subject.rpartition(".")[2]
            take(key, None if is_marker(msg.headers) else msg.data)

        return handle

    async def _hear_lease(self, msg: Msg) -> None:
        mac = msg.subject.rpartition(".")[2]
        seen = self.leases.get(mac)
        if is_given_back(msg.headers):
            if seen is not None:
                seen.free, seen.at = True, now()
                self.changed()
        elif not is_marker(msg.headers):
            lease = self._decoded(mac, msg.data, Lease)
            if lease is None or lease.owner != self.owner:
                self._note(mac, lease, follows(msg.headers))

    def _note(self, mac: str, lease: Lease | None, revision: int) -> None:
        seen = self.leases.get(mac)
        if seen is None and len(self.leases) >= MOST_PROXIES:
            return
        known = (seen.revision if seen else None) or 0
        self.leases[mac] = Seen(lease, now(), revision=max(known, revision))
        if seen is None or seen.lease is None or lease is None or seen.lease.owner != lease.owner:
            self.changed()

    def _take_heartbeat(self, owner: str, data: bytes | None) -> None:
        known = owner in self.owners
        if data is None:
            self.sees.pop(owner, None)
            if self.owners.pop(owner, None):
                self.changed()
        elif (beat := self._decoded(owner, data, Heartbeat)) and (
            known or len(self.owners) < MOST_OWNERS
        ):
            self.owners[owner] = (beat, now())
            if not known:
                self.changed()

    def _take_sight(self, owner: str, data: bytes | None) -> None:
        sight = None if data is None else self._decoded(owner, data, Sight)
        known = self.sees.get(owner)
        if sight is None:
            self.sees.pop(owner, None)
        elif known and sight.number < known.number:
            # It comes late, and is what the store has now.
            self.overtaken.add(owner)
            return
        elif known or len(self.sees) < MOST_OWNERS:
            named = unpacked(sight.named)
            macs = unpacked(sight.found) | named
            self.sees[owner] = Sees(sight.number, macs, named, now())
        self.changed()

    def _read_sight(self, owner: str, data: bytes) -> None:
        # That of owners who have died is kept for longer than they are.
        if owner in self.owners:
            self._take_sight(owner, data)

    def _take_wish(self, mac: str, data: bytes | None) -> None:
        wish = None if data is None else self._decoded(mac, data, Wish)
        if wish is None:
            self.wishes.pop(mac, None)
        elif mac in self.wishes or len(self.wishes) < MOST_PROXIES:
            self.wishes[mac] = wish
        self.changed()

    def _decoded(self, key: str, data: bytes, kind: type[MessageT]) -> MessageT | None:
        """Return what was put under a key, or None; that it is of no use is told once."""
        try:
            return decode(data, kind)
        except MessageError as exc:
            what = (kind.__name__, key)
            if what not in self._told and len(self._told) < MOST_OWNERS:
                self._told.add(what)
                _LOGGER.warning("%s", exc)
            return None
