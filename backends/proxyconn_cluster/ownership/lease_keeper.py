"""Keeps the leases of one owner: takes what it should have, renews, gives back, and lets go.

A lease is ours until two thirds of it have passed, by our own clock, since we *asked* for it to be
renewed; the store gives it to another one only when all of it has passed since it *heard* that.
Whatever is sent to a proxy asks here first (`holds`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final

from proxyconn.callbacks import Callbacks, log_failure
from proxyconn.radio import Candidate, Tenure
from proxyconn_cluster import fence
from proxyconn_cluster.bus.cancelling import cancelled
from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import MessageError
from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.deciding import Claim, Deciding
from proxyconn_cluster.ownership.heartbeats import SIGHT_KEPT, Heartbeats
from proxyconn_cluster.ownership.held_leases import HeldLease, HeldLeases
from proxyconn_cluster.ownership.lease_store import (
    LeaseStore,
    TakenError,
    UnreachableError,
    lease_of,
)
from proxyconn_cluster.ownership.observed import Buckets, Observed
from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.ownership.taking import Taking

RENEW: Final = 0.3
"""Part of a lease after which it is renewed."""

TICK: Final = 0.05
"""Part of a lease after which what has run out is looked for, and what could be taken."""

GOODBYE: Final = 1.0
"""Seconds that it may take to say that an owner lives no more."""

_LOGGER = logging.getLogger(__name__)


class LeaseKeeper(Tenure):
    """Keeps the leases of an owner.

    Args:
        bus: the connection.
        owner: our id.
        predecessor: id of an earlier run of ours that is surely gone; None if none is known.

    Attributes:
        owner: as above.
        held_leases: what is ours.
        observed: what the others have.
        deciding: what we do about each proxy.
    """

    def __init__(self, bus: Bus, owner: str, predecessor: str | None = None) -> None:
        settings = bus.settings
        self.owner = owner
        self._predecessor = predecessor
        self.held_leases = HeldLeases(now, settings.when_cut_off, settings.lease)
        self._bus = bus
        self._site = settings.site
        self._heartbeats = Heartbeats(owner, settings.site)
        self._store: LeaseStore | None = None
        self._buckets: Buckets | None = None
        self._started_at = now()
        self._candidates: Mapping[str, Candidate] = {}
        self._changed = Callbacks[[]]("the leases")
        self._news = asyncio.Event()
        self._offered = asyncio.Event()
        self._breaks = 0
        self.observed = Observed(bus, self._news.set, owner)
        self.deciding = Deciding(owner, self.held_leases, self.observed, predecessor)
        self._forget_bus = bus.register_state_callback(self._bus_changed)
        self._taking = Taking(owner, predecessor, self.observed)
        self._asking: set[str] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._takes: set[asyncio.Task[None]] = set()
        self._giving_back: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to take proxies.

        Raises:
            ClusterError: there is no store for leases.
        """
        await self.observed.start()
        await self._open()
        if self._predecessor:
            await self._say_gone(self._predecessor)
        fence.put_up(self.check)
        for work in (self._tick, self._renew, self._catch_up, self._place):
            self._spawn(self._tasks, self._keep_doing(work))

    async def aclose(self) -> None:
        """Give back what is left, and say that we go; idempotent."""
        fence.put_up(None)
        self._forget_bus()
        # What was asked for may be ours by now: it is given back with the rest.
        self._candidates = {}
        await cancelled(self._tasks)
        await asyncio.gather(*self._takes, return_exceptions=True)
        for mac in list(self.held_leases.held):
            self.let_go(mac)
        await asyncio.gather(*self._giving_back, return_exceptions=True)
        if self._bus.connected:
            await self._say_gone(self.owner)
        await self.observed.stop()

    async def _say_gone(self, owner: str) -> None:
        """Say that an owner lives no more."""
        if self._buckets is None:
            return
        try:
            async with asyncio.timeout(GOODBYE):
                await self._buckets.owners.delete(owner)
                await self._buckets.seen.delete(owner)
        except Exception as exc:  # noqa: BLE001 - the heartbeat runs out by itself
            _LOGGER.debug("%s: no goodbye: %r", owner, exc)

    # What the fleet asks

    def offer(self, candidates: Mapping[str, Candidate]) -> None:
        """Take note of every proxy that could be used."""
        self._candidates = dict(candidates)
        self._offered.set()
        self._news.set()

    def wanted(self, mac: str) -> bool:
        """Whether a proxy is to be used now."""
        held = self.held_leases.held.get(mac)
        return held is not None and not held.leaving and self.held_leases.is_ours(mac)

    def holds(self, mac: str) -> bool:
        """Whether a proxy is ours at this very moment."""
        return self.held_leases.is_ours(mac)

    def had_owner(self, mac: str) -> bool:
        """Whether another owner had a proxy before, whose links it may have."""
        held = self.held_leases.held.get(mac)
        return held is not None and held.inherited

    def let_go(self, mac: str) -> None:
        """Give back the lease of a proxy of which nothing is used any more."""
        if (held := self.held_leases.held.pop(mac, None)) and self._store:
            self._spawn(self._giving_back, self._give_back(self._store, mac, held))

    def register(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Call `callback()` whenever something is wanted that was not, or not any more."""
        return self._changed.register(callback)

    def check(self) -> None:
        """Have what has run out cut off, before anything else is done."""
        if gone := self.held_leases.run_out():
            self._lost(gone)

    # What is known

    @property
    def sees(self) -> int:
        """How many proxies we could use."""
        return len(self._candidates)

    @property
    def age(self) -> float:
        """Seconds since we began."""
        return now() - self._started_at

    def name_of(self, mac: str) -> str:
        """Return what a proxy is called; its MAC address if that is not known."""
        candidate = self._candidates.get(mac)
        return candidate.name if candidate else mac

    # The store

    async def _open(self) -> None:
        """Find the buckets, and what is in them. Raises ClusterError."""
        bus, lease, breaks = self._bus, self.held_leases.ttl, self._breaks
        leases = await bus.bucket(bus.subjects.leases, lease)
        ttl = await lease_of(leases) or lease
        if ttl != lease:
            _LOGGER.warning("leases are for %g s here, as the first owner has said", ttl)
        self.held_leases.ttl = ttl
        buckets = Buckets(
            leases,
            await bus.bucket(bus.subjects.owners, ttl),
            await bus.bucket(bus.subjects.seen, SIGHT_KEPT),
            await bus.bucket(bus.subjects.wishes, 0),
        )
        await self.observed.read(buckets)
        self._heartbeats.tell_anew()
        if breaks != self._breaks:
            raise UnreachableError("the connection was lost meanwhile")
        self._buckets, self._store = buckets, LeaseStore(bus, leases, ttl)
        self.deciding.listens_since = min(self.deciding.listens_since, now())

    def _bus_changed(self) -> None:
        if not self._bus.connected and self.held_leases.held:
            self.held_leases.cut_off = True
        # nats-py's buckets belong to one connection, and something may have been missed.
        self._store = None
        self._breaks += 1
        self.deciding.listens_since = float("inf")
        self._taking.begin_anew()
        self._news.set()

    # What goes on all the time

    async def _keep_doing(self, work: Callable[[], Awaitable[None]]) -> None:
        """Do it again and again: a defect must not leave us with leases that nobody minds."""
        while True:
            try:
                await work()
            except Exception:
                _LOGGER.exception("this should not happen")
                await asyncio.sleep(self.held_leases.ttl * TICK)

    async def _tick(self) -> None:
        if gone := self.held_leases.tick():
            self._lost(gone)
        self._news.set()
        await asyncio.sleep(self.held_leases.ttl * TICK)

    async def _renew(self) -> None:
        """Renew what is ours; as soon as the store is there again, if it was not."""
        try:
            if self._store is None:
                await self._open()
            await self._beat()
            if store := self._store:
                held = [one for one in self.held_leases.held.items() if not one[1].leaving]
                await asyncio.gather(*(self._renew_one(store, *one) for one in held))
                self.held_leases.cut_off = False
        except (ClusterError, MessageError) as exc:
            self._failed(exc)
        await asyncio.sleep(self.held_leases.ttl * TICK)
        if self._store and not self.held_leases.cut_off:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self.held_leases.ttl * (RENEW - TICK)):
                    await self._offered.wait()
        self._offered.clear()

    async def _catch_up(self) -> None:
        """Read what was not heard: by itself, for nobody's lease may wait for it."""
        await asyncio.sleep(self.held_leases.ttl * RENEW)
        if self._store and self._buckets:
            try:
                await self.observed.catch_up(self._buckets.seen)
            except ClusterError as exc:
                _LOGGER.debug("what others see is not read: %s", exc)

    def _failed(self, exc: Exception) -> None:
        if not self.held_leases.cut_off and self.held_leases.held:
            _LOGGER.warning("leases are not renewed: %s", exc)
        self.held_leases.cut_off = True

    async def _beat(self) -> None:
        """Say that we live, and what we could use. Raises UnreachableError."""
        left = self.deciding.unseen()
        seen = {mac: one for mac, one in self._candidates.items() if mac not in left}
        if self.owner in self.observed.overtaken:
            self.observed.overtaken.discard(self.owner)
            self._heartbeats.tell_anew()
        if self._buckets:
            beat = await self._heartbeats.beat(self._buckets, seen, self.age, self.held_leases.ttl)
            self.observed.owners[self.owner] = (beat, now())

    async def _renew_one(self, store: LeaseStore, mac: str, held: HeldLease) -> None:
        """Renew a lease. Raises UnreachableError."""
        asked_at = now()
        try:
            revision = await store.renew(mac, held.lease, held.revision)
        except TakenError:
            await self._renew_otherwise(store, mac, held)
            return
        held.revision, held.until = revision, self.held_leases.until(asked_at)

    async def _renew_otherwise(self, store: LeaseStore, mac: str, held: HeldLease) -> None:
        """Find out why a lease is of another revision. Raises UnreachableError."""
        if self.held_leases.held.get(mac) is not held:
            return
        asked_at = now()
        try:
            revision = await store.confirm(mac, held.lease)
        except TakenError:
            if self.held_leases.held.get(mac) is held:
                _LOGGER.warning("%s: another owner has it now", self.name_of(mac))
                del self.held_leases.held[mac]
                self._lost([mac])
            return
        held.revision, held.until = revision, self.held_leases.until(asked_at)

    # Whose each proxy should be

    async def _place(self) -> None:
        await self._news.wait()
        self._news.clear()
        if self._store is None:
            return
        todo = self.deciding.decide(self._candidates, self._asking)
        for mac, claim in todo.take.items():
            self._asking.add(mac)
            self._spawn(self._takes, self._take(mac, claim))
        for mac in todo.leave:
            self.held_leases.held[mac].leaving = True
        if todo.leave:
            self._changed()
        if todo.tell:
            self._offered.set()

    async def _take(self, mac: str, claim: Claim) -> None:
        seen = self.observed.leases.get(mac)
        before = seen.lease if seen else None
        lease = Lease(
            sender=self.owner,
            owner=self.owner,
            site=self._site,
            name=self.name_of(mac),
            epoch=before.epoch + 1 if before else 1,
        )
        asked_at = now()
        try:
            if (store := self._store) is None:
                raise UnreachableError("no store")
            revision = await self._taking.take(store, mac, lease, claim)
        except (ClusterError, MessageError) as exc:
            _LOGGER.debug("%s: not taken: %s", lease.name, exc)
            return
        finally:
            self._asking.discard(mac)
        inherited = before is not None and before.owner not in (self.owner, self._predecessor)
        held = HeldLease(lease, revision, self.held_leases.until(asked_at), inherited)
        if now() < held.until and mac in self._candidates:
            self.held_leases.keep(mac, held)
            _LOGGER.info("%s: it is ours now", lease.name)
            self._changed()
        else:
            await self._give_back(store, mac, held)

    async def _give_back(self, store: LeaseStore, mac: str, held: HeldLease) -> None:
        try:
            await store.give_back(mac, held.lease, held.revision)
        except (ClusterError, MessageError) as exc:
            _LOGGER.debug("%s: not given back: %s", self.name_of(mac), exc)

    def _lost(self, macs: Sequence[str]) -> None:
        names = ", ".join(map(self.name_of, macs))
        _LOGGER.warning("%s: not ours any more: the lease has run out", names)
        self._changed()

    def _spawn(self, tasks: set[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(log_failure)
