"""One fleet to everybody: devices of every owner, through the best radio of any."""

from __future__ import annotations

import asyncio

import pytest
from bleak.exc import BleakGATTProtocolErrorCode

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection
from proxyconn.errors import (
    BleakConnectionError,
    ErrorKind,
    GATTError,
    PairingError,
    UnsupportedError,
)

from .village import (
    DEADLINE,
    ECHO,
    READ,
    SECRET,
    TICK,
    VALUE,
    Village,
    address,
    connect,
    ready,
    until,
)


async def test_a_program_reads_through_any_owner(village: Village) -> None:
    fleet = await village.program()
    await until(lambda: ready(fleet) == {"north", "south"})
    for number, through in ((1, "north"), (2, "north"), (3, "south")):
        client = await connect(fleet, number)
        assert village.slots() == {through: [address(number)]}
        assert await client.read_gatt_char(READ) == VALUE
        await client.disconnect()
        assert village.slots() == {}


async def test_notifications_come_once_and_in_order(village: Village) -> None:
    fleet = await village.program()
    client = await connect(fleet, 1)
    echoed: list[bytes] = []
    ticks: list[bytes] = []
    await client.start_notify(ECHO, lambda _, data: echoed.append(bytes(data)))
    await client.start_notify(TICK, lambda _, data: ticks.append(bytes(data)))
    for number in range(20):
        await client.write_gatt_char(ECHO, bytes((number, 255)), response=True)
    await until(lambda: len(echoed) == 20 and len(ticks) > 10)
    assert echoed == [bytes((255, number)) for number in range(20)]
    await client.stop_notify(TICK)
    before = len(ticks)
    await asyncio.sleep(0.1)
    assert len(ticks) == before
    await client.disconnect()


async def test_errors_keep_their_class_and_code(village: Village) -> None:
    fleet = await village.program()
    client = await connect(fleet, 1)
    with pytest.raises(GATTError) as caught:
        await client.read_gatt_char(SECRET)
    assert caught.value.kind is ErrorKind.SECURITY
    assert caught.value.code is BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION
    assert caught.value.source == "north"
    await client.disconnect()


async def test_the_end_of_a_link_is_told_once(village: Village) -> None:
    fleet = await village.program()
    ended: list[str] = []
    client = await connect(
        fleet, 1, disconnected_callback=lambda client: ended.append(client.address)
    )
    assert village.virtual.air.drop_link(address(1))
    await until(lambda: bool(ended))
    assert not client.is_connected
    await asyncio.sleep(0.05)
    assert ended == [address(1)]
    await until(lambda: village.slots() == {})


async def test_a_device_has_one_client_in_the_cluster(village: Village) -> None:
    one, other = await village.program(), await village.program()
    client = await connect(one, 1)
    for fleet in (other, village.owners["north"].fleet, village.owners["south"].fleet):
        device = await fleet.find_device(address(1), DEADLINE)
        with pytest.raises(BleakConnectionError) as caught:
            await establish_connection(
                BleakClientWithServiceCache, device, "device 1", deadline=DEADLINE
            )
        assert caught.value.kind is ErrorKind.IN_USE
    await client.disconnect()
    again = await connect(other, 1)
    await again.disconnect()


async def test_an_owner_uses_the_radios_of_another_one(village: Village) -> None:
    north, south = village.owners["north"].fleet, village.owners["south"].fleet
    client = await connect(north, 3)
    assert village.slots() == {"south": [address(3)]}
    await client.disconnect()
    client = await connect(south, 1)
    assert village.slots() == {"north": [address(1)]}, "it is heard better there"
    await client.disconnect()


async def test_bonds_and_services_of_a_device_without_a_link(village: Village) -> None:
    fleet = await village.program()
    client = await connect(fleet, 1)
    await client.pair()
    assert await client.read_gatt_char(SECRET) == b"secret"
    await client.disconnect()
    await client.clear_cache()
    await client.unpair()
    with pytest.raises(PairingError):
        await client.unpair()


async def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "nats", None)
    with pytest.raises(UnsupportedError, match=r"pip install 'proxyconn\[cluster\]'"):
        await Fleet(cluster="nats://127.0.0.1:1", state=None).__aenter__()
