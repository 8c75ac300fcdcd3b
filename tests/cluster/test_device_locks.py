"""One device is held once in the cluster, whoever wants it, and whoever dies."""

from __future__ import annotations

import asyncio
from typing import cast

import pytest
from bleak import BleakClient
from bleak.exc import BleakError
from nats.aio.msg import Msg
from nats.js.kv import KeyValue

from proxyconn.errors import ErrorKind, LinkError
from proxyconn.radio import RadioSink, identity_of
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import decode, encode
from proxyconn_cluster.bus.subjects import address_token
from proxyconn_cluster.device_locks import (
    ANSWERS_WITHIN,
    CONFIRM_EVERY,
    FORGOTTEN_AFTER,
    DeviceLocks,
    Held,
)
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.members import Members
from proxyconn_cluster.remote.remote_radios import RemoteRadios
from proxyconn_cluster.settings import SHORTEST_LEASE
from proxyconn_virtual.events import Connecting, ProxyEvent

from .conftest import MakeBus
from .nats_server import NatsServer
from .village import DEADLINE, READ, Village, VillageOwner, address, connect, until


async def by_its_own_radio(owner: VillageOwner) -> str | None:
    """Have an owner connect a device by the radio it has; return why not, or None."""
    radio = next(one for one in owner.fleet.radios if one.name == owner.bus.name)
    client = owner.fleet.lending().client(
        address(1), 1, party=None, only=identity_of(radio), timeout=DEADLINE
    )
    try:
        await client.connect(False)
    except LinkError as exc:
        return str(exc.kind)
    await asyncio.sleep(0.02)
    await client.disconnect()
    return None


