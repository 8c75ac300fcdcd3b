"""GATT, pairing and connection parameters through a proxy, message by message."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from aioesphomeapi.client import APIClient

from proxyconn_virtual.firmware.profiles import NEWEST, profile
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import (
    EVERYTHING,
    FIRST,
    LONG_UUID,
    OPEN,
    OPEN_CCCD,
    QUICK,
    READ_ONLY,
    SECRET,
    WITH_CACHE,
    WITHOUT_CACHE,
    WRITE_ONLY,
    Bench,
    address,
    api,
    device,
    linked,
    peripheral,
    read,
)


def write(handle: int, data: bytes, *, response: bool = True) -> object:
    """Return a write request."""
    return api.BluetoothGATTWriteRequest(address=FIRST, handle=handle, response=response, data=data)


def write_cccd(handle: int, data: bytes) -> object:
    """Return a descriptor write."""
    return api.BluetoothGATTWriteDescriptorRequest(address=FIRST, handle=handle, data=data)


def notify(handle: int, *, enable: bool = True) -> object:
    """Return a notify request."""
    return api.BluetoothGATTNotifyRequest(address=FIRST, handle=handle, enable=enable)


def services() -> object:
    """Return a services request."""
    return api.BluetoothGATTGetServicesRequest(address=FIRST)


async def test_services_short_and_long_uuids(bench: Bench) -> None:
    """Short UUIDs go alone; long ones as two numbers; handles are in order."""
    peer = await linked(bench)
    peer.send(services())
    message = await peer.next()
    done = await peer.next()
    assert isinstance(done, api.BluetoothGATTGetServicesDoneResponse)
    generic, _, own = message.services
    assert (generic.short_uuid, list(generic.uuid), generic.handle) == (0x1800, [], 1)
    assert (own.short_uuid, list(own.uuid)) == (0, [0x123456789ABCDEF0, 0x1122334455667788])
    first = own.characteristics[0]
    assert (first.short_uuid, first.handle, first.properties) == (0x2A19, OPEN, EVERYTHING)
    assert [(d.short_uuid, d.handle) for d in first.descriptors] == [(0x2902, OPEN_CCCD)]
    assert [c.handle for c in own.characteristics] == [OPEN, SECRET, WRITE_ONLY, READ_ONLY]


async def test_services_long_uuids_on_old_firmware(bench: Bench) -> None:
    """Firmware older than API 1.12 sends every UUID as 128 bits."""
    peer = await linked(bench, profile="2025.5")
    peer.send(services())
    generic = (await peer.next()).services[0]
    assert generic.short_uuid == 0
    assert list(generic.uuid) == [0x0000180000001000, 0x800000805F9B34FB]


async def test_services_are_served_once(bench: Bench) -> None:
    """A second request on the same connection gets silence; the next connection serves again."""
    peer = await linked(bench)
    peer.send(services())
    await peer.wait_for(api.BluetoothGATTGetServicesDoneResponse)
    peer.send(services())
    assert await peer.quiet() == []
    await peer.reconnect()
    peer.send(services())
    await peer.wait_for(api.BluetoothGATTGetServicesDoneResponse)


async def test_services_with_cache_are_empty(bench: Bench) -> None:
    """With cache there was no discovery: done, with no services."""
    peer = await linked(bench, kind=WITH_CACHE)
    peer.send(services())
    assert await peer.quiet() == [("BluetoothGATTGetServicesDoneResponse",)]


async def test_services_in_batches(bench: Bench) -> None:
    """Batches hold whole services up to 1360 bytes; an oversized service goes alone."""
    many = CharacteristicSpec(LONG_UUID)
    huge = ServiceSpec(LONG_UUID, (many,) * 80)
    small = [ServiceSpec(LONG_UUID, (many,) * 10) for _ in range(10)]
    _, peer = await bench.pair(peripheral(services=(*small, huge, *small)))
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.send(services())
    batches = []
    while not isinstance(message := await peer.next(), api.BluetoothGATTGetServicesDoneResponse):
        batches.append(message)
    assert sum(len(batch.services) for batch in batches) == 23
    for batch in batches:
        assert batch.ByteSize() <= 1360 or len(batch.services) == 1
    assert any(batch.ByteSize() > 1360 for batch in batches)
    assert len(batches) < 12


@pytest.mark.parametrize("known", [True, False], ids=["discovering", "unknown"])
async def test_requests_before_established(bench: Bench, known: bool) -> None:
    """Without an established link every request fails with -1, services with handle 0."""
    _, peer = await bench.pair(device(att_latency=0.05))
    if known:
        peer.ask(WITHOUT_CACHE)
        await peer.steps(1)
    requests = {
        0: services(),
        OPEN: read(OPEN),
        SECRET: write(SECRET, b"x"),
        OPEN_CCCD: write_cccd(OPEN_CCCD, b"\1\0"),
        READ_ONLY: notify(READ_ONLY),
    }
    for handle, request in requests.items():
        peer.send(request)
        error = await peer.next()
        assert isinstance(error, api.BluetoothGATTErrorResponse)
        assert (error.address, error.handle, error.error) == (FIRST, handle, -1)


async def test_read_and_write(bench: Bench) -> None:
    """A value that was written is read back."""
    peer = await linked(bench)
    peer.send(read(OPEN))
    peer.send(write(OPEN, b"new"))
    peer.send(read(OPEN))
    assert await peer.steps(3) == [
        ("BluetoothGATTReadResponse", OPEN, b"\x58"),
        ("BluetoothGATTWriteResponse", OPEN),
        ("BluetoothGATTReadResponse", OPEN, b"new"),
    ]


async def test_read_descriptor(bench: Bench) -> None:
    """A descriptor read is answered like a read."""
    peer = await linked(bench)
    peer.send(write_cccd(OPEN_CCCD, b"\1\0"))
    peer.send(api.BluetoothGATTReadDescriptorRequest(address=FIRST, handle=OPEN_CCCD))
    assert await peer.steps(2) == [
        ("BluetoothGATTWriteResponse", OPEN_CCCD),
        ("BluetoothGATTReadResponse", OPEN_CCCD, b"\1\0"),
    ]


@pytest.mark.parametrize(
    ("request_", "handle", "error"),
    [
        (read(99), 99, 1),
        (read(WRITE_ONLY), WRITE_ONLY, 2),
        (write(READ_ONLY, b"x"), READ_ONLY, 3),
        (read(SECRET), SECRET, 5),
        (write(SECRET, b"x"), SECRET, 5),
        (write_cccd(99, b"\1\0"), 99, 1),
        (write(OPEN, b""), OPEN, 258),
    ],
)
async def test_gatt_errors(bench: Bench, request_: object, handle: int, error: int) -> None:
    """What the peripheral, or the stack, refuses comes back with its code."""
    peer = await linked(bench)
    peer.send(request_)
    assert await peer.steps(1) == [("BluetoothGATTErrorResponse", handle, error)]


async def test_values_are_cut(bench: Bench) -> None:
    """Values over 517 bytes are cut silently, both ways."""
    peer = await linked(bench)
    peer.send(read(READ_ONLY))
    peer.send(write(OPEN, bytes(600)))
    peer.send(read(OPEN))
    first, _, second = [await peer.next() for _ in range(3)]
    assert len(first.data) == len(second.data) == 517


@pytest.mark.parametrize("firmware", [NEWEST, "silent"])
async def test_write_without_response(bench: Bench, firmware: str) -> None:
    """The present stack raises its write event all the same; others do not."""
    manners = profile(NEWEST)
    if firmware == "silent":
        manners = replace(manners, write_event_without_response=False)
    peer = await linked(bench, profile=manners)
    peer.send(write(OPEN, b"x", response=False))
    peer.send(read(OPEN))
    answers = await peer.steps(2 if firmware == NEWEST else 1)
    assert answers[-1] == ("BluetoothGATTReadResponse", OPEN, b"x")


async def test_notify_needs_registration_and_cccd(bench: Bench) -> None:
    """Data comes only when the proxy has the handle and the peripheral has the CCCD."""
    peer = await linked(bench)
    peer.send(notify(OPEN))
    peer.send(write(OPEN, b"1"))
    peer.send(read(OPEN))
    assert await peer.steps(3) == [
        ("BluetoothGATTNotifyResponse", OPEN),
        ("BluetoothGATTWriteResponse", OPEN),
        ("BluetoothGATTReadResponse", OPEN, b"1"),
    ]
    peer.send(write_cccd(OPEN_CCCD, b"\1\0"))
    peer.send(write(OPEN, b"2"))
    got = await peer.steps(3)
    assert ("BluetoothGATTNotifyDataResponse", OPEN, b"2") in got
    peer.send(notify(OPEN, enable=False))
    peer.send(write(OPEN, b"3"))
    peer.send(read(OPEN))
    assert await peer.steps(3) == [
        ("BluetoothGATTNotifyResponse", OPEN),
        ("BluetoothGATTWriteResponse", OPEN),
        ("BluetoothGATTReadResponse", OPEN, b"3"),
    ]


async def test_notify_registrations_are_limited(bench: Bench) -> None:
    """Twelve handles can be registered; the thirteenth is refused."""
    peer = await linked(bench)
    for handle in range(1, 14):
        peer.send(notify(handle))
    answers = await peer.steps(13)
    assert answers[11:] == [
        ("BluetoothGATTNotifyResponse", 12),
        ("BluetoothGATTErrorResponse", 13, 128),
    ]


async def test_registrations_end_with_the_link(bench: Bench) -> None:
    """After a reconnect nothing is registered."""
    fleet = await bench.fleet([ProxySpec(name="kitchen", timings=QUICK)], [device()])
    peer = await bench.peer(fleet.proxies["kitchen"], subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.send(notify(OPEN))
    await peer.steps(1)
    await peer.reconnect()
    peer.send(write_cccd(OPEN_CCCD, b"\1\0"))
    await peer.steps(1)
    assert isinstance(fleet.air, SimulatedAir)
    assert fleet.air.notify(address(1), 0x2A19, b"x")
    assert await peer.quiet() == []


@pytest.mark.parametrize(("manners", "notices"), [("2026.7.0", 2), (NEWEST, 1)])
async def test_operations_end_with_the_link(bench: Bench, manners: str, notices: int) -> None:
    """A read that waits when the link drops is never answered."""
    slow = device(att_latency=0.05)
    fleet = await bench.fleet([ProxySpec(name="kitchen", timings=QUICK, profile=manners)], [slow])
    peer = await bench.peer(fleet.proxies["kitchen"], subscribe=True)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.send(read(OPEN))
    await peer.quiet()
    assert isinstance(fleet.air, SimulatedAir)
    fleet.air.drop_link(address(1), 19)
    gone = ("conn", False, 0, 19)
    assert await peer.steps(notices + 1) == [*[gone] * notices, ("slots", 3)]
    assert await peer.quiet() == []


async def test_with_aioesphomeapi_client(bench: Bench) -> None:
    """aioesphomeapi's own client connects, discovers, reads, writes, subscribes and disconnects."""
    ticking = CharacteristicSpec(
        0x2A37, Properties.NOTIFY, notify_every=0.001, notify_value=lambda n: n.to_bytes(2)
    )
    own = peripheral(services=(ServiceSpec(0x180D, (ticking,)),))
    fleet: VirtualFleet = await bench.fleet([ProxySpec(name="kitchen", timings=QUICK)], [own])
    client = APIClient("127.0.0.1", fleet.proxies["kitchen"].port, None)
    await client.connect(login=True)
    client.subscribe_bluetooth_le_raw_advertisements(lambda message: None)
    states: list[tuple[bool, int, int]] = []
    off = await client.bluetooth_device_connect(
        FIRST,
        lambda connected, mtu, error: states.append((connected, mtu, error)),
        feature_flags=255,
        address_type=1,
    )
    found = await client.bluetooth_gatt_get_services(FIRST)
    rate = found.services[-1].characteristics[0]
    assert rate.uuid == "00002a37-0000-1000-8000-00805f9b34fb"
    got: list[int] = []
    enough = asyncio.Event()

    def on_value(handle: int, value: bytearray) -> None:
        got.append(int.from_bytes(value))
        if len(got) == 50:
            enough.set()

    await client.bluetooth_gatt_start_notify(FIRST, rate.handle, on_value)
    await client.bluetooth_gatt_write_descriptor(FIRST, rate.descriptors[0].handle, b"\1\0")
    await asyncio.wait_for(enough.wait(), 5)
    assert got[:50] == list(range(50))
    await client.bluetooth_device_disconnect(FIRST)
    off()
    assert states == [(True, 247, 0), (False, 0, 0)]
    await client.disconnect()
