"""What a hostile proxy or network can make us keep has an end; docs/security.md has the table."""

from __future__ import annotations

import asyncio
import gc
import random
import resource
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import Mock

import pytest
from bleak.backends.device import BLEDevice

from proxyconn.advertisements.device_table import MOST_SIGHTINGS
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.programs import program_scanner as _scanner
from proxyconn.radio import FleetOptions
from proxyconn_esphome import scanner as esphome_scanner
from proxyconn_esphome.advertisement_data import advertisement_data
from proxyconn_esphome.backend import (
    MOST_BATCH,
    MOST_DATA,
    MOST_FOUND,
    MOST_REPORTS,
    ESPHomeBackend,
)
from proxyconn_esphome.scanner import ESPHomeScanner
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_esphome.wire.native_api import BITE
from proxyconn_esphome.wire.raw_connection import reports_of
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from tests.core.fake_radio import FakeRadio
from tests.esphome.clocked import NUMBER, a_house, program
from tests.esphome.conftest import NOTIFY, READ

pytestmark = pytest.mark.looptime

MEGABYTE = 1 << 20


@contextmanager
def growing_at_most(megabytes: int) -> Iterator[None]:
    """Fail if what was allocated meanwhile, and is kept, comes to more."""
    gc.collect()
    tracemalloc.start()
    try:
        yield
        gc.collect()
        kept, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept < megabytes * MEGABYTE


def peak() -> int:
    """Return the most memory that this process has had, in bytes (Linux counts in KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def batch(*reports: tuple[int, bytes]) -> pb.BluetoothLERawAdvertisementsResponse:
    """Return a batch of advertisements."""
    return pb.BluetoothLERawAdvertisementsResponse(
        advertisements=[
            pb.BluetoothLERawAdvertisement(address=address, rssi=-60, address_type=1, data=data)
            for address, data in reports
        ]
    )


async def test_addresses_without_end() -> None:
    """100,000 random addresses leave no more than the table holds."""
    hub = Hub(DeviceRoute, {})
    radio = FakeRadio(hub, "kitchen")
    chance = random.Random(1)
    before = peak()
    for _ in range(1000):
        reports = batch(*((chance.getrandbits(48), chance.randbytes(31)) for _ in range(100)))
        hub.heard(radio, reports.advertisements, advertisement_data)
        assert len(hub.sightings) < MOST_SIGHTINGS + 100
    assert peak() - before < 100 * MEGABYTE


async def test_addresses_that_are_none() -> None:
    """Numbers of more than 48 bits, of which many are one address, are not taken."""
    hub = Hub(DeviceRoute, {})
    radio = FakeRadio(hub, "kitchen")
    with growing_at_most(2):
        for high in range(1, 20_000):
            reports = batch((high << 48 | NUMBER, b"\x02\x01\x06"))
            hub.heard(radio, reports.advertisements, advertisement_data)
    assert not hub.sightings


async def test_address_type_is_that_of_the_last_report() -> None:
    """A wrong one, once heard, made the device unreachable for every radio."""
    hub = Hub(DeviceRoute, {})
    radio = FakeRadio(hub, "kitchen")
    reports = batch((NUMBER, b"\x02\x01\x06"))
    reports.advertisements[0].address_type = 99
    hub.heard(radio, reports.advertisements, advertisement_data)
    hub.heard(radio, batch((NUMBER, b"\x02\x01\x02")).advertisements, advertisement_data)
    [sighting] = hub.sightings.values()
    assert sighting.device.details["address_type"] == 1


async def test_advertisements_of_any_size() -> None:
    """What no device can say is not kept; a batch that is merely large is taken."""
    huge = batch((1, bytes(60_000)), (2, bytes(MOST_DATA)), (3, bytes(MOST_DATA + 1)))
    assert [report.address for report in reports_of(huge)] == [2]
    many = batch(*((number, bytes(31)) for number in range(200)))
    assert many.ByteSize() > MOST_BATCH
    assert len(reports_of(many)) == 200


async def test_flood_is_read_in_small_bites() -> None:
    """Other tasks have many turns while 150 kB are taken; it was read in pieces of 256 KiB."""
    flood = pb.BluetoothGATTNotifyDataResponse(address=1, handle=3, data=bytes(1000))
    async with a_house() as house:
        for _ in range(150):
            house.proxy.send_subscriber(flood)
        house.proxy.send_subscriber(pb.BluetoothConnectionsFreeResponse(free=9, limit=9))
        turns = 0
        while house.session.ledger.limit != 9:
            await asyncio.sleep(0)
            turns += 1
        assert turns >= 150_000 // BITE


async def test_advertisements_without_end_in_one_batch() -> None:
    """The smallest ones fit into a frame by the thousand; a proxy collects 16."""
    batch_of_all = batch(*((number, b"") for number in range(6000)))
    assert len(reports_of(batch_of_all)) == MOST_REPORTS


async def test_scan_of_one_proxy_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """A scan that is never ended remembers the devices that it saw last."""
    monkeypatch.setattr(esphome_scanner, "MOST_SEEN", 3)
    scanner = ESPHomeScanner(None, None, session=Mock())
    await scanner.start()
    for number in range(1, 6):
        scanner.session_heard(Mock(), batch((number, b"\x02\x01\x06")).advertisements)
    assert [address[-1] for address in scanner.seen_devices] == ["3", "4", "5"]
    await scanner.stop()


async def test_scan_of_a_fleet_forgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """So does the scanner of programs that know nothing of the fleet."""
    monkeypatch.setattr(_scanner, "MOST_SEEN", 3)
    scanner = _scanner.ProgramScanner()
    scanner.access = Mock(loop=asyncio.get_running_loop())
    advertisement = advertisement_data(b"\x02\x01\x06", -50)
    for number in range(1, 6):
        device = BLEDevice(f"C4:00:00:00:00:0{number}", None, {})
        scanner._report(device, advertisement)  # noqa: SLF001 - what every advertisement takes
    assert [address[-1] for address in scanner.seen_devices] == ["3", "4", "5"]


async def test_announcements_without_end() -> None:
    """Whoever announces devices by the thousand does not make us call them all."""
    hub = Hub(DeviceRoute, {})
    backend = ESPHomeBackend(FleetOptions(discover=False), hub)
    await backend.start()
    try:
        for number in range(3 * MOST_FOUND):
            backend.device_found(FoundDevice(f"n{number}", f"{number:012x}", "127.0.0.1", 9))
        assert len(hub.radios) == MOST_FOUND
    finally:
        await backend.aclose()


async def test_notifications_nobody_asked_for() -> None:
    """A flood for handles without a subscription leaves nothing, and the link goes on."""
    told: list[bytearray] = []
    async with a_house() as house:
        async with program(house) as client:
            await client.start_notify(NOTIFY, lambda _, data: told.append(data))
            [subscribed] = [
                one.handle for one in client.services.characteristics.values() if one.uuid == NOTIFY
            ]
            await client.read_gatt_char(READ)
            with growing_at_most(2):
                for number in range(8_000):
                    handle = 0x10000 + number
                    assert handle != subscribed
                    house.proxy.send_subscriber(
                        pb.BluetoothGATTNotifyDataResponse(
                            address=NUMBER, handle=handle, data=bytes(500)
                        )
                    )
                    if number % 50 == 0:
                        await asyncio.sleep(0)
                before = len(told)
                assert await client.read_gatt_char(READ) == b"hello"
            assert all(len(data) < 500 for data in told[before:])
            await client.stop_notify(NOTIFY)
        await house.all_free()
