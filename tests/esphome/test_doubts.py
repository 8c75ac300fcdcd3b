"""Answers that a client should not take at their word: short tables, congested links."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache, ErrorKind, LinkError
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Injector, Passed, Replace
from tests.esphome.conftest import READ, House, Open

Services = pb.BluetoothGATTGetServicesResponse


def without(place: int) -> Replace:
    """Return what leaves out one service of each table."""

    def leave_out(message: Message) -> Passed:
        assert isinstance(message, Services)
        services = list(message.services)
        del services[place]
        return [Services(address=message.address, services=services)]

    return Replace(Services, by=leave_out)


async def connect(house: House) -> BleakClientWithServiceCache:
    """Connect as establish_connection does, with known services if there are any."""
    client = BleakClientWithServiceCache(house.device())
    await client.connect(dangerous_use_bleak_cache=True)
    return client


def asked(house: House) -> int:
    """Return how often the proxy was asked for services."""
    return house.proxy.snapshot().received.get("BluetoothGATTGetServicesRequest", 0)


async def test_table_with_a_gap_is_used_but_not_kept(open_house: Open) -> None:
    """A service may be missing, so the next connection asks again."""
    house = await open_house()
    lost: list[Injector] = [without(0)]
    house.proxy.injectors += lost
    client = await connect(house)
    count = len(list(client.services))
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
    house.proxy.injectors.clear()
    client = await connect(house)
    assert len(list(client.services)) == count + 1
    assert asked(house) == 2
    await client.disconnect()
    await (await connect(house)).disconnect()
    assert asked(house) == 2


async def test_table_with_a_gap_that_comes_twice_is_kept(open_house: Open) -> None:
    """Some devices leave handles out."""
    house = await open_house()
    house.proxy.injectors.append(without(0))
    for _ in range(3):
        await (await connect(house)).disconnect()
    assert asked(house) == 2


async def test_table_that_lost_a_service_is_refused_once(open_house: Open) -> None:
    """What a device has shown before does not vanish, unless it does so twice."""
    house = await open_house()
    await (await connect(house)).disconnect()
    house.proxy.injectors.append(without(-1))
    client = BleakClientWithServiceCache(house.device())
    with pytest.raises(LinkError, match="without some that it has shown before") as caught:
        await client.connect()
    assert caught.value.kind is ErrorKind.TRANSIENT
    await client.connect()
    assert client.services.get_characteristic(READ) is None
    await client.disconnect()


def refuse(times: int) -> Replace:
    """Return what answers reads with ESP_FAIL."""

    def answer(message: Message) -> Passed:
        assert isinstance(message, pb.BluetoothGATTReadResponse)
        error = pb.BluetoothGATTErrorResponse(
            address=message.address, handle=message.handle, error=-1
        )
        return [error]

    return Replace(pb.BluetoothGATTReadResponse, by=answer, count=times)


async def test_congested_link_is_waited_for(open_house: Open) -> None:
    """ESP_FAIL on a link that the slot report still lists is no end of it, and passes."""
    house = await open_house()
    client = await connect(house)
    house.proxy.injectors.append(refuse(3))
    assert await client.read_gatt_char(READ) == b"hello"
    house.proxy.injectors.append(refuse(4))
    with pytest.raises(LinkError, match="PROXY_NOT_CONNECTED") as caught:
        await client.read_gatt_char(READ)
    assert caught.value.kind is ErrorKind.TRANSIENT
    assert client.is_connected
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
