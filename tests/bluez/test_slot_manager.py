"""BleakSlotManager, against a BlueZ on a real bus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from bleak.backends.device import BLEDevice
from dbus_fast import Variant

from proxyconn import AllocationChange, AllocationChangeEvent, Allocations, BleakSlotManager
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FakeBlueZ, device_path

ONE = "C4:00:00:00:00:01"
TWO = "C4:00:00:00:00:02"
YES = Variant("b", True)


def local(address: str, adapter: str = "hci0") -> BLEDevice:
    return BLEDevice(address, None, {"path": device_path(address, adapter), "props": {}})


class Events:
    """The events of a manager, as they come."""

    def __init__(self, manager: BleakSlotManager) -> None:
        self._queue: asyncio.Queue[AllocationChangeEvent] = asyncio.Queue()
        self.unsubscribe = manager.register_allocation_callback(self._queue.put_nowait)

    async def next(self) -> tuple[AllocationChange, str, str, str]:
        async with asyncio.timeout(10):
            event = await self._queue.get()
        return (event.change, event.path, event.adapter, event.address)

    def none_waiting(self) -> bool:
        return self._queue.empty()


@pytest.fixture
async def manager() -> AsyncIterator[BleakSlotManager]:
    """Return a manager that is not set up, and close it."""
    manager = BleakSlotManager()
    yield manager
    await manager.aclose()


async def test_register_adapter_counts_connected_devices(
    bluez: FakeBlueZ, manager: BleakSlotManager
) -> None:
    """Devices that are connected when an adapter is registered hold slots of that adapter."""
    bluez.add_device(ONE, Connected=YES)
    bluez.add_device(TWO)
    bluez.add_device(TWO, "hci1", Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 5)
    assert manager.get_allocations("hci0") == Allocations("hci0", 5, 4, [ONE])
    assert manager.get_allocations("hci1") == Allocations("hci1", 0, 0, [])


async def test_register_adapter_before_setup(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """An adapter that was registered first is counted once BlueZ is followed."""
    bluez.add_device(ONE, Connected=YES)
    manager.register_adapter("hci0", 1)
    assert manager.allocate_slot(local(TWO))
    await manager.async_setup()
    assert manager.get_allocations("hci0") == Allocations("hci0", 1, 0, [ONE])
    assert not manager.allocate_slot(local(TWO))


async def test_events_follow_links(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A link that comes takes a slot, and one that goes gives it back."""
    path = bluez.add_device(ONE)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    events = Events(manager)
    bluez.set_connected(path, True)
    assert await events.next() == (AllocationChange.ALLOCATED, path, "hci0", ONE)
    bluez.set_connected(path, False)
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)
    assert manager.get_allocations("hci0").free == 2


async def test_event_when_a_device_is_removed(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A connected device that BlueZ forgets gives its slot back."""
    path = bluez.add_device(ONE, Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    events = Events(manager)
    bluez.remove(path)
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)


async def test_allocate_slot(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A slot is held from its allocation on, once, and its link changes nothing."""
    path = bluez.add_device(ONE)
    await manager.async_setup()
    manager.register_adapter("hci0", 1)
    events = Events(manager)
    assert manager.allocate_slot(local(ONE))
    assert manager.allocate_slot(local(ONE))
    assert not manager.allocate_slot(local(TWO))
    assert manager.allocate_slot(local(TWO, "hci7"))
    assert manager.allocate_slot(BLEDevice(TWO, None, {"source": "kitchen"}))
    assert await events.next() == (AllocationChange.ALLOCATED, path, "hci0", ONE)
    bluez.set_connected(path, True)
    bluez.set_connected(path, False)
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)
    assert events.none_waiting()


async def test_malformed_properties(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A property of the wrong type is no link, and does not stop the counting of others."""
    path = bluez.add_device(ONE, Connected=Variant("s", "yes"))
    bluez.add("/org/bluez/hci0/dev_odd", "org.bluez.Device1", {"Connected": YES})
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    assert manager.get_allocations("hci0").allocated == []
    events = Events(manager)
    bluez.set_connected(path, True)
    assert await events.next() == (AllocationChange.ALLOCATED, path, "hci0", ONE)


async def test_release_slot(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A slot whose link never came is given back; one whose link is up is not."""
    path = bluez.add_device(ONE)
    bluez.add_device(TWO, Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    manager.allocate_slot(local(ONE))
    events = Events(manager)
    manager.release_slot(local(TWO))
    manager.release_slot(local(ONE))
    manager.release_slot(local(ONE))
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)
    assert events.none_waiting()
    assert manager.get_allocations("hci0").allocated == [TWO]


async def test_unsubscribe(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """After unsubscribing, nothing is told; a listener that fails does not deafen the next."""
    bluez.add_device(ONE)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    silent = Events(manager)
    silent.unsubscribe()
    silent.unsubscribe()

    def broken(event: AllocationChangeEvent) -> None:
        raise ZeroDivisionError

    manager.register_allocation_callback(broken)
    events = Events(manager)
    manager.allocate_slot(local(ONE))
    assert (await events.next())[0] is AllocationChange.ALLOCATED
    assert silent.none_waiting()


async def test_remove_adapter(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """An adapter that was removed has no slots, and its links are nobody's business."""
    path = bluez.add_device(ONE, Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    manager.register_adapter("hci1", 2)
    manager.remove_adapter("hci0")
    manager.remove_adapter("hci0")
    events = Events(manager)
    bluez.set_connected(path, False)
    other = bluez.add_device(ONE, "hci1", Connected=YES)
    assert await events.next() == (AllocationChange.ALLOCATED, other, "hci1", ONE)
    assert manager.get_allocations("hci0") == Allocations("hci0", 0, 0, [])


async def test_diagnostics(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """The diagnostics can be written as JSON and name who holds what."""
    path = bluez.add_device(ONE, Connected=YES)
    assert manager.diagnostics()["manager"] is False
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    assert json.loads(json.dumps(manager.diagnostics())) == {
        "manager": True,
        "adapter_slots": {"hci0": 2},
        "allocations_by_adapter": {"hci0": [path]},
    }


async def test_bluetoothd_restarted(bluez: FakeBlueZ, manager: BleakSlotManager) -> None:
    """A bluetoothd that dies takes its links with it, and its successor's are followed."""
    path = bluez.add_device(ONE, Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    events = Events(manager)
    await bluez.stop()
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)
    assert manager.diagnostics()["manager"] is False
    await bluez.start()
    assert await events.next() == (AllocationChange.ALLOCATED, path, "hci0", ONE)


async def test_bus_restarted(
    bluez: FakeBlueZ, system_bus: SystemBus, manager: BleakSlotManager
) -> None:
    """A system bus that is restarted is found again."""
    path = bluez.add_device(ONE, Connected=YES)
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    events = Events(manager)
    await asyncio.to_thread(system_bus.kill)
    assert await events.next() == (AllocationChange.RELEASED, path, "hci0", ONE)
    await bluez.stop()
    await asyncio.to_thread(system_bus.start)
    await bluez.start()
    assert await events.next() == (AllocationChange.ALLOCATED, path, "hci0", ONE)


@pytest.mark.usefixtures("system_bus")
async def test_setup_without_bluetoothd(manager: BleakSlotManager) -> None:
    """Without bluetoothd every slot is free, and nothing is refused."""
    await manager.async_setup()
    manager.register_adapter("hci0", 1)
    assert manager.get_allocations("hci0") == Allocations("hci0", 1, 1, [])
    assert manager.diagnostics()["manager"] is False
