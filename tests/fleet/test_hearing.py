"""What a fleet tells of what it hears: names, turns, what is heard no more, and the end."""

from __future__ import annotations

import asyncio
import copy
import dataclasses
import pickle
from dataclasses import dataclass

import pytest
from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    ErrorKind,
    Fleet,
    Proxy,
    RadioUnavailableError,
    device_source,
    establish_connection,
    install,
)
from proxyconn.advertisements.merged_device import STALE_AT_LEAST
from proxyconn.fleet.radio_hub import LOOK_EVERY
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy

from .conftest import DEADLINE, KEY, VALUE, Real, Virtual, address, peripheral, unique, until

NUMBER = 0xC40000000001


@pytest.fixture
async def house(virtual: Virtual) -> VirtualFleet:
    """Return a proxy, and one device that it hears."""
    return await virtual("kitchen", peripheral(1, kitchen=-50), announce=False)


@pytest.fixture
def kitchen(house: VirtualFleet) -> VirtualProxy:
    """Return the proxy."""
    return house.proxies[unique("kitchen")]


@pytest.fixture
async def fleet(kitchen: VirtualProxy, real: Real) -> Fleet:
    """Return a fleet that is ready."""
    proxy = Proxy("127.0.0.1", kitchen.port, noise_psk=KEY)
    fleet = await real(proxies=[proxy], discover=False)
    await fleet.ready(1, DEADLINE)
    return fleet


def ad(kind: int, data: bytes) -> bytes:
    """Return an AD structure."""
    return bytes((len(data) + 1, kind)) + data


def say(proxy: VirtualProxy, *packets: bytes, number: int = NUMBER + 8, rssi: int = -60) -> None:
    """Let a proxy report packets of a device."""
    message = pb.BluetoothLERawAdvertisementsResponse()
    for data in packets:
        message.advertisements.add(address=number, rssi=rssi, address_type=1, data=data)
    proxy.send_subscriber(message)


async def test_a_device_is_found_by_any_name_that_it_says(
    fleet: Fleet, kitchen: VirtualProxy
) -> None:
    """At any moment, whichever name it said last; padding is no part of it."""
    short, complete = ad(0x08, b"MED"), ad(0x09, b"MEDI-1\0\0\0")
    finding = asyncio.create_task(fleet.find_device("medi-1", DEADLINE))
    await asyncio.sleep(0)
    say(kitchen, complete, short)
    device = await finding
    for packets in ((complete,), (short,)):
        say(kitchen, *packets)
        for name in ("MEDI-1", "MED", "medi-1  ", "MEDI-1\0\0\0"):
            assert await fleet.find_device(name, DEADLINE) is device
        assert device.name == "MEDI-1"


async def test_what_a_device_says_in_turns(fleet: Fleet, kitchen: VirtualProxy) -> None:
    """`advertisement` has it together, its lists and dicts are the caller's; a callback has each
    packet as it was."""
    first = ad(0xFF, b"\x88\xec\x01") + ad(0x03, b"\x0f\x18\x0f\x18")
    told: list[AdvertisementData] = []
    remove = fleet.register_detection_callback(
        lambda device, said: told.append(said) if device.address == address(9) else None
    )
    for _ in range(2):
        say(kitchen, first, ad(0xFF, b"\x4c\x00\x02"), ad(0x16, b"\xd2\xfc\x03"), rssi=-60)
    await until(lambda: len(told) == 6)
    remove()
    assert [set(said.manufacturer_data) for said in told[:2]] == [{0xEC88}, {0x004C}]
    for _ in range(2):
        said = fleet.advertisement(address(9))
        assert said is not None
        assert said.manufacturer_data == {0xEC88: b"\x01", 0x004C: b"\x02"}
        assert [*said.service_data.values()] == [b"\x03"]
        assert said.service_uuids == ["0000180f-0000-1000-8000-00805f9b34fb"]
        said.manufacturer_data.clear()
        said.service_data.clear()
        said.service_uuids.clear()


async def test_unsubscribing_twice_takes_nobody_else_out(fleet: Fleet) -> None:
    """Each registration of one callback is of its own."""
    seen: list[str] = []

    def heard(device: BLEDevice, said: AdvertisementData) -> None:
        seen.append(device.address)

    first = fleet.register_detection_callback(heard)
    second = fleet.register_detection_callback(heard)
    first()
    first()
    seen.clear()
    await until(lambda: bool(seen))
    second()


