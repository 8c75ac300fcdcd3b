"""A plain BleakScanner over an installed fleet does what bleak documents."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable
from typing import Any, Literal

import pytest
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn import Fleet, device_source
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import (
    CLOCK,
    CLOCK_SERVICE,
    COMPANY,
    DEADLINE,
    LAMP,
    LAMP_SERVICE,
    STRANGER,
    Run,
)

pytestmark = pytest.mark.usefixtures("installed")

SHORT = 0.3
"""Seconds in which every device here advertises several times."""


def be_busy(seconds: float) -> None:
    """Keep the loop from running."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        pass


async def test_discover(run: Run[Any]) -> None:
    """discover() returns devices, and with return_adv what they said, after its timeout."""

    async def program() -> tuple[list[BLEDevice], Any]:
        started = time.monotonic()
        devices = await BleakScanner.discover(timeout=SHORT)
        assert time.monotonic() - started >= SHORT
        return devices, await BleakScanner.discover(timeout=SHORT, return_adv=True)

    devices, said = await run(program())
    assert sorted((device.address, device.name) for device in devices) == [
        (LAMP, "Lamp"),
        (CLOCK, "Clock"),
    ]
    device, advertisement = said[LAMP]
    assert device.address == LAMP
    assert device_source(device) == "kitchen"
    assert advertisement.local_name == "Lamp"
    assert -60 < advertisement.rssi < -40
    assert advertisement.manufacturer_data == {COMPANY: b"Lamp"}
    assert advertisement.service_uuids == [LAMP_SERVICE]


async def test_find_device(run: Run[Any]) -> None:
    """find_device_by_address, _by_name and _by_filter return the device as soon as it is heard."""

    async def program() -> list[BLEDevice | None]:
        return [
            await BleakScanner.find_device_by_address(LAMP.lower()),
            await BleakScanner.find_device_by_name("Clock"),
            await BleakScanner.find_device_by_filter(
                lambda device, data: COMPANY in data.manufacturer_data and device.name == "Lamp"
            ),
        ]

    found = await run(program())
    assert [device and device.address for device in found] == [LAMP, CLOCK, LAMP]


async def test_find_device_waits_for_one_that_is_silent(run: Run[Any]) -> None:
    """A device that is not there is waited for, for as long as was asked, and then None."""

    async def program() -> float:
        started = time.monotonic()
        assert await BleakScanner.find_device_by_address(STRANGER, timeout=SHORT) is None
        assert await BleakScanner.find_device_by_name("lamp", timeout=SHORT) is None
        return time.monotonic() - started

    assert await run(program()) >= 2 * SHORT


async def test_what_was_heard_lately_is_reported_at_once(
    run: Run[Any], installed: Fleet, peripherals: list[Peripheral]
) -> None:
    """A new scan knows a device that has advertised before it began, and is silent since."""
    await installed.find_device(LAMP, DEADLINE)
    await installed.find_device(CLOCK, DEADLINE)
    for peripheral in peripherals:
        peripheral.loss = 1.0

    async def program() -> tuple[float, list[BLEDevice]]:
        started = time.monotonic()
        assert await BleakScanner.find_device_by_address(LAMP, timeout=DEADLINE)
        return time.monotonic() - started, await BleakScanner.discover(timeout=0)

    took, devices = await run(program())
    assert took < 1.0
    assert len(devices) == 2


async def test_nothing_is_lost_before_the_program_listens(
    run: Run[Any], installed: Fleet, peripherals: list[Peripheral]
) -> None:
    """What is heard while a busy program starts to scan is there when it comes to iterate."""
    for address in (LAMP, CLOCK):
        await installed.find_device(address, DEADLINE)

    def fall_silent() -> None:
        be_busy(0.1)
        for peripheral in peripherals:
            peripheral.loss = 1.0
        be_busy(0.3)  # what the proxy has collected arrives

    async def program() -> set[str]:
        scanner = BleakScanner()
        asyncio.get_running_loop().call_soon(fall_silent)
        await scanner.start()
        heard: set[str] = set()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SHORT):
                async for device, _ in scanner.advertisement_data():
                    heard.add(device.address)
        await scanner.stop()
        return heard

    assert await run(program()) == {LAMP, CLOCK}


async def test_service_uuids(run: Run[Any]) -> None:
    """Only advertisements with one of the services are seen and reported; short UUIDs do too."""

    async def program(wanted: list[str]) -> set[str]:
        heard: set[str] = set()
        # bleak takes this one too, but does not say so.
        more: Any = {"detection_callback": lambda device, data: heard.add(device.address)}
        devices = await BleakScanner.discover(timeout=SHORT, service_uuids=wanted, **more)
        assert {device.address for device in devices} == heard
        return heard

    assert await run(program([CLOCK_SERVICE.upper()])) == {CLOCK}
    assert await run(program(["fff0"])) == {LAMP}
    assert await run(program(["fff0", "fff2"])) == {LAMP, CLOCK}
    assert await run(program(["180d"])) == set()


async def test_callbacks(run: Run[Any]) -> None:
    """Plain and coroutine callbacks are called in the program's loop, and only while it scans."""

    async def program() -> None:
        mine = asyncio.get_running_loop()
        heard: asyncio.Queue[tuple[str, BLEDevice]] = asyncio.Queue()

        def plain(device: BLEDevice, data: AdvertisementData) -> None:
            assert asyncio.get_running_loop() is mine
            heard.put_nowait(("plain", device))

        async def coroutine(device: BLEDevice, data: AdvertisementData) -> None:
            assert asyncio.get_running_loop() is mine
            heard.put_nowait(("coroutine", device))

        for callback, kind in ((plain, "plain"), (coroutine, "coroutine")):
            scanner = BleakScanner(callback, scanning_mode="passive")
            await scanner.start()
            for _ in range(5):
                assert (await heard.get())[0] == kind
            await scanner.stop()
            await asyncio.sleep(0)  # what a coroutine callback was called with before
            while not heard.empty():
                heard.get_nowait()
            await asyncio.sleep(SHORT)
            assert heard.empty()

    await run(program())


