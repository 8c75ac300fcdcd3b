"""What is known of one device between attempts, against a BlueZ on a real bus."""

from __future__ import annotations

import asyncio

import pytest
from bleak.backends.device import BLEDevice
from dbus_fast import Variant

from proxyconn_bluez.stack import BlueZStack
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FakeBlueZ, device_path

ADDRESS = "C4:00:00:00:00:01"
YES = Variant("b", True)
SHORT, LONG = 0.05, 30.0


def local(adapter: str = "hci0") -> BLEDevice:
    return BLEDevice(ADDRESS, None, {"path": device_path(ADDRESS, adapter), "props": {}})


async def settles_in(device: BLEDevice, timeout: float, *, then: asyncio.Event) -> float:
    """Follow a device, tell `then` once that has begun, and return the seconds of the wait."""
    loop = asyncio.get_running_loop()
    async with BlueZStack().link(device) as link:
        assert link is not None
        started = loop.time()
        waiting = asyncio.create_task(link.settle(device, timeout))
        await asyncio.sleep(0)
        then.set()
        await waiting
        return loop.time() - started


@pytest.fixture
async def begun() -> asyncio.Event:
    """Return the event that tells of the beginning of a wait."""
    return asyncio.Event()


async def test_connected_device(bluez: FakeBlueZ) -> None:
    """The adapter that holds the link is found, whichever the device was given on."""
    bluez.add_device(ADDRESS, "hci0", RSSI=Variant("n", -40))
    path = bluez.add_device(ADDRESS, "hci1")
    async with BlueZStack().link(local()) as link:
        assert link is not None
        assert link.connected_device() is None
    bluez.set_connected(path, True)
    async with BlueZStack().link(local()) as link:
        assert link is not None
        device = link.connected_device()
    assert device is not None
    assert device.details["path"] == path


async def test_settle_ends_with_the_link(bluez: FakeBlueZ, begun: asyncio.Event) -> None:
    """A wait for a link ends when BlueZ says that it has dropped."""
    path = bluez.add_device(ADDRESS, Connected=YES)
    waiting = asyncio.create_task(settles_in(local(), LONG, then=begun))
    await begun.wait()
    bluez.set_connected(path, False)
    assert await waiting < LONG / 2


async def test_settle_ends_with_a_removed_device(bluez: FakeBlueZ, begun: asyncio.Event) -> None:
    """A wait for a link ends when BlueZ has removed the device."""
    path = bluez.add_device(ADDRESS, Connected=YES)
    waiting = asyncio.create_task(settles_in(local(), LONG, then=begun))
    await begun.wait()
    bluez.remove(path)
    assert await waiting < LONG / 2


async def test_settle_ends_when_the_device_reappears(
    bluez: FakeBlueZ, begun: asyncio.Event
) -> None:
    """A wait for a device that is gone ends when any adapter knows it again."""
    waiting = asyncio.create_task(settles_in(local(), LONG, then=begun))
    await begun.wait()
    bluez.add_device(ADDRESS, "hci1")
    assert await waiting < LONG / 2


@pytest.mark.parametrize("state", ["gone", "connected", "idle"])
async def test_settle_has_a_limit(bluez: FakeBlueZ, begun: asyncio.Event, state: str) -> None:
    """A wait for what does not happen, or for nothing, lasts as long as it may."""
    if state != "gone":
        bluez.add_device(ADDRESS, Connected=Variant("b", state == "connected"))
    assert await settles_in(local(), SHORT, then=begun) >= SHORT * 0.9


async def test_settle_survives_the_bus(
    bluez: FakeBlueZ, system_bus: SystemBus, begun: asyncio.Event
) -> None:
    """A bus that dies during a wait takes the link with it."""
    bluez.add_device(ADDRESS, Connected=YES)
    waiting = asyncio.create_task(settles_in(local(), LONG, then=begun))
    await begun.wait()
    await asyncio.to_thread(system_bus.kill)
    assert await waiting < LONG / 2


@pytest.mark.usefixtures("system_bus")
async def test_link_without_bluetoothd() -> None:
    """Without bluetoothd there is nothing to follow."""
    async with BlueZStack().link(local()) as link:
        assert link is None