@pytest.mark.looptime
async def test_what_is_heard_no_more_is_told() -> None:
    """To callbacks and, in their turn, to those who iterate; once, by the rhythm of the device."""
    near = peripheral(1, kitchen=-50)
    near.interval = 1.0
    house = VirtualFleet([ProxySpec(name=unique("kitchen"), noise_psk=KEY)], [near], announce=False)
    async with house:
        proxy = Proxy("127.0.0.1", house.proxies[unique("kitchen")].port, noise_psk=KEY)
        async with Fleet([proxy], discover=False) as fleet:
            await _lose(fleet, near)


async def _lose(fleet: Fleet, near: Peripheral) -> None:
    loop = asyncio.get_running_loop()
    lost: list[str] = []
    events: list[str] = []
    fleet.register_lost_callback(lambda device: lost.append(device.address))
    read = asyncio.create_task(_read(fleet, events))
    await asyncio.sleep(60.0)
    assert (lost, len(fleet.devices)) == ([], 1)
    near.loss = 1.0
    silent = loop.time()
    await until(lambda: bool(lost), 2 * STALE_AT_LEAST)
    assert STALE_AT_LEAST - 1 <= loop.time() - silent <= STALE_AT_LEAST + 2 * LOOK_EVERY
    await asyncio.sleep(3 * STALE_AT_LEAST)
    assert lost == [address(1)]
    assert events[-2:] == [f"heard {address(1)}", "lost"]
    assert fleet.devices == []
    near.loss = 0.0
    await fleet.find_device(address(1), DEADLINE)
    read.cancel()
    await asyncio.gather(read, return_exceptions=True)


async def _read(fleet: Fleet, events: list[str]) -> None:
    async for device, _ in fleet.advertisements(on_lost=lambda device: events.append("lost")):
        events.append(f"heard {device.address}")


async def test_nobody_waits_for_a_fleet_that_is_closed(fleet: Fleet) -> None:
    """Whoever iterates comes to the end, whoever waits is told at once."""
    events: list[str] = []
    reading = asyncio.create_task(_read(fleet, events))
    waiting = [
        asyncio.create_task(fleet.find_device("nobody", 60.0)),
        asyncio.create_task(fleet.ready(2, 60.0)),
    ]
    await until(lambda: bool(events))
    await fleet.aclose()
    async with asyncio.timeout(1.0):
        await reading
        for wait in waiting:
            with pytest.raises(RadioUnavailableError, match="closed") as caught:
                await wait
            assert caught.value.kind is ErrorKind.FLEET_CLOSED
        for late in (fleet.find_device(address(1)), fleet.ready()):
            with pytest.raises(RadioUnavailableError, match="closed"):
                await late
        assert [one async for one in fleet.advertisements()] == []


async def test_another_loop_is_told_where_the_fleet_is(fleet: Fleet) -> None:
    """Waiting there would never end."""

    async def elsewhere() -> None:
        with pytest.raises(BleakError, match="another event loop"):
            await fleet.find_device("nobody")
        with pytest.raises(BleakError, match="another event loop"):
            await fleet.ready(2)
        with pytest.raises(BleakError, match="another event loop"):
            await anext(aiter(fleet.advertisements()))

    await asyncio.to_thread(asyncio.run, elsewhere())


@dataclass
class Found:
    """What a program may keep of a device."""

    device: BLEDevice
    details: dict[str, object]


async def test_copies_of_a_device_connect(fleet: Fleet) -> None:
    """A deep copy, and one in a program's own data class; the details alone can be copied too."""
    device = await fleet.find_device(address(1), DEADLINE)
    found = dataclasses.asdict(Found(device, device.details))
    assert found["details"] == device.details
    for twin in (copy.copy(device), copy.deepcopy(device), found["device"]):
        assert twin is not device
        assert device_source(twin) == device_source(device)
        client = await establish_connection(BleakClientWithServiceCache, twin, "copy")
        assert await client.read_gatt_char(VALUE) == b"value 1"
        await client.disconnect()


async def test_a_pickled_device_connects_by_its_address(fleet: Fleet) -> None:
    """It has lost its way, and nothing of this process goes along."""
    device = await fleet.find_device(address(1), DEADLINE)
    twin = pickle.loads(pickle.dumps(device))
    assert (twin.address, twin.name, device_source(twin)) == (
        device.address,
        device.name,
        device_source(device),
    )
    async with fleet.client_class(BleakClient)(twin) as client:
        assert await client.read_gatt_char(VALUE) == b"value 1"
    uninstall = install(fleet)
    try:
        client = await establish_connection(BleakClientWithServiceCache, twin, "twin")
        assert await client.read_gatt_char(VALUE) == b"value 1"
        await client.disconnect()
    finally:
        uninstall()
