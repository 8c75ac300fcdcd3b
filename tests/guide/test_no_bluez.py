"""The examples that ask BlueZ where there is no D-Bus: nothing is known, and nothing fails."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from proxyconn import (
    Allocations,
    close_stale_connections,
    close_stale_connections_by_address,
    get_device_by_adapter,
    restore_discoveries,
)
from tests.guide.conftest import House
from tests.guide.device import ADDRESS, NAME
from tests.guide.examples import bluez, slots

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="no D-Bus elsewhere anyway")

LOCAL = BLEDevice(ADDRESS, NAME, {"path": "/org/bluez/hci0/dev_AA_BB_CC_DD_EE_FF"})


@pytest.fixture(autouse=True)
def no_bus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the system bus nowhere."""
    monkeypatch.setenv("DBUS_SYSTEM_BUS_ADDRESS", f"unix:path={tmp_path / 'nowhere'}")


async def test_stale_connections_of_a_proxy_device(house: House) -> None:
    """There are none, and the example connects through the proxy."""
    client = await bluez.connect_after_restart(house.device)
    assert client.is_connected
    assert house.free == 2
    await close_stale_connections(house.device)
    assert client.is_connected
    await client.disconnect()


async def test_nothing_is_known() -> None:
    """No device is found, none is forgotten, and no scanner learns anything."""
    assert await bluez.forget_device() is False
    with pytest.raises(RuntimeError, match="not currently known to BlueZ"):
        await bluez.connect_to_known_device()
    assert await get_device_by_adapter(ADDRESS, "hci0") is None
    await close_stale_connections(LOCAL, only_other_adapters=True)
    await close_stale_connections_by_address(ADDRESS, only_other_adapters=True)
    assert bluez.is_local(LOCAL)


async def test_scanner_learns_nothing() -> None:
    """A scanner that was just made stays empty."""
    scanner = BleakScanner()
    await restore_discoveries(scanner, "hci0")
    assert scanner.discovered_devices == []


async def test_slot_manager(capsys: pytest.CaptureFixture[str]) -> None:
    """The manager counts what it is told, and sees no device."""
    manager = await slots.count_slots()
    assert capsys.readouterr().out == "5 []\n"
    assert manager.get_allocations("hci1") == Allocations("hci1", 5, 5, [])
    manager.release_slot(LOCAL)
    unsubscribe = manager.register_allocation_callback(lambda event: None)
    unsubscribe()
    manager.remove_adapter("hci1")
    assert manager.diagnostics()["adapter_slots"] == {"hci0": 5}
    assert manager.diagnostics()["manager"] is False
    await manager.aclose()
