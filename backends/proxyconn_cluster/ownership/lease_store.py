"""How leases are taken, renewed and given back: compare-and-set in one bucket."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

import nats.errors
from nats.js.api import Header, StorageType
from nats.js.errors import (
    APIError,
    KeyDeletedError,
    KeyNotFoundError,
    KeyWrongLastSequenceError,
    NoKeysError,
)
from nats.js.kv import KV_DEL, KV_MARKER_REASON, KV_OP, KeyValue

from proxyconn_cluster.bus.connection import API_TIMEOUT, Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import MessageError, decode, encode
from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.settings import LONGEST_LEASE, SHORTEST_LEASE

ResultT = TypeVar("ResultT")

SHARE: Final = 0.2
"""Part of a lease that one answer of the store may take: several fit before it runs out."""

SNAPSHOT_TIMEOUT: Final = 5.0
"""Seconds within which everything in a bucket is read."""


WRONG_LAST_SEQUENCE: Final = 10071
"""Code of JetStream (nats-server errors.json); nats-py's class for it is not raised by deletes."""


_LOGGER = logging.getLogger(__name__)


class UnreachableError(ClusterError):
    """The store does not answer: nothing is known of what became of a request."""


class TakenError(ClusterError):
    """It is somebody else's, or was changed by somebody."""


def is_marker(headers: Mapping[str, str] | None) -> bool:
    """Whether an entry says that its key was deleted, or has run out."""
    found = headers or {}
    return KV_OP in found or KV_MARKER_REASON in found


def is_given_back(headers: Mapping[str, str] | None) -> bool:
    """Whether an entry says that somebody has deleted its key: age and purges are no such word."""
    return (headers or {}).get(KV_OP) == KV_DEL


