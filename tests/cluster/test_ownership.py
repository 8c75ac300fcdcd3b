"""Whose each proxy is: leases on a real broker, over virtual proxies."""

from __future__ import annotations

import asyncio

import pytest
from nats.aio.msg import Msg
from nats.js.api import StorageType

from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import decode, encode
from proxyconn_cluster.ownership.lease_keeper import LeaseKeeper
from proxyconn_cluster.ownership.lease_store import LeaseStore
from proxyconn_cluster.ownership.observed import NOTHING, Buckets, Observed
from proxyconn_cluster.ownership.placement import name_of
from proxyconn_cluster.ownership.records import Lease, Sight, Wish, unpacked
from proxyconn_cluster.settings import WhenCutOff
from proxyconn_cluster.survey import wish_for

from .nats_server import NatsServer
from .place import LEASE, READ, Cluster, Member, connect, peripheral, until

NAMES = ("attic", "cellar", "hall", "kitchen", "lounge", "porch")


async def test_each_proxy_has_one_owner(cluster: Cluster) -> None:
    """Three owners that see the same proxies share them out, and each is used once."""
    await cluster.build(NAMES)
    await asyncio.gather(*(cluster.owner(name) for name in ("a", "b", "c")))
    # The first one has them all for a moment, until it has heard of the others.
    await until(lambda: len([one for one in cluster.members if one.ready]) > 1)
    await until(lambda: cluster.shared_out(NAMES))
    # Those who only ask who it is are gone in a moment.
    await until(lambda: all(len(one.snapshot().clients) == 1 for one in cluster.all_proxies))
    assert {name_of(member.owner) for member in cluster.members} == {"a", "b", "c"}


async def test_leaving_in_order_is_noticed_at_once(cluster: Cluster) -> None:
    """What an owner gives back is another one's long before a lease is over."""
    await cluster.build(NAMES)
    first, second = await cluster.owner("a", lease=20.0), await cluster.owner("b", lease=20.0)
    await until(lambda: cluster.shared_out(NAMES))
    await cluster.leave(first)
    began = asyncio.get_running_loop().time()
    await until(lambda: second.ready == set(NAMES))
    assert asyncio.get_running_loop().time() - began < 5.0


async def test_owners_of_its_site_have_a_proxy(cluster: Cluster) -> None:
    """A proxy that is named at a site is owned there, though others see it, while one lives there.

    An owner elsewhere takes it only when none is left.
    """
    await cluster.build(NAMES)
    north = await cluster.owner("n", "north")
    # Both see all of them; where none is named, weight alone would give some to the south.
    south = await cluster.owner("s", "south", finds=True)
    await until(lambda: north.ready == set(NAMES))
    await asyncio.sleep(LEASE)
    assert south.has == set()
    await cluster.leave(north)
    await until(lambda: south.ready == set(NAMES))


