"""A proxy is taken only if it is proved that nobody else uses it, whatever the store has lost."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest

from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.ownership import deciding, observed
from proxyconn_cluster.ownership.clock import now
from proxyconn_cluster.ownership.deciding import SETTLE, UNHEARD, Claim, Deciding
from proxyconn_cluster.ownership.held_leases import HeldLeases
from proxyconn_cluster.ownership.lease_store import Found, LeaseStore, TakenError
from proxyconn_cluster.ownership.observed import Observed, Seen, Sees
from proxyconn_cluster.ownership.records import Heartbeat, Lease
from proxyconn_cluster.ownership.taking import Taking
from proxyconn_cluster.settings import WhenCutOff

from .line import Line
from .nats_server import NatsServer
from .place import Cluster, Member, until

MAC = "aabbccddee01"
LONG = 20.0
"""Seconds of a lease of which nobody waits for a part."""


def lease_of(owner: str, epoch: int = 1) -> Lease:
    """Return what an owner writes down of the only proxy."""
    return Lease(sender=owner, owner=owner, site="home", name="attic", epoch=epoch)


class Other:
    """Another owner, which has a lease and does with the store what is said."""

    def __init__(self, bus: Bus, mac: str, store: LeaseStore) -> None:
        self.bus = bus
        self.mac = mac
        self.store = store
        self.lease = lease_of("x-1")
        self.revision = 0

    async def renew(self) -> None:
        """Take it, or renew it."""
        self.revision = await self.store.take(self.mac, self.lease, self.revision)

    async def replay(self, headers: dict[str, str], data: bytes = b"") -> None:
        """Say something of it that was said before."""
        subjects = self.bus.subjects
        await self.bus.client.publish(f"$KV.{subjects.leases}.{self.mac}", data, headers=headers)
        await self.bus.client.flush()

    async def given_back_before(self) -> None:
        """Have the word by which it was given back arrive once more; the store refuses it."""
        await self.replay({"KV-Operation": "DEL", "Nats-Expected-Last-Subject-Sequence": "1"})

    async def lose_all(self) -> None:
        """Empty the store."""
        await self.bus.jetstream.purge_stream(f"KV_{self.bus.subjects.leases}")
        self.revision = 0


async def another(cluster: Cluster, bus: Bus, lease: float) -> Other:
    """Return another owner that has the only proxy."""
    await cluster.build(["attic"])
    bucket = await bus.bucket(bus.subjects.leases, lease)
    mac = cluster.proxy("attic").mac.replace(":", "").lower()
    other = Other(bus, mac, LeaseStore(bus, bucket, lease))
    await other.renew()
    return other


@pytest.fixture
async def other(cluster: Cluster, bus: Bus) -> Other:
    """Return another owner, the lease of which does not run out."""
    return await another(cluster, bus, LONG)


async def settled(member: Member, other: Other) -> None:
    """Wait until an owner knows of the lease, and takes what it may."""
    tenure = member.membership.tenure
    await until(lambda: tenure.sees == 1 and other.mac in tenure.observed.leases)
    since = tenure.deciding.listens_since
    await until(lambda: now() - since > SETTLE * LONG)
    await other.renew()


async def test_what_was_given_back_before(cluster: Cluster, other: Other) -> None:
    """An old word that comes late frees nothing, not even where the store was emptied."""
    member = await cluster.owner("b", lease=LONG)
    await settled(member, other)
    await other.given_back_before()
    await asyncio.sleep(0.5)
    assert member.has == set(), "the store has another one's lease"
    await other.lose_all()
    await other.given_back_before()
    await asyncio.sleep(0.5)
    assert member.has == set(), "the store has lost whose it is"
    await other.renew()
    await other.store.give_back(other.mac, other.lease, other.revision)
    await until(lambda: member.ready == {"attic"}, LONG / 2)


async def test_our_own_request_that_comes_late(cluster: Cluster, other: Other) -> None:
    """What we asked for before is not ours because an emptied store takes it now."""
    member = await cluster.owner("b", lease=LONG)
    await settled(member, other)
    await other.lose_all()
    first = {"Nats-Expected-Last-Subject-Sequence": "0"}
    await other.replay(first, encode(lease_of(member.owner)))
    await other.given_back_before()
    await asyncio.sleep(0.5)
    assert member.has == set()


async def test_who_was_cut_off_knows_nothing(
    stack: AsyncExitStack, cluster: Cluster, bus: Bus, server: NatsServer
) -> None:
    """Silence counts only while we listen: others have spoken meanwhile, and will again."""
    lease = 6.0
    other = await another(cluster, bus, lease)

    async def renew(times: int) -> None:
        for _ in range(times):
            await asyncio.sleep(0.2 * lease)
            await other.renew()

    line = Line(server.port)
    await line.open()
    stack.push_async_callback(line.cut)
    member = await cluster.owner("b", lease=lease, url=line.url)
    tenure = member.membership.tenure
    await until(lambda: other.mac in tenure.observed.leases)
    await renew(3)
    await line.cut()
    await until(lambda: not member.membership.bus.connected)
    await renew(7)
    await other.lose_all()
    await line.mend()
    await until(lambda: member.membership.bus.connected)
    await asyncio.sleep(0.1 * lease)
    assert member.has == set()
    for _ in range(5):
        await renew(1)
        assert member.has == set()


@pytest.fixture
async def taking(bus: Bus) -> tuple[LeaseStore, Observed, Taking]:
    """Return what takes leases, and the store."""
    store = LeaseStore(bus, await bus.bucket(bus.subjects.leases, LONG), LONG)
    seen = Observed(bus, lambda: None, "b-1")
    return store, seen, Taking("b-1", "b-0", seen)


Parts = tuple[LeaseStore, Observed, Taking]


async def test_each_claim_is_proved(taking: Parts) -> None:
    """Nothing at all is a proof after silence, and for nothing else."""
    store, seen, take = taking
    for claim in (Claim.GIVEN_BACK, Claim.INHERITED):
        seen.leases[MAC] = Seen(lease_of("x-1"), 0.0, free=True)
        with pytest.raises(TakenError):
            await take.take(store, MAC, lease_of("b-1"), claim)
        assert not seen.leases[MAC].free
        assert seen.leases[MAC].at > 0.0, "it must be silent for a lease from now on"
    assert await take.take(store, MAC, lease_of("b-1"), Claim.SILENT) > 0
    found = (await store.look(MAC)).lease
    assert found == lease_of("b-1")


async def test_given_back_before_what_was_heard(taking: Parts) -> None:
    """A store that is what it was before has a marker of before."""
    store, seen, take = taking
    revision = await store.take(MAC, lease_of("x-1"))
    await store.give_back(MAC, lease_of("x-1"), revision)
    marker = (await store.look(MAC)).revision
    seen.leases[MAC] = Seen(lease_of("x-1"), 0.0, free=True, revision=marker)
    with pytest.raises(TakenError):
        await take.take(store, MAC, lease_of("b-1"), Claim.GIVEN_BACK)
    # After a break it is not known what came after the marker.
    seen.leases[MAC] = Seen(lease_of("x-1"), 0.0, free=True, revision=revision)
    take.begin_anew()
    with pytest.raises(TakenError):
        await take.take(store, MAC, lease_of("b-1"), Claim.GIVEN_BACK)
    seen.leases[MAC] = Seen(lease_of("x-1"), 0.0, free=True, revision=revision)
    assert await take.take(store, MAC, lease_of("b-1"), Claim.GIVEN_BACK) > marker


async def test_what_runs_out_by_age_is_no_word(taking: Parts, bus: Bus) -> None:
    """A server may mark what has run out, by its own clock: nobody has given it back."""
    _, seen, _ = taking
    await seen.start()
    subject = f"$KV.{bus.subjects.leases}."
    seen.leases[MAC] = Seen(lease_of("x-1"), 0.0)
    for headers in ({"Nats-Marker-Reason": "MaxAge"}, {"KV-Operation": "PURGE"}):
        await bus.client.publish(subject + MAC, b"", headers=headers)
    await bus.client.publish(f"{subject}other", encode(lease_of("x-1")))
    await until(lambda: "other" in seen.leases)
    assert seen.leases[MAC] == Seen(lease_of("x-1"), 0.0)
    await bus.client.publish(subject + MAC, b"", headers={"KV-Operation": "DEL"})
    await until(lambda: seen.leases[MAC].free)
    await seen.stop()


async def test_only_a_predecessors_entry_is_inherited(taking: Parts) -> None:
    """What was anybody else's by the time that we ask is not."""
    store, seen, take = taking
    seen.leases[MAC] = Seen(lease_of("b-0"), 0.0)
    revision = await store.take(MAC, lease_of("x-1"))
    with pytest.raises(TakenError):
        await take.take(store, MAC, lease_of("b-1"), Claim.INHERITED)
    await store.renew(MAC, lease_of("b-0"), revision)
    assert await take.take(store, MAC, lease_of("b-1"), Claim.INHERITED) > revision