async def test_iteration(run: Run[Any]) -> None:
    """advertisement_data() yields for ever; a second start() forgets what was discovered."""

    async def program() -> None:
        async with BleakScanner() as scanner:
            assert scanner.backend_id == "proxyconn"
            heard: set[str] = set()
            async for device, data in scanner.advertisement_data():
                assert data.local_name == device.name
                heard.add(device.address)
                if len(heard) == 2:
                    break
            assert {device.address for device in scanner.discovered_devices} == heard
            assert set(scanner.discovered_devices_and_advertisement_data) == heard
        assert len(scanner.discovered_devices) == 2
        await scanner.stop()
        await scanner.start()
        assert scanner.discovered_devices == []
        await scanner.stop()

    await run(program())


async def test_platform_keywords_are_taken(run: Run[Any]) -> None:
    """Programs name adapters and filters of their platforms, and mean none of ours."""

    async def program() -> None:
        options: dict[str, Any] = {"bluez": {"adapter": "hci7", "filters": {"RSSI": -90}}}
        assert await BleakScanner.find_device_by_name("Lamp", cb={"use_bdaddr": True}, **options)
        with pytest.warns(DeprecationWarning, match="adapter"):
            assert await BleakScanner.find_device_by_name("Lamp", adapter="hci7")

    await run(program())


async def test_a_callback_that_raises_is_told_of_and_called_again(
    run: Run[Any], installed: Fleet, peripherals: list[Peripheral]
) -> None:
    """bleak leaves it to the loop's exception handler; what was heard as well is reported too."""
    for peripheral in peripherals:
        await installed.find_device(peripheral.address, DEADLINE)
        peripheral.loss = 1.0

    async def program() -> tuple[list[str], list[str]]:
        told: list[dict[str, Any]] = []
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: told.append(context))
        calls: list[str] = []

        def callback(device: BLEDevice, data: AdvertisementData) -> None:
            calls.append(device.address)
            raise ZeroDivisionError

        async with BleakScanner(callback):
            await asyncio.sleep(SHORT)
        asyncio.get_running_loop().set_exception_handler(None)
        return calls, [type(context["exception"]).__name__ for context in told]

    calls, told = await run(program())
    assert set(calls) == {LAMP, CLOCK}
    assert told == ["ZeroDivisionError"] * len(calls)  # a packet may still have been under way


NUMBER = int(STRANGER.replace(":", ""), 16)


async def test_what_is_said_in_turns_is_discovered_together(
    run: Run[Any], installed: Fleet, kitchen: VirtualProxy
) -> None:
    """discover() and discovered_devices_and_advertisement_data have all of it; a callback has each
    packet as it was, and spoils nothing for others."""
    await installed.ready(1, DEADLINE)
    fleets = asyncio.get_running_loop()

    def say() -> None:
        message = pb.BluetoothLERawAdvertisementsResponse()
        for data in (b"\x04\xff\x88\xec\x01", b"\x04\xff\x4c\x00\x02", b"\x04\x09Two"):
            message.advertisements.add(address=NUMBER, rssi=-60, address_type=1, data=data)
        kitchen.send_subscriber(message)

    async def program() -> None:
        packets: list[set[int]] = []

        def spoil(device: BLEDevice, said: AdvertisementData) -> None:
            said.manufacturer_data.clear()

        def note(device: BLEDevice, said: AdvertisementData) -> None:
            if device.address == STRANGER:
                packets.append(set(said.manufacturer_data))

        async with BleakScanner(spoil), BleakScanner(note) as scanner:
            for _ in range(2):
                fleets.call_soon_threadsafe(say)
                await asyncio.sleep(SHORT)
            _, said = scanner.discovered_devices_and_advertisement_data[STRANGER]
            assert packets[:2] == [{0xEC88}, {0x004C}]
        for device, found in (
            (None, said),
            (await BleakScanner.discover(timeout=SHORT, return_adv=True))[STRANGER],
        ):
            assert found.manufacturer_data == {0xEC88: b"\x01", 0x004C: b"\x02"}
            assert (found.local_name, found.rssi) == ("Two", -60)
            assert device is None or device.name == "Two"

    await run(program())


@pytest.mark.parametrize(("before", "wish"), [(1, "passive"), (0, "active")])
async def test_scanning_mode_is_a_wish_that_ends_with_the_scan(
    run: Run[Any], kitchen: VirtualProxy, before: int, wish: Literal["active", "passive"]
) -> None:
    """The proxy scans as the program asks for as long as it scans, and then as before."""
    scanner = kitchen.bluetooth.scanner
    scanner.set_mode(before)  # type: ignore[arg-type]
    seen = []

    async def program() -> None:
        async with BleakScanner(scanning_mode=wish):
            await until(lambda: scanner.mode != before)
            async with BleakScanner(scanning_mode=wish):
                pass
            await asyncio.sleep(SHORT)
            seen.append(scanner.mode)
        await until(lambda: scanner.mode == before)

    await run(program())
    assert seen == [1 - before]


async def until(condition: Callable[[], bool]) -> None:
    """Wait until something holds of the proxy."""
    while not condition():  # noqa: ASYNC110 - the proxy tells nobody
        await asyncio.sleep(0.01)