async def test_a_defect_ends_nothing(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What goes on all the time goes on after an exception that nobody has thought of."""
    await cluster.build(["attic"])
    member = await cluster.owner("a")
    await until(lambda: member.ready == {"attic"})
    failed: list[str] = []

    def fail_once(whose: object, name: str) -> None:
        real = getattr(whose, name)

        def fail(*args: object) -> object:
            if name in failed:
                return real(*args)
            failed.append(name)
            raise AssertionError("never thought of")

        monkeypatch.setattr(whose, name, fail)

    keeper = member.membership.tenure
    fail_once(keeper, "_beat")
    fail_once(keeper.deciding, "decide")
    fail_once(keeper.held_leases, "tick")
    await until(lambda: len(failed) == 3)
    await asyncio.sleep(1.5 * LEASE)
    assert member.ready == {"attic"}
    assert caplog.text.count("Traceback") == 3


async def test_a_wish_taken_back_unheard(bus: Bus) -> None:
    """What somebody wished for is forgotten where that was taken back while nobody listened."""
    subjects, lease = bus.subjects, encode(Lease(owner="a-1", site="home", name="attic"))
    buckets = Buckets(
        await bus.bucket(subjects.leases, LEASE),
        await bus.bucket(subjects.owners, LEASE),
        await bus.bucket(subjects.seen, LEASE),
        await bus.bucket(subjects.wishes, 0),
    )
    observed = Observed(bus, lambda: None)
    for mac in ("aabbccddee01", "aabbccddee02"):
        await buckets.leases.put(mac, lease)
        await buckets.wishes.put(mac, encode(Wish(owner="a", now=False)))
    await observed.read(buckets)
    assert set(observed.wishes) == {"aabbccddee01", "aabbccddee02"}
    await buckets.wishes.delete("aabbccddee01")
    await buckets.leases.delete("aabbccddee01")
    await observed.read(buckets)
    assert set(observed.wishes) == {"aabbccddee02"}
    assert not observed.leases["aabbccddee01"].free, "it must be silent for a lease"


async def test_given_back_as_it_is_renewed(bus: Bus) -> None:
    """A lease of which a renewal has just got through is given back all the same, another's not."""
    bucket = await bus.bucket(bus.subjects.leases, LEASE)
    store = LeaseStore(bus, bucket, LEASE)
    ours, other = (Lease(owner=name, site="home", name="attic") for name in ("a-1", "b-1"))
    revision = await store.take("aabbccddee01", ours)
    await store.renew("aabbccddee01", ours, revision)
    await store.give_back("aabbccddee01", ours, revision)
    found = await store.look("aabbccddee01")
    assert found.given_back
    await store.take("aabbccddee01", other, found.revision)
    await store.give_back("aabbccddee01", ours, revision)
    assert (await store.look("aabbccddee01")).lease == other


async def test_what_owners_see_is_written_when_it_changes(cluster: Cluster, bus: Bus) -> None:
    """Heartbeats do not say it again; who has not heard it reads it."""
    written: list[str] = []

    async def hear(msg: Msg) -> None:
        written.append(msg.subject)

    await bus.subscribe(bus.subjects.entries(bus.subjects.seen), hear)
    await bus.subscribe(bus.subjects.entries(bus.subjects.owners), hear)
    await cluster.build(["attic", "hall"])
    first = await cluster.owner("a", sees=["attic"])
    await until(lambda: first.ready == {"attic"})
    written.clear()
    second = await cluster.owner("b", sees=["attic", "hall"])
    await until(lambda: cluster.shared_out(["attic", "hall"]))
    observed = second.membership.tenure.observed
    await until(lambda: len(observed.sees.get(first.owner, NOTHING).macs) == 1)
    await asyncio.sleep(2 * LEASE)
    bucket = f"$KV.{bus.subjects.seen}."
    assert [one for one in written if one == f"{bucket}{first.owner}"] == []
    assert 1 <= written.count(f"{bucket}{second.owner}") <= 3, "as its proxies say who they are"
    assert written.count(f"$KV.{bus.subjects.owners}.{first.owner}") > 3
    del observed.sees[first.owner]
    await until(lambda: len(observed.sees.get(first.owner, NOTHING).macs) == 1)


async def test_what_owners_see_is_written_again_after_what_is_late(
    cluster: Cluster, bus: Bus
) -> None:
    """A message to the store that comes twice, the second time late, changes nothing for long."""
    late: list[Msg] = []

    async def hear(msg: Msg) -> None:
        late.append(msg)

    await bus.subscribe(bus.subjects.entries(bus.subjects.seen), hear)
    await cluster.build(["attic", "hall"])
    first = await cluster.owner("a")
    await until(lambda: first.ready == {"attic", "hall"} and len(late) > 1)
    (older, *_) = late
    await bus.client.publish(older.subject, older.data)
    second = await cluster.owner("b")
    observed = second.membership.tenure.observed
    await until(lambda: len(observed.sees.get(first.owner, NOTHING).macs) == 2)
    (seen,) = [one for one in observed.sees if one == first.owner]
    store = await bus.bucket(bus.subjects.seen, 0)
    newest = decode((await store.get(seen)).value or b"", Sight)
    assert newest.number > decode(older.data, Sight).number
    assert len(unpacked(newest.named)) == 2


async def test_moved_by_hand(cluster: Cluster) -> None:
    """A proxy goes to the owner that somebody wants, when it is idle or at once, and back."""
    await cluster.build(["attic"], [peripheral(1, attic=-50)])
    members = [await cluster.owner("a"), await cluster.owner("b")]
    await until(lambda: cluster.shared_out(["attic"]))
    [holder] = [one for one in members if one.has]
    [other] = [one for one in members if not one.has]
    client = await connect(holder.fleet)
    bus = other.membership.bus
    moved = await wish_for(bus, "attic", name_of(other.owner), now=False)
    assert moved.waits
    assert not moved.late
    await asyncio.sleep(LEASE)
    assert holder.has == {"attic"}
    assert client.is_connected
    moved = await wish_for(bus, "attic", name_of(other.owner), now=True)
    assert moved.moved
    await until(lambda: other.ready == {"attic"})
    assert holder.has == set()
    assert not client.is_connected
    await client.disconnect()
    await wish_for(bus, "attic", "auto", now=False)
    await until(lambda: holder.ready == {"attic"})


async def test_what_is_out_of_reach_is_left_to_others(cluster: Cluster) -> None:
    """An owner that has lost its way to a proxy leaves it to another one that sees it."""
    await cluster.build(["attic"])
    members = [await cluster.owner("a"), await cluster.owner("b")]
    await until(lambda: cluster.shared_out(["attic"]))
    [holder] = [one for one in members if one.has]
    [other] = [one for one in members if not one.has]
    # As when its network is down: for the other one the proxy is where it was.
    holder.membership.tenure.deciding.is_away = lambda mac: True
    await until(lambda: other.ready == {"attic"}, 20.0)
    assert holder.has == set()


async def test_configuration_that_changes(cluster: Cluster) -> None:
    """A proxy that is not named any more is given back at once, and one that is new is taken."""
    await cluster.build(["attic", "hall", "porch"])
    first = await cluster.owner("a", sees=["attic", "hall"], lease=20.0)
    second = await cluster.owner("b", sees=["hall"], lease=20.0)
    await until(lambda: cluster.shared_out(["attic", "hall"]))
    await first.fleet.reconfigure(cluster.proxies(["attic", "porch"]), discover=False)
    await until(lambda: second.ready == {"hall"}, 10.0)
    await until(lambda: first.ready == {"attic", "porch"}, 10.0)
    assert len(cluster.proxy("hall").snapshot().clients) == 1


async def test_wish_for_what_there_is_not(cluster: Cluster) -> None:
    """Names that nobody has are said, with where to look."""
    await cluster.build(["attic"])
    member = await cluster.owner("a")
    await until(lambda: cluster.shared_out(["attic"]))
    with pytest.raises(ClusterError, match="no owner has cellar; `proxyconn cluster` shows"):
        await wish_for(member.membership.bus, "cellar", "a", now=False)
    with pytest.raises(ClusterError, match="no owner is called b"):
        await wish_for(member.membership.bus, "attic", "b", now=False)


async def test_a_proxy_is_given_to_a_name_that_one_owner_has(cluster: Cluster) -> None:
    """Of two owners of one name neither can be meant, by its id neither: ids are of one run."""
    await cluster.build(["attic"])
    owners = [await cluster.owner("a", "south"), await cluster.owner("a", "north")]
    await until(lambda: cluster.shared_out(["attic"]))
    [other] = [one for one in owners if not one.has]
    for name in ("a", other.owner):
        with pytest.raises(ClusterError, match=r"several owners are called a, .* --name"):
            await wish_for(other.membership.bus, "attic", name, now=False)


async def test_a_store_that_no_lease_can_be_in(bus: Bus, caplog: pytest.LogCaptureFixture) -> None:
    """Made by hand, for too short a time: it is refused; in memory: it is told."""
    make = bus.jetstream.create_key_value
    await make(bucket=bus.subjects.leases, ttl=1.0, storage=StorageType.MEMORY)
    with pytest.raises(ClusterError, match=r"keeps leases for 1 s, where 2 to .* delete it"):
        await LeaseKeeper(bus, "a").start()
    await bus.jetstream.delete_key_value(bus.subjects.leases)
    await make(bucket=bus.subjects.leases, ttl=LEASE, storage=StorageType.MEMORY)
    keeper = LeaseKeeper(bus, "a")
    await keeper.start()
    await keeper.aclose()
    assert "is in memory: a broker that restarts gives every proxy away" in caplog.text


async def test_links_live_through_a_restart_of_the_broker(
    cluster: Cluster, server: NatsServer
) -> None:
    """A broker that is away for less than a lease costs nobody a link or a proxy."""
    await cluster.build(["attic"], [peripheral(1, attic=-50)])
    member = await cluster.owner("a", lease=6.0)
    await until(lambda: member.ready == {"attic"})
    client = await connect(member.fleet)
    epoch = member.membership.tenure.held_leases.held[mac_of_only(member)].lease.epoch
    await server.stop()
    await asyncio.sleep(1.0)
    await server.start()
    await asyncio.sleep(4.0)
    assert await client.read_gatt_char(READ) == b"value 1"
    assert member.membership.tenure.held_leases.held[mac_of_only(member)].lease.epoch == epoch
    assert not member.membership.tenure.held_leases.cut_off
    await client.disconnect()


@pytest.mark.parametrize("stays", [True, False])
async def test_cut_off(cluster: Cluster, server: NatsServer, stays: bool) -> None:
    """Without the broker an owner keeps its proxies for its leases, and then as it is told.

    Whatever it does, it has them again once the broker is back, the leases of which are gone.
    """
    await cluster.build(["attic"], [peripheral(1, attic=-50)])
    when = WhenCutOff.STAY if stays else WhenCutOff.LET_GO
    member = await cluster.owner("a", when_cut_off=when)
    await until(lambda: member.ready == {"attic"})
    client = await connect(member.fleet)
    await server.stop()
    await asyncio.sleep(0.4 * LEASE)
    assert client.is_connected
    await asyncio.sleep(1.5 * LEASE)
    assert client.is_connected is stays
    assert (member.has == {"attic"}) is stays
    await server.start()
    await until(lambda: member.ready == {"attic"})
    assert client.is_connected is stays
    await client.disconnect()


async def test_old_firmware_is_waited_for(cluster: Cluster, bus: Bus) -> None:
    """A proxy that keeps the session of an owner that has died says so, and is waited for."""
    await cluster.build(["attic"], profile="2026.6.5")
    proxy = cluster.proxy("attic")
    proxy.inject("stale_subscriber")
    leases = await bus.bucket(bus.subjects.leases, LEASE)
    mac = proxy.mac.replace(":", "").lower()
    await leases.create(mac, encode(Lease(owner="b-1", site="home", name="attic")))
    member = await cluster.owner("a")
    await until(lambda: member.has == {"attic"})
    await until(lambda: any(radio.state == "denied" for radio in member.fleet.radios), 20.0)
    [radio] = member.fleet.radios
    assert radio.problem is not None
    assert radio.problem.startswith("waiting for the proxy to drop the old session")


def mac_of_only(member: Member) -> str:
    """Return the MAC address of the one proxy that an owner has."""
    [mac] = member.membership.tenure.held_leases.held
    return mac
