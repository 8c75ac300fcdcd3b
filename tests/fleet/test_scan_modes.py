"""How a fleet's proxies scan: as they did, as the user says, or as somebody needs for a while."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from bleak import BleakScanner

from proxyconn import Fleet, Proxy, ScanMode, Subscribe, install
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.advertising import Advertisement, payload
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral, uuid128
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.fleet.conftest import KEY, address

pytestmark = pytest.mark.looptime

PASSIVE, ACTIVE = pb.BLUETOOTH_SCANNER_MODE_PASSIVE, pb.BLUETOOTH_SCANNER_MODE_ACTIVE
SET_MODE = "BluetoothScannerSetModeRequest"
SENSORS = 20
OBSERVED = 400
"""Seconds that sensors are watched: longer than from one window for new devices to the next."""


def sensor(number: int, advertising: Advertisement | None = None) -> Peripheral:
    """Return a sensor that says its name only when it is asked, about every 4 s."""
    return Peripheral(
        address(number),
        f"sensor {number}",
        rssi={"kitchen": -50},
        interval=3.5 + number / 20,
        name_in_response=True,
        advertising=advertising,
    )


@asynccontextmanager
async def kitchen(
    sensors: int = 1, advertising: Advertisement | None = None, **spec: object
) -> AsyncIterator[VirtualProxy]:
    """Run a proxy among sensors."""
    specs = [ProxySpec(name="kitchen", noise_psk=KEY, **spec)]  # type: ignore[arg-type]
    around = [sensor(number, advertising) for number in range(1, sensors + 1)]
    async with VirtualFleet(specs, around, announce=False) as fleet:
        yield fleet.proxies["kitchen"]


def proxy_of(proxy: VirtualProxy, scan: ScanMode | str | None = None) -> Proxy:
    """Return what a user writes for a proxy."""
    return Proxy(proxy.host, proxy.port, noise_psk=KEY, scan=scan)


@asynccontextmanager
async def scanning(
    proxy: VirtualProxy, scan: ScanMode | str | None, own: ScanMode | str | None = None
) -> AsyncIterator[Fleet]:
    """Run a fleet of one proxy, which is ready and has been told how to scan."""
    async with Fleet([proxy_of(proxy, own)], discover=False, scan=scan, owner=False) as fleet:
        await fleet.ready()
        await asyncio.sleep(0.5)
        yield fleet


def mode_of(proxy: VirtualProxy) -> int:
    """Return how a proxy scans."""
    return proxy.bluetooth.scanner.mode


def told(proxy: VirtualProxy) -> int:
    """Return how often a proxy was told how to scan."""
    return proxy.snapshot().received.get(SET_MODE, 0)


async def test_fleet_without_an_opinion_leaves_the_mode_alone() -> None:
    """No proxy is told anything, whatever is heard or looked for."""
    async with kitchen() as proxy:
        async with scanning(proxy, None) as fleet:
            await fleet.find_device("sensor 1", timeout=30)
            await asyncio.sleep(60)
        assert told(proxy) == 0


@pytest.mark.parametrize("before", [PASSIVE, ACTIVE])
@pytest.mark.parametrize(("scan", "mode"), [("passive", PASSIVE), (ScanMode.ACTIVE, ACTIVE)])
async def test_mode_is_set_and_restored(scan: ScanMode | str, mode: int, before: int) -> None:
    """The proxy scans as it is told while the fleet lives, and as before once it is closed."""
    async with kitchen() as proxy:
        proxy.bluetooth.scanner.set_mode(before)  # type: ignore[arg-type]
        async with scanning(proxy, scan):
            assert mode_of(proxy) == mode
        await asyncio.sleep(1)
        assert mode_of(proxy) == before
        assert told(proxy) == (0 if mode == before else 2)


async def test_mode_is_restored_though_it_was_only_just_set() -> None:
    """A fleet that is closed before the proxy has confirmed a mode takes it back all the same."""
    async with kitchen() as proxy:
        async with scanning(proxy, None) as fleet:
            await fleet.reconfigure([proxy_of(proxy)], discover=False, scan="passive")
        await asyncio.sleep(1)
        assert (mode_of(proxy), told(proxy)) == (ACTIVE, 2)


async def test_one_proxy_has_a_mode_of_its_own() -> None:
    """What is said of one proxy counts more than what is said of all, and may change."""
    async with kitchen() as proxy, scanning(proxy, "passive", own="active") as fleet:
        (radio,) = fleet.radios
        assert told(proxy) == 0
        await fleet.reconfigure([proxy_of(proxy, "passive")], discover=False, scan="active")
        await asyncio.sleep(0.5)
        assert mode_of(proxy) == PASSIVE
        assert fleet.radios == [radio]
        await fleet.reconfigure([proxy_of(proxy)], discover=False)
        await asyncio.sleep(0.5)
        assert mode_of(proxy) == ACTIVE


async def test_session_that_is_new_is_told_again() -> None:
    """A proxy that restarts scans as its YAML says, until it is told again."""
    async with kitchen() as proxy, scanning(proxy, "passive"):
        proxy.bluetooth.scanner.set_mode(ACTIVE)
        await proxy.stop()
        await proxy.start()
        await asyncio.sleep(30)
        assert mode_of(proxy) == PASSIVE


async def test_proxy_that_cannot_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    """Firmware without messages 126 and 127 is asked nothing, and that is told."""
    with caplog.at_level(logging.INFO):
        async with kitchen(profile="2024.11") as proxy, scanning(proxy, "auto") as fleet:
            await fleet.find_device(address(1), timeout=30)
            await asyncio.sleep(60)
            assert told(proxy) == 0
    assert caplog.text.count("kitchen: cannot be told how to scan") == 1


async def test_fleet_that_only_looks_changes_nothing() -> None:
    """Somebody else has the proxy, or may have."""
    async with kitchen() as proxy:
        known = proxy_of(proxy, "passive")
        looks = Fleet([known], discover=False, scan="passive", subscribe=Subscribe.NEVER)
        async with looks as fleet:
            await fleet.ready()
            await asyncio.sleep(60)
        assert told(proxy) == 0


async def test_name_that_is_awaited_is_asked_for() -> None:
    """In `auto` a device is found by a name that it says only when asked; then all is quiet."""
    async with kitchen() as proxy, scanning(proxy, "auto") as fleet:
        assert mode_of(proxy) == PASSIVE
        device = await fleet.find_device("sensor 1", timeout=30)
        assert device.address == address(1)
        await asyncio.sleep(30)
        assert mode_of(proxy) == PASSIVE


@pytest.mark.parametrize("by", ["name", "service"])
async def test_program_finds_what_only_scan_responses_say(by: str) -> None:
    """In `auto`, a program that looks for a name or a service is one who needs to ask."""
    said = payload(name="sensor 1", services=["180f"])
    quiet = Advertisement(data=payload(flags=6), scan_response=said)
    async with kitchen(advertising=quiet) as proxy, scanning(proxy, "auto") as fleet:
        uninstall = install(fleet)
        try:
            if by == "name":
                found = await BleakScanner.find_device_by_name("sensor 1", timeout=30)
            else:
                uuids = [uuid128("180f")]
                found = await BleakScanner.find_device_by_filter(
                    lambda device, said: True, timeout=30, service_uuids=uuids
                )
        finally:
            uninstall()
        assert found
        assert found.address == address(1)
        await asyncio.sleep(30)
        assert mode_of(proxy) == PASSIVE


async def test_twenty_sensors_are_known_within_a_minute_and_left_in_peace() -> None:
    """In `auto` every name is known soon, and the radio asks for under 5 % of the time."""
    async with kitchen(SENSORS) as proxy, scanning(proxy, "auto") as fleet:
        active = 0
        for second in range(OBSERVED):
            active += mode_of(proxy) == ACTIVE
            if second == 60:
                names = {device.name for device in fleet.devices}
                assert names == {f"sensor {number}" for number in range(1, SENSORS + 1)}
            await asyncio.sleep(1)
        assert 0 < active < 0.05 * OBSERVED


@pytest.mark.parametrize("wrong", ["fast", "", "Active"])
async def test_mode_that_is_none_is_refused(wrong: str) -> None:
    """The error names the modes that there are."""
    for make in (lambda: Fleet(scan=wrong), lambda: Proxy("10.0.0.7", scan=wrong)):
        with pytest.raises(ValueError, match="active, passive, auto"):
            make()
