"""The functions that ask BlueZ by address, against a BlueZ on a real bus."""

from __future__ import annotations

import asyncio

import pytest
from bleak import BleakScanner
from bleak.backends.device import BLEDevice
from dbus_fast import Variant

from proxyconn import (
    clear_cache,
    close_stale_connections,
    close_stale_connections_by_address,
    get_device,
    get_device_by_adapter,
    restore_discoveries,
)
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FAILED, FakeBlueZ, device_path

ADDRESS = "C4:00:00:00:00:01"
OTHER = "C4:00:00:00:00:02"


def rssi(value: int) -> Variant:
    return Variant("n", value)


YES = Variant("b", True)


async def test_get_device_strongest(bluez: FakeBlueZ) -> None:
    """Of two adapters, the one that hears the device better is taken."""
    bluez.add_device(ADDRESS, "hci0", RSSI=rssi(-80))
    strong = bluez.add_device(ADDRESS, "hci1", RSSI=rssi(-40), Alias=Variant("s", "Kettle"))
    device = await get_device(ADDRESS.lower())
    assert device is not None
    assert (device.address, device.name) == (ADDRESS, "Kettle")
    assert device.details["path"] == strong
    assert device.details["props"]["RSSI"] == -40


async def test_get_device_connected_first(bluez: FakeBlueZ) -> None:
    """An adapter that is connected to the device comes before one that hears it better."""
    linked = bluez.add_device(ADDRESS, "hci0", Connected=YES)
    bluez.add_device(ADDRESS, "hci1", RSSI=rssi(-40))
    device = await get_device(ADDRESS)
    assert device is not None
    assert device.details["path"] == linked
    assert device.name is None


async def test_get_device_unknown(bluez: FakeBlueZ) -> None:
    """A device that BlueZ does not know is None."""
    bluez.add_device(OTHER)
    assert await get_device(ADDRESS) is None


async def test_get_device_by_adapter(bluez: FakeBlueZ) -> None:
    """Only the named adapter is asked, and hci1 is not hci10."""
    bluez.add_device(ADDRESS, "hci10", RSSI=rssi(-40))
    weak = bluez.add_device(ADDRESS, "hci0", RSSI=rssi(-90))
    device = await get_device_by_adapter(ADDRESS, "hci0")
    assert device is not None
    assert device.details["path"] == weak
    assert await get_device_by_adapter(ADDRESS, "hci1") is None


async def test_get_device_malformed(bluez: FakeBlueZ) -> None:
    """Properties of the wrong type are as good as none; the other devices are still found."""
    bluez.add_device(OTHER, Address=Variant("u", 7), RSSI=Variant("s", "loud"))
    bluez.add_device(ADDRESS, "hci0", RSSI=Variant("s", "loud"), Alias=Variant("u", 7))
    heard = bluez.add_device(ADDRESS, "hci1", RSSI=rssi(-90), Connected=Variant("s", "yes"))
    device = await get_device(ADDRESS)
    assert device is not None
    assert device.details["path"] == heard
    assert await get_device_by_adapter(OTHER, "hci0") is None


async def test_close_stale_connections(bluez: FakeBlueZ) -> None:
    """Every link to the device is closed, on every adapter, and no other's."""
    one = bluez.add_device(ADDRESS, "hci0", Connected=YES)
    two = bluez.add_device(ADDRESS, "hci1", Connected=YES)
    bluez.add_device(ADDRESS, "hci2")
    bluez.add_device(OTHER, "hci0", Connected=YES)
    device = BLEDevice(ADDRESS, None, {"path": two, "props": {}})
    await close_stale_connections(device)
    assert sorted(bluez.calls) == [(one, "Disconnect"), (two, "Disconnect")]


async def test_close_stale_connections_only_other_adapters(bluez: FakeBlueZ) -> None:
    """The link on the device's own adapter can be kept."""
    one = bluez.add_device(ADDRESS, "hci0", Connected=YES)
    two = bluez.add_device(ADDRESS, "hci1", Connected=YES)
    device = BLEDevice(ADDRESS, None, {"path": two, "props": {}})
    await close_stale_connections(device, only_other_adapters=True)
    assert bluez.calls == [(one, "Disconnect")]


