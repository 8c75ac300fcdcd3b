"""What is relied on of bleak's insides, held against the release that is installed."""

from __future__ import annotations

import asyncio

import pytest
from bleak import BleakScanner
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn_bluez.bleak_private import bleak_bus, seen_devices, services_cache
from tests.bluez.fake_bluez import FakeBlueZ

ADDRESS = "C4:00:00:00:00:01"
BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"


async def test_services_cache(bluez: FakeBlueZ) -> None:
    """bleak takes services from the cache that we see, and keeps them there."""
    path = bluez.add_device(ADDRESS)
    manager = await get_global_bluez_manager()
    ours = BleakGATTServiceCollection()
    (await services_cache())[path] = ours
    assert await manager.get_services(path, True, None) is ours


async def test_services_cache_is_filled(bluez: FakeBlueZ) -> None:
    """The attributes that bleak keeps there name their objects of BlueZ first."""
    path = bluez.add_device(ADDRESS)
    bluez.add_service(path, BATTERY)
    bluez.set_connected(path, True)
    manager = await get_global_bluez_manager()
    reading = asyncio.create_task(manager.get_services(path, False, None))
    await asyncio.sleep(0)
    bluez.resolve(path)
    services = await reading
    assert (await services_cache())[path] is services
    (service,) = services.services.values()
    (characteristic,) = services.characteristics.values()
    assert service.obj[0] == f"{path}/service000a"
    assert characteristic.obj[0] == f"{path}/service000a/char000b"


async def test_drop_bus(bluez: FakeBlueZ) -> None:
    """Without its bus bleak tells that a link is lost, and forgets what it knew."""
    path = bluez.add_device(ADDRESS)
    bluez.set_connected(path, True)
    manager = await get_global_bluez_manager()
    lost: asyncio.Queue[bool] = asyncio.Queue()
    manager.add_device_watcher(path, lost.put_nowait, lambda path, value: None)
    assert manager.is_connected(path)
    bus = await bleak_bus()
    assert bus.alive
    bus.drop()
    async with asyncio.timeout(10):
        assert await lost.get() is False
    assert not manager.is_connected(path)
    assert not bus.alive
    assert (await get_global_bluez_manager()).is_connected(path)
    bus.drop()
    assert (await get_global_bluez_manager()).is_connected(path)


async def test_seen_devices(bluez: FakeBlueZ) -> None:
    """What is added to what a scanner has seen is among what it discovered."""
    scanner = BleakScanner()
    await scanner.start()
    assert seen_devices(scanner) == {}
    path = bluez.add_device(ADDRESS)
    async with asyncio.timeout(10):
        device, _ = await anext(scanner.advertisement_data())
    assert list(seen_devices(scanner)) == [path]
    seen = seen_devices(scanner).pop(path)
    assert scanner.discovered_devices == []
    seen_devices(scanner)[path] = seen
    assert scanner.discovered_devices == [device]
    await scanner.stop()


async def test_hidden(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """Where bleak hides it, nothing is cached, dropped or seen, and the log says so."""
    monkeypatch.setattr(
        "proxyconn_bluez.bleak_private.get_global_bluez_manager", _returning(object())
    )
    assert await services_cache() == {}
    (await bleak_bus()).drop()
    assert seen_devices(object()) == {}  # type: ignore[arg-type]
    assert caplog.text.count("this release of bleak hides") == 3


def _returning(value: object) -> object:
    async def returning() -> object:
        return value

    return returning