async def test_of_two_owners_at_once_one_has_it(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    for _ in range(10):
        ends = await asyncio.gather(by_its_own_radio(north), by_its_own_radio(south))
        assert set(ends) in ({None, "in_use"}, {None}), "one after the other, or one alone"
        assert village.double_holds == []
        await until(lambda: village.slots() == {})


async def test_what_was_let_go_may_be_had_at_once(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    for _ in range(5):
        assert await by_its_own_radio(north) is None
        assert await by_its_own_radio(south) is None


async def nobody(address: str) -> None:
    """Lose nothing."""


async def test_the_entry_of_who_has_gone_is_taken_over(
    server: NatsServer, make_bus: MakeBus
) -> None:
    gone_bus = await make_bus(server, "gone", lease=SHORTEST_LEASE)
    gone = Members(gone_bus)
    await gone.start()
    left = DeviceLocks(gone, nobody)
    await left.hold(address(1), "aa", DEADLINE)
    there = Members(await make_bus(server, "there", lease=SHORTEST_LEASE))
    await there.start()
    holds = DeviceLocks(there, nobody)
    await until(lambda: bool(there.all))
    with pytest.raises(LinkError, match="gone has it") as caught:
        await holds.hold(address(1), "bb", DEADLINE)
    assert caught.value.kind is ErrorKind.IN_USE
    await gone.aclose()
    await until(lambda: not there.all)
    await asyncio.sleep(SHORTEST_LEASE)
    await holds.hold(address(1), "bb", DEADLINE)
    await left.check()
    assert left.addresses == [], "it is another one's now"
    for one in (left, holds):
        await one.aclose()
    await there.aclose()


async def test_a_link_that_outlives_its_owner_is_waited_for(
    server: NatsServer, make_bus: MakeBus
) -> None:
    gone = Members(await make_bus(server, "gone", lease=SHORTEST_LEASE))
    await gone.start()
    await DeviceLocks(gone, nobody).hold(address(1), "aa", DEADLINE)
    there = Members(await make_bus(server, "there", lease=SHORTEST_LEASE))
    await there.start()
    linked: bool | None = True
    holds = DeviceLocks(there, nobody, lambda radio, _: linked if radio == "aa" else None)
    await until(lambda: bool(there.all))
    await gone.aclose()
    await until(lambda: not there.all)
    await asyncio.sleep(SHORTEST_LEASE)
    began = asyncio.get_running_loop().time()
    holding = asyncio.ensure_future(holds.hold(address(1), "bb", DEADLINE))
    await asyncio.sleep(SHORTEST_LEASE / 2)
    assert not holding.done(), "the proxy that it went through still has the link"
    linked = False
    await holding
    assert asyncio.get_running_loop().time() - began < SHORTEST_LEASE
    await holds.aclose()
    await there.aclose()


async def test_what_one_of_an_older_version_holds_is_held(
    server: NatsServer, make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """It is said who is to be updated, and neither takes the other for gone."""
    bus = await make_bus(server, "new", lease=SHORTEST_LEASE)
    members, old = Members(bus), await make_bus(server, "old")
    members.own_radios = list
    own, heard = bus.subjects.of_site("home", "member", "old", "1"), asyncio.Event()

    async def hear(msg: Msg) -> None:
        # In version 1.0 members were heard there, and nowhere else.
        if msg.subject == members.subject("member"):
            assert not decode(msg.data, Status).owner
            heard.set()

    async def speak() -> None:
        while True:
            said = Status(v=(1, 0), sender="old", site="home", run="1", number=1, lease=9.0)
            await old.publish(own, encode(said))
            await asyncio.sleep(SHORTEST_LEASE / 5)

    await old.subscribe(bus.subjects.of_site("*", "member", "*", "*"), hear)
    bucket = await old.bucket(bus.subjects.bucket("held"), FORGOTTEN_AFTER)
    entry = encode(Held(v=(1, 0), sender="old", run="1", radio="aa"))
    await bucket.put(address_token(address(1)), entry)
    speaking = asyncio.ensure_future(speak())
    await members.start()
    holds = DeviceLocks(members, nobody, lambda radio, _: False)
    try:
        await asyncio.sleep(1.5 * SHORTEST_LEASE)
        with pytest.raises(LinkError, match="old has it") as caught:
            await holds.hold(address(1), "bb", 2 * SHORTEST_LEASE)
        assert caught.value.kind is ErrorKind.IN_USE
        await asyncio.wait_for(heard.wait(), DEADLINE)
        assert "'old' speaks version 1.0" in members.troubles[0]
        assert caplog.text.count("update proxyconn where it runs") == 1
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    await asyncio.sleep(1.5 * SHORTEST_LEASE)
    await holds.hold(address(1), "bb", DEADLINE)
    await holds.aclose()
    await members.aclose()


async def test_who_has_come_while_we_did_not_listen_may_hold(
    server: NatsServer, make_bus: MakeBus
) -> None:
    """Of an entry that is nobody's known here it is not known that it is nobody's."""
    bus = await make_bus(server, "one", lease=SHORTEST_LEASE)
    members = Members(bus)
    await members.start()
    await asyncio.sleep(1.2 * SHORTEST_LEASE)
    assert not members.is_there("new", "1")
    await server.stop()
    await until(lambda: not bus.connected)
    await server.start()
    await until(lambda: bus.connected)
    assert members.is_there("new", "1")
    await until(lambda: not members.is_there("new", "1"), 2 * SHORTEST_LEASE)
    await members.aclose()


async def test_a_site_that_is_cut_off_connects_and_enters_it_later(village: Village) -> None:
    north = village.owners["north"]
    await village.server.stop()
    await until(lambda: not north.bus.connected)
    client = await connect(north.fleet, 1, deadline=2 * DEADLINE)
    assert village.slots() == {"north": [address(1)]}
    await village.server.start()
    store_is_there = DeviceLocks(north.members, nobody)
    await until(lambda: north.bus.connected)

    async def entered() -> bool:
        bucket = await north.bus.bucket(north.bus.subjects.bucket("held"), FORGOTTEN_AFTER)
        return address(1).replace(":", "").lower() in await bucket.keys()

    async with asyncio.timeout(2 * DEADLINE):
        while not await _true(entered):  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.1)
    await client.read_gatt_char(READ)
    await client.disconnect()
    await store_is_there.aclose()


async def test_nothing_is_held_for_others_without_the_store(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has asked may ask another owner next, which would have the device as well."""
    fleet, north = await village.program(), village.owners["north"]
    device = await fleet.find_device(address(2), DEADLINE)
    asked: list[str] = []

    async def no_store(name: str, ttl: float) -> KeyValue:
        asked.append(name)
        raise ClusterError("it is cut off")

    begun: list[ProxyEvent] = []
    with monkeypatch.context() as patch:
        patch.setattr(north.bus, "bucket", no_store)
        unregister = village.proxy("north").add_observer(begun.append)
        with pytest.raises(BleakError):
            await fleet.client_class(BleakClient)(device, timeout=DEADLINE).connect()
        unregister()
    assert asked
    assert not any(isinstance(one, Connecting) for one in begun)
    client = await connect(fleet, 2)
    await client.disconnect()


async def test_a_radio_that_fails_while_its_link_is_given_up(
    server: NatsServer, make_bus: MakeBus
) -> None:
    bus = await make_bus(server, "one")
    ended: list[str] = []

    async def end_link(address: str) -> None:
        ended.append(address)
        raise EOFError("bluetoothd has gone")

    around = RemoteRadios(Members(bus), cast(RadioSink, None))
    around.met(end_link)
    await around.hold(address(1), "aa", DEADLINE)
    bucket = await bus.bucket(bus.subjects.bucket("held"), FORGOTTEN_AFTER)
    await bucket.put(address_token(address(1)), encode(Held(sender="other", run="1", radio="bb")))
    await around.device_locks.check()
    assert ended == [address(1)]
    await around.device_locks.aclose()


async def test_what_is_let_go_without_the_store_is_free_later(
    server: NatsServer, make_bus: MakeBus
) -> None:
    bus = await make_bus(server, "one")
    one, other = Members(bus), Members(await make_bus(server, "other"))
    ours, theirs = DeviceLocks(one, nobody), DeviceLocks(other, nobody)
    for members in (one, other):
        await members.start()
    for holds in (ours, theirs):
        holds.start()
    await ours.hold(address(1), "aa", DEADLINE)
    await server.stop()
    await until(lambda: not bus.connected)
    ours.let_go(address(1))
    await until(lambda: not ours.addresses)
    await asyncio.sleep(1.1 * ANSWERS_WITHIN)
    await server.start()
    await until(lambda: bool(one.all) and bool(other.all))
    await asyncio.sleep(2 * CONFIRM_EVERY)
    await theirs.hold(address(1), "bb", DEADLINE)
    for holds in (ours, theirs):
        await holds.aclose()
    for members in (one, other):
        await members.aclose()


async def _true(ask: object) -> bool:
    try:
        return bool(await ask())  # type: ignore[operator]
    except Exception:  # noqa: BLE001 - whatever it is, it is not there yet
        return False


async def test_what_is_held_anew_at_once_stays_held(server: NatsServer, make_bus: MakeBus) -> None:
    one, other = Members(await make_bus(server, "one")), Members(await make_bus(server, "other"))
    ours, theirs = DeviceLocks(one, nobody), DeviceLocks(other, nobody)
    await one.start()
    await other.start()
    await until(lambda: bool(one.all) and bool(other.all))
    await ours.hold(address(1), "aa", DEADLINE)
    ours.let_go(address(1))
    await ours.hold(address(1), "bb", DEADLINE)
    await asyncio.sleep(0.1)
    with pytest.raises(LinkError, match="one has it"):
        await theirs.hold(address(1), "cc", DEADLINE)
    for holds in (ours, theirs):
        await holds.aclose()
    for members in (one, other):
        await members.aclose()


async def test_what_is_held_is_renewed_before_it_is_forgotten(
    server: NatsServer, make_bus: MakeBus, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxyconn_cluster.device_locks.FORGOTTEN_AFTER", 2.0)
    monkeypatch.setattr("proxyconn_cluster.device_locks.RENEWED_EVERY", 0.25)
    one, other = Members(await make_bus(server, "one")), Members(await make_bus(server, "other"))
    await one.start()
    await other.start()
    await until(lambda: bool(one.all) and bool(other.all))
    ours, theirs = DeviceLocks(one, nobody), DeviceLocks(other, nobody)
    ours.start()
    await ours.hold(address(1), "aa", DEADLINE)
    await ours.hold(address(2), "aa", DEADLINE)
    ours.let_go(address(2))
    await asyncio.sleep(4.0)
    with pytest.raises(LinkError, match="one has it"):
        await theirs.hold(address(1), "bb", DEADLINE)
    store = await one.bus.bucket(one.bus.subjects.bucket("held"), 2.0)
    assert (await store.status()).values == 1, "nothing is left of what was let go"
    for holds in (ours, theirs):
        await holds.aclose()
    for members in (one, other):
        await members.aclose()