async def test_close_stale_connections_by_address(bluez: FakeBlueZ) -> None:
    """By address, a link is closed, and an unknown address does nothing."""
    path = bluez.add_device(ADDRESS, "hci0", Connected=YES)
    await close_stale_connections_by_address(OTHER)
    assert bluez.calls == []
    await close_stale_connections_by_address(ADDRESS)
    assert bluez.calls == [(path, "Disconnect")]


async def test_close_stale_connections_of_a_proxy(bluez: FakeBlueZ) -> None:
    """A device of a proxy is left alone, even if an adapter is connected to its address."""
    bluez.add_device(ADDRESS, "hci0", Connected=YES)
    await close_stale_connections(BLEDevice(ADDRESS, None, {"source": "kitchen"}))
    assert bluez.calls == []


async def test_close_stale_connections_refused(bluez: FakeBlueZ) -> None:
    """A link that BlueZ does not close does not keep the others from being closed."""
    bluez.errors["Disconnect"] = FAILED
    bluez.add_device(ADDRESS, "hci0", Connected=YES)
    bluez.add_device(ADDRESS, "hci1", Connected=YES)
    await close_stale_connections_by_address(ADDRESS)
    assert len(bluez.calls) == 2


async def test_clear_cache(bluez: FakeBlueZ) -> None:
    """The device is removed from every adapter that knows it, and True says so."""
    bluez.add_adapter("hci1")
    one = bluez.add_device(ADDRESS, "hci0")
    two = bluez.add_device(ADDRESS, "hci1")
    assert await clear_cache(ADDRESS) is True
    assert one not in bluez.objects
    assert two not in bluez.objects
    assert await clear_cache(ADDRESS) is False


async def test_clear_cache_refused(bluez: FakeBlueZ, caplog: pytest.LogCaptureFixture) -> None:
    """An error of BlueZ is logged, and False says that nothing was removed."""
    bluez.add_device(ADDRESS)
    bluez.errors["RemoveDevice"] = FAILED
    assert await clear_cache(ADDRESS) is False
    assert FAILED in caplog.text


@pytest.mark.usefixtures("system_bus")
async def test_without_bluetoothd() -> None:
    """On a bus without bluetoothd nothing is known and nothing is done."""
    device = BLEDevice(ADDRESS, None, {"path": device_path(ADDRESS), "props": {}})
    assert await get_device(ADDRESS) is None
    assert await get_device_by_adapter(ADDRESS, "hci0") is None
    assert await clear_cache(ADDRESS) is False
    await close_stale_connections(device)
    await close_stale_connections_by_address(ADDRESS)


async def test_without_bus(system_bus: SystemBus) -> None:
    """Without a system bus nothing is known and nothing is done."""
    await asyncio.to_thread(system_bus.kill)
    assert await get_device(ADDRESS) is None
    assert await clear_cache(ADDRESS) is False


async def test_bus_dies_in_mid_call(bluez: FakeBlueZ, system_bus: SystemBus) -> None:
    """A bus that dies while a reply is awaited ends the call."""
    bluez.add_device(ADDRESS)
    bluez.silent.add("RemoveDevice")
    removing = asyncio.create_task(clear_cache(ADDRESS))
    await bluez.until_called("RemoveDevice")
    await asyncio.to_thread(system_bus.kill)
    assert await removing is False


async def test_restore_discoveries(bluez: FakeBlueZ) -> None:
    """A fresh scanner knows the devices of its adapter without a new advertisement."""
    path = bluez.add_device(
        ADDRESS,
        RSSI=rssi(-48),
        Name=Variant("s", "Thermometer"),
        Alias=Variant("s", "Thermometer"),
        ManufacturerData=Variant("a{qv}", {0x004C: Variant("ay", b"\x02\x15")}),
    )
    bluez.add_device(OTHER, "hci1")
    scanner = BleakScanner(bluez={"adapter": "hci0"})
    await scanner.start()
    assert scanner.discovered_devices == []
    await restore_discoveries(scanner, "hci0")
    (device,) = scanner.discovered_devices
    assert (device.address, device.details["path"]) == (ADDRESS, path)
    (_, advertisement) = scanner.discovered_devices_and_advertisement_data[ADDRESS]
    assert (advertisement.local_name, advertisement.rssi) == ("Thermometer", -48)
    assert advertisement.manufacturer_data == {0x004C: b"\x02\x15"}
    await scanner.stop()
