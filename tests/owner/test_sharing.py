"""Several programs on one owner: all hear, each holds its own links, none robs another."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from bleak.exc import BleakError

from proxyconn import BleakOutOfConnectionSlotsError, Fleet
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.routing.fair_shares import Share
from proxyconn_native_api.intake import Intake
from proxyconn_owner.settings import ClientRule
from proxyconn_virtual.peripheral import uuid128

from .conftest import (
    COMMAND,
    DEADLINE,
    ECHO,
    READ,
    SECRET,
    TICK,
    VALUE,
    House,
    MakeHouse,
    address,
    connect,
    peripheral,
    until,
)


async def test_clients_hear_each_device_once_and_proxies_see_one_subscriber(
    make_house: MakeHouse,
) -> None:
    """Two programs hear every device, through one proxy; the real proxies have one subscriber."""
    house: House = await make_house(peripheral(1), peripheral(2, cellar=-40))
    first, second = await house.client(), await house.client()
    for fleet in (first, second):
        for number in (1, 2):
            device = await fleet.find_device(address(number), DEADLINE)
            assert device.name == f"device {number}"
            assert [path.source for path in fleet.paths(address(number))] == ["proxyconn"]
        # The louder radio is the one that is passed on.
        assert abs(fleet.paths(address(2))[0].rssi - -40) <= 3
    for proxy in house.virtual.proxies.values():
        assert proxy.snapshot().clients == ("proxyconn",)


async def test_links_of_two_clients(make_house: MakeHouse) -> None:
    """Each client has its own links and notifications, and keeps them when the other goes."""
    house: House = await make_house(peripheral(1), peripheral(2))
    first, second = await house.client(), await house.client()
    one, two = await connect(first, 1), await connect(second, 2)
    heard: list[bytes] = []
    await one.start_notify(TICK, lambda _, data: heard.append(bytes(data)))
    assert await two.read_gatt_char(READ) == VALUE
    await second.aclose()
    await until(lambda: sum(len(p.snapshot().slots) for p in house.virtual.proxies.values()) == 1)
    before = len(heard)
    await until(lambda: len(heard) > before + 5)
    assert one.is_connected
    await one.disconnect()


async def test_everything_that_gatt_has(make_house: MakeHouse) -> None:
    """Values arrive byte for byte; MTU, descriptors, commands, parameters, cache work as ever."""
    house: House = await make_house()
    client = await connect(await house.client())
    assert client.mtu_size == 247
    assert await client.read_gatt_char(READ) == VALUE
    echoed: asyncio.Queue[bytes] = asyncio.Queue()
    await client.start_notify(ECHO, lambda _, data: echoed.put_nowait(bytes(data)))
    await client.write_gatt_char(ECHO, bytes(range(200)), response=True)
    async with asyncio.timeout(DEADLINE):
        assert await echoed.get() == bytes(range(200))[::-1]
    await client.stop_notify(ECHO)
    for number in range(20):
        await client.write_gatt_char(COMMAND, bytes([number]), response=False)
    assert await client.read_gatt_char(COMMAND) == bytes([19])
    characteristic = client.services.get_characteristic(ECHO)
    assert characteristic is not None
    descriptor = characteristic.descriptors[0]
    assert await client.read_gatt_descriptor(descriptor.handle) == b"\x00\x00"
    await client.set_connection_params(6, 12, 0, 200)
    await until(lambda: address(1) in house.real().snapshot().parameters)
    assert await client.clear_cache()
    await client.disconnect()
    await until(lambda: not house.real().snapshot().slots)


async def test_services_arrive_as_they_are(make_house: MakeHouse) -> None:
    """A client sees the same handles, UUIDs and properties as the owner does."""
    house: House = await make_house()
    direct = await connect(house.fleet)
    ours = {c.handle: (c.uuid, c.properties) for c in direct.services.characteristics.values()}
    await direct.disconnect()
    client = await connect(await house.client())
    theirs = {c.handle: (c.uuid, c.properties) for c in client.services.characteristics.values()}
    assert theirs == ours
    await client.disconnect()


async def test_pairing(make_house: MakeHouse) -> None:
    """Pairing and unpairing reach the device; what needs a bond is refused before."""
    house: House = await make_house()
    client = await connect(await house.client())
    with pytest.raises(BleakError):
        await client.read_gatt_char(SECRET)
    await client.pair()
    assert await client.read_gatt_char(SECRET) == b"secret"
    await client.unpair()
    await client.disconnect()


async def test_busy_device_is_busy_and_not_gone(make_house: MakeHouse) -> None:
    """A device that another client holds is answered at once, as busy."""
    house: House = await make_house()
    first, second = await house.client(), await house.client()
    await second.find_device(address(1), DEADLINE)
    held = await connect(first)
    with pytest.raises(BleakOutOfConnectionSlotsError):
        await connect(second, deadline=2.0)
    assert held.is_connected
    await held.disconnect()
    again = await connect(second)
    assert await again.read_gatt_char(READ) == VALUE
    await again.disconnect()


async def test_links_of_the_owner_itself_are_busy_too(make_house: MakeHouse) -> None:
    """The process's own connects go through the same queue."""
    house: House = await make_house()
    client = await house.client()
    await client.find_device(address(1), DEADLINE)
    own = await connect(house.fleet)
    with pytest.raises(BleakOutOfConnectionSlotsError):
        await connect(client, deadline=1.0)
    await own.disconnect()
    theirs = await connect(client)
    with pytest.raises(BleakError, match="connected"):
        await connect(house.fleet, deadline=1.0)
    await theirs.disconnect()