@pytest.mark.parametrize("late", [False, True])
async def test_what_is_heard_while_we_ask(taking: Parts, late: bool) -> None:
    """Who was stopped hears what was said meanwhile before the store's answer, and thinks again."""
    store, seen, take = taking
    look, put = store.look, store.take

    async def looked(mac: str) -> Found:
        found = await look(mac)
        if not late:
            seen.doubt(mac, lease_of("x-1"))
        return found

    async def taken(mac: str, lease: Lease, after: int = 0) -> int:
        revision = await put(mac, lease, after)
        seen.doubt(mac, lease_of("x-1"))
        return revision

    store.look, store.take = looked, taken  # type: ignore[method-assign]
    seen.leases[MAC] = Seen(lease_of("x-1"), 0.0)
    with pytest.raises(TakenError):
        await take.take(store, MAC, lease_of("b-1"), Claim.SILENT)
    assert (await look(MAC)).lease is None


class Clock:
    """A clock that is set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.time = 1000.0
        for module in (deciding, observed):
            monkeypatch.setattr(module, "now", lambda: self.time)


def test_silence_counts_while_we_listen(bus: Bus, monkeypatch: pytest.MonkeyPatch) -> None:
    """A lease that was heard of, and one that was not, are free after what could not be heard."""
    clock = Clock(monkeypatch)
    seen = Observed(bus, lambda: None, "b-1")
    decides = Deciding("b-1", HeldLeases(lambda: clock.time, WhenCutOff.LET_GO, 10.0), seen)

    def claims() -> dict[str, Claim]:
        seen.owners["b-1"] = (Heartbeat(site="home", age=1.0), clock.time)
        seen.sees["b-1"] = Sees(1, frozenset({MAC, "other"}), frozenset(), clock.time)
        return decides.decide([MAC, "other"], ()).take

    decides.listens_since = clock.time
    seen.leases[MAC] = Seen(lease_of("x-1"), clock.time)
    clock.time += 9.9
    assert claims() == {"other": Claim.SILENT}
    clock.time += 0.2
    assert claims() == {"other": Claim.SILENT, MAC: Claim.SILENT}
    decides.listens_since = float("inf")
    assert claims() == {}
    decides.listens_since = clock.time
    clock.time += UNHEARD * 10.0 - 0.1
    assert claims() == {"other": Claim.SILENT}
    # Another owner may have had it before we listened.
    seen.owners["x-1"] = (Heartbeat(site="home", age=SETTLE * 10.0 + 7.5), clock.time)
    assert claims() == {}
    clock.time += 0.2
    assert claims() == {"other": Claim.SILENT, MAC: Claim.SILENT}
    seen.leases[MAC] = Seen(lease_of("x-1"), clock.time, free=True)
    assert claims() == {"other": Claim.SILENT, MAC: Claim.GIVEN_BACK}