def follows(headers: Mapping[str, str] | None) -> int:
    """Return the revision that an entry was to follow; 0 for none."""
    text = (headers or {}).get(Header.EXPECTED_LAST_SUBJECT_SEQUENCE, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else 0


@dataclass(frozen=True, slots=True)
class Found:
    """What the store says of a proxy.

    Attributes:
        lease: whose it is; None if nobody's.
        revision: of the entry or the marker that is there; 0 for neither.
        given_back: whether it is a marker by which somebody has given it back.
    """

    lease: Lease | None
    revision: int
    given_back: bool = False


class LeaseStore:
    """The bucket of the leases.

    Args:
        bus: the connection.
        bucket: the bucket.
        ttl: seconds for which what is in it is kept.

    Attributes:
        ttl: as above.
    """

    def __init__(self, bus: Bus, bucket: KeyValue, ttl: float) -> None:
        self._bus = bus
        self._bucket = bucket
        self.ttl = ttl
        self._timeout = min(API_TIMEOUT, ttl * SHARE)

    async def take(self, mac: str, lease: Lease, after: int = 0) -> int:
        """Take a lease if nothing has come after some revision; returns its own.

        Raises:
            TakenError: something has.
            UnreachableError: it may be ours or not.
        """
        return await self._asked(self._bucket.update(mac, encode(lease), last=after))

    async def renew(self, mac: str, lease: Lease, revision: int) -> int:
        """Renew a lease; returns its new revision.

        Raises:
            TakenError: it is of another revision by now, or has run out.
            UnreachableError: it may be renewed or not.
        """
        return await self._asked(self._bucket.update(mac, encode(lease), last=revision))

    async def confirm(self, mac: str, lease: Lease) -> int:
        """Renew a lease that is of another revision than we know of; returns its new one.

        Raises:
            TakenError: it is another owner's.
            UnreachableError: it may be renewed or not.
        """
        try:
            found = await self.look(mac)
        except MessageError as exc:
            raise TakenError(str(exc)) from None
        # None: the store has lost it, and nobody has taken it since.
        if found.lease not in (None, lease):
            raise TakenError(mac)
        # Ours: an earlier request of ours got through, and its answer did not.
        return await self.take(mac, lease, found.revision)

    async def give_back(self, mac: str, lease: Lease, revision: int) -> None:
        """Let others have it at once. Raises TakenError, UnreachableError, MessageError."""
        try:
            await self._asked(self._bucket.delete(mac, last=revision))
        except TakenError:
            # It may have been renewed in this very moment.
            found = await self.look(mac)
            if found.lease == lease:
                await self._asked(self._bucket.delete(mac, last=found.revision))

    async def look(self, mac: str) -> Found:
        """Return what is there.

        Raises:
            UnreachableError: it cannot be read.
            MessageError: whoever has it says so in a way that is not known here.
        """
        return await self._asked(self._look(mac))

    async def _look(self, mac: str) -> Found:
        try:
            entry = await self._bucket.get(mac)
        except KeyNotFoundError as exc:
            # nats-py says so of a marker as well, which it has in the error.
            revision = exc.entry.revision if exc.entry else 0
            return Found(None, revision or 0, exc.op == KV_DEL)
        # A server that marks what has run out says nothing more of it.
        lease = decode(entry.value, Lease) if entry.value else None
        return Found(lease, entry.revision or 0)

    async def _asked(self, request: Awaitable[ResultT]) -> ResultT:
        if not self._bus.connected:
            # nats-py would keep it, and send it when that is of no use to anybody.
            if asyncio.iscoroutine(request):
                request.close()
            raise UnreachableError(f"{self._bus.servers}: no connection")
        try:
            async with asyncio.timeout(self._timeout):
                return await request
        except (KeyWrongLastSequenceError, KeyNotFoundError, KeyDeletedError) as exc:
            raise TakenError(str(exc)) from None
        except (nats.errors.Error, TimeoutError, OSError) as exc:
            if isinstance(exc, APIError) and exc.err_code == WRONG_LAST_SEQUENCE:
                raise TakenError(str(exc)) from None
            why = exc.description if isinstance(exc, APIError) else exc
            raise UnreachableError(f"{self._bus.servers}: {why or 'no answer'}") from None


async def put(bucket: KeyValue, key: str, value: bytes, ttl: float) -> None:
    """Put something that nobody else does. Raises UnreachableError."""
    await _within(ttl * SHARE, bucket.put(key, value))


async def entry_of(bucket: KeyValue, key: str) -> bytes | None:
    """Return what is said under a key; None if nothing is. Raises UnreachableError."""
    try:
        return (await _within(API_TIMEOUT, bucket.get(key))).value
    except (KeyNotFoundError, KeyDeletedError):
        return None


async def lease_of(bucket: KeyValue) -> float | None:
    """Return for how many seconds the bucket of the leases keeps them; None for ever.

    Raises:
        UnreachableError: it does not say.
        ClusterError: it was made by hand, and no lease can be like that.
    """
    status = await _within(API_TIMEOUT, bucket.status())
    config = status.stream_info.config
    if status.ttl and not SHORTEST_LEASE <= status.ttl <= LONGEST_LEASE:
        raise ClusterError(
            f"the stream {config.name} keeps leases for {status.ttl:g} s, where "
            f"{SHORTEST_LEASE:g} to {LONGEST_LEASE:g} s are of use: delete it while no owner runs, "
            "and the next owner makes it anew"
        )
    if config.storage == StorageType.MEMORY:
        _LOGGER.warning(
            "the stream %s is in memory: a broker that restarts gives every proxy away; delete it "
            "while no owner runs, and the next owner makes it anew, in a file",
            config.name,
        )
    return status.ttl


async def _within(seconds: float, request: Awaitable[ResultT]) -> ResultT:
    try:
        async with asyncio.timeout(seconds):
            return await request
    except (KeyNotFoundError, KeyDeletedError):
        raise
    except (nats.errors.Error, TimeoutError, OSError) as exc:
        raise UnreachableError(f"the store does not answer: {exc or 'in time'}") from None


async def everything_in(bucket: KeyValue) -> AsyncIterator[tuple[str, bytes, int]]:
    """Yield every key of a bucket, what is said there, and its revision.

    Raises:
        UnreachableError: it cannot be read.
    """
    try:
        async with asyncio.timeout(SNAPSHOT_TIMEOUT):
            watcher = await bucket.watchall(ignore_deletes=True)
            try:
                async for entry in watcher:
                    if entry is None:
                        break
                    if entry.operation != KV_DEL and entry.value is not None:
                        yield entry.key, entry.value, entry.revision or 0
            finally:
                await watcher.stop()  # type: ignore[no-untyped-call]
    except NoKeysError:
        return
    except (nats.errors.Error, TimeoutError, OSError) as exc:
        raise UnreachableError(f"the store cannot be read: {exc}; may this user?") from None


__all__ = ["LeaseStore", "MessageError", "TakenError", "UnreachableError", "everything_in"]