async def test_slots_are_true(make_house: MakeHouse) -> None:
    """Every client sees how many slots there are, and who holds them."""
    house: House = await make_house(peripheral(1), peripheral(2))
    first, second = await house.client(), await house.client()
    (slots,) = second.allocations()
    assert (slots.slots, slots.free) == (6, 6)
    client = await connect(first)
    await until(lambda: second.allocations()[0].free == 5)
    assert second.allocations()[0].allocated == [address(1)]
    await client.disconnect()
    await until(lambda: second.allocations()[0].free == 6)


async def test_slots_of_radios_that_come_back_are_told(make_house: MakeHouse) -> None:
    """Though nobody has taken or freed one; without them no client would ever connect again."""
    house: House = await make_house(names=("kitchen",))
    fleet = await house.client()
    house.real().reboot(0.5)
    await until(lambda: not house.fleet.radios[0].allocations())
    await until(lambda: not fleet.allocations())
    await until(lambda: [slots.free for slots in fleet.allocations()] == [3])
    client = await connect(fleet)
    await client.disconnect()


async def test_owner_that_ends_frees_everything(make_house: MakeHouse) -> None:
    """Clients are told goodbye, and no slot is left."""
    house: House = await make_house()
    fleet = await house.client()
    lost = asyncio.Event()
    client = await connect(fleet, disconnected_callback=lambda _: lost.set())
    await house.owner.aclose()
    async with asyncio.timeout(DEADLINE):
        await lost.wait()
    await until(lambda: not any(p.snapshot().slots for p in house.virtual.proxies.values()))
    assert not client.is_connected


async def test_link_that_is_lost_is_told(make_house: MakeHouse) -> None:
    """The end of a link reaches its client, once."""
    house: House = await make_house()
    lost: list[object] = []
    client = await connect(await house.client(), disconnected_callback=lost.append)
    house.real().bluetooth.drop(0x13)
    await until(lambda: bool(lost))
    assert not client.is_connected
    assert len(lost) == 1


async def test_turns_between_clients(make_house: MakeHouse) -> None:
    """A client with many waiting devices does not keep another's single one waiting for them."""
    many = [peripheral(n, kitchen=-50) for n in range(1, 8)]
    house: House = await make_house(*many, names=("kitchen",), slots=1)
    crowd, single = await house.client(), await house.client()
    order: list[int] = []

    async def hold(fleet: Fleet, number: int) -> None:
        client = await connect(fleet, number, deadline=20.0)
        order.append(number)
        await asyncio.sleep(0.05)
        await client.disconnect()

    async with asyncio.TaskGroup() as tasks:
        for number in range(1, 7):
            tasks.create_task(hold(crowd, number))
        await until(lambda: len(order) >= 1)
        tasks.create_task(hold(single, 7))
    assert sorted(order) == list(range(1, 8))
    assert order.index(7) <= 3


async def test_guarantee_and_cap(make_house: MakeHouse) -> None:
    """A client may count on its slots, and may not exceed its cap."""
    rules = (ClientRule("proxyconn", Share(most=2)),)
    house: House = await make_house(
        *(peripheral(n, kitchen=-50) for n in (1, 2, 3)),
        names=("kitchen",),
        serve={"clients": rules},
    )
    fleet = await house.client()
    first, second = await connect(fleet, 1), await connect(fleet, 2)
    with pytest.raises(BleakError):
        await connect(fleet, 3, deadline=1.0)
    await first.disconnect()
    third = await connect(fleet, 3)
    await second.disconnect()
    await third.disconnect()


async def test_new_rules_hold_for_those_who_are_there(make_house: MakeHouse) -> None:
    """What a client has counts by the rule of the moment, not by the one when it came."""
    house: House = await make_house(
        *(peripheral(n, kitchen=-50) for n in (1, 2, 3)), names=("kitchen",)
    )
    fleet = await house.client()
    links = [await connect(fleet, 1), await connect(fleet, 2)]
    settings = house.owner.settings
    house.owner.reload(replace(settings, clients=(ClientRule("proxyconn", Share(2, 2)),)))
    assert [client.party for client in house.owner.clients] == ["proxyconn"]
    with pytest.raises(BleakError):
        await connect(fleet, 3, deadline=1.0)
    own = await connect(house.fleet, 3)
    await own.disconnect()
    house.owner.reload(settings)
    links.append(await connect(fleet, 3))
    for link in links:
        await link.disconnect()


async def test_new_rules_hold_between_two_radios(
    make_house: MakeHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A client that one radio has failed, and that has no other yet, takes it by the new rules."""
    house: House = await make_house(peripheral(1, kitchen=-40, cellar=-70))
    house.real("kitchen").inject("radio_62_burst")
    failed, go_on = asyncio.Event(), asyncio.Event()
    take = RoutedClient._take  # noqa: SLF001

    async def between(self: Any, *args: Any) -> Any:
        if len(args) > 2 and args[2]:
            failed.set()
            await go_on.wait()
        return await take(self, *args)

    monkeypatch.setattr(RoutedClient, "_take", between)
    connecting = asyncio.ensure_future(connect(await house.client(), 1))
    await failed.wait()
    rules = (ClientRule("proxyconn", Share(2, 2)),)
    house.owner.reload(replace(house.owner.settings, clients=rules))
    go_on.set()
    client = await connecting
    assert house.fleet.inspection().party(address(1)) == "proxyconn"
    await client.disconnect()


async def test_idle_link_is_asked_back(make_house: MakeHouse) -> None:
    """Where it is configured, a link that carries nothing ends."""
    house: House = await make_house(serve={"idle_timeout": 0.3})
    lost = asyncio.Event()
    client = await connect(await house.client(), disconnected_callback=lambda _: lost.set())
    async with asyncio.timeout(DEADLINE):
        await lost.wait()
    assert not client.is_connected


async def test_a_flood_of_commands_through_an_owner_loses_none(make_house: MakeHouse) -> None:
    """The owner takes no more from a client than the proxy behind it takes, and keeps the order."""
    kettle = peripheral(1)
    written: list[int] = []
    for characteristic in kettle.services[0].characteristics:
        if uuid128(characteristic.uuid) == COMMAND:
            characteristic.on_write = lambda data: written.append(int.from_bytes(data, "big"))
    house: House = await make_house(kettle, names=["kitchen"], intake=Intake(rate=250.0))
    client = await connect(await house.client())
    writes = [
        client.write_gatt_char(COMMAND, number.to_bytes(2, "big"), response=False)
        for number in range(500)
    ]
    await asyncio.gather(*writes)
    await until(lambda: len(written) == 500)
    assert written == list(range(500))
    assert await client.read_gatt_char(READ) == VALUE
    await client.disconnect()
