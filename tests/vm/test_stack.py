"""What programs do with BlueZ through proxyconn: several links, lost devices, what others left."""

from __future__ import annotations

import asyncio
import sys

from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from proxyconn import (
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    BleakClientWithServiceCache,
    BleakSlotManager,
    ErrorKind,
    Fleet,
    Proxy,
    Retry,
    clear_cache,
    close_stale_connections_by_address,
    device_source,
    establish_connection,
    get_device,
    restore_discoveries,
)
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from tests.vm.clients import DEADLINE, heard
from tests.vm.hardware import Adapter, Hardware
from tests.vm.household import ADDRESS, COMMAND, LEVEL, thermometer

OTHER = "C4:00:00:00:00:02"

CONNECT_AND_STAY = f"""
import asyncio
from bleak import BleakClient, BleakScanner

async def main():
    device = await BleakScanner.find_device_by_address("{ADDRESS}", {DEADLINE})
    await BleakClient(device, timeout={DEADLINE}).connect()
    print("connected", flush=True)
    await asyncio.sleep({DEADLINE})

asyncio.run(main())
"""

WITHOUT_RIGHT = f"""
import asyncio
from bleak import BleakScanner
from proxyconn import BleakClientWithServiceCache, BleakConnectionError, establish_connection

async def main():
    device = await BleakScanner.find_device_by_address("{ADDRESS}", {DEADLINE})
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    try:
        await client.set_connection_params(800, 800, 0, 600)
    except Exception as exc:
        print(type(exc).__name__, exc)
    print(bytes(await client.read_gatt_char("{LEVEL}")))
    await client.disconnect()

asyncio.run(main())
"""


async def found(address: str, adapter: str) -> BLEDevice:
    """Scan until an adapter hears a device."""
    device = await BleakScanner.find_device_by_address(
        address, DEADLINE, bluez={"adapter": adapter}
    )
    assert device is not None
    return device


async def test_write_and_notify(adapter: Adapter, hardware: Hardware) -> None:
    """Writes of both kinds reach the device; what it notifies comes until it is stopped."""
    await hardware.add(thermometer())
    device, _ = await heard()
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    values: asyncio.Queue[bytes] = asyncio.Queue()
    try:
        async with asyncio.timeout(DEADLINE):
            await client.start_notify(COMMAND, lambda _, value: values.put_nowait(bytes(value)))
            await client.write_gatt_char(COMMAND, b"abc", response=True)
            assert await values.get() == b"cba"
            await client.write_gatt_char(COMMAND, b"de", response=False)
            assert await values.get() == b"ed"
            await client.stop_notify(COMMAND)
            # BlueZ answers before the device has been told.
            while await hardware.notify(ADDRESS, COMMAND, b"unasked"):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
    finally:
        await client.disconnect()


async def test_two_adapters_at_once(
    adapter: Adapter, second_adapter: Adapter, hardware: Hardware
) -> None:
    """Two devices are connected at the same time, each through an adapter of its own."""
    await hardware.add(thermometer(hci0=-48), thermometer(OTHER, hci1=-48))
    devices = [await found(ADDRESS, "hci0"), await found(OTHER, "hci1")]
    clients = await asyncio.gather(
        *(establish_connection(BleakClientWithServiceCache, one, one.address) for one in devices)
    )
    assert hardware.is_connected(ADDRESS)
    assert hardware.is_connected(OTHER)
    for client in clients:
        assert await client.read_gatt_char(LEVEL) == b"\x64"
    for client in clients:
        await client.disconnect()
    assert [one.address for one in adapter.created_connections] == [ADDRESS]
    assert [one.address for one in second_adapter.created_connections] == [OTHER]


async def test_device_vanishes_and_returns(adapter: Adapter, hardware: Hardware) -> None:
    """A device that BlueZ has lost when the first attempt is made is connected once it is back."""
    await hardware.add(thermometer())
    device, _ = await heard()
    await hardware.remove(ADDRESS)
    assert await clear_cache(ADDRESS)
    retries: asyncio.Queue[Retry] = asyncio.Queue()

    async def power_on_after_a_failure() -> Retry:
        first = await retries.get()
        await hardware.add(thermometer())
        await heard()
        return first

    async with asyncio.timeout(2 * DEADLINE), asyncio.TaskGroup() as tasks:
        failure = tasks.create_task(power_on_after_a_failure())
        client = await establish_connection(
            BleakClientWithServiceCache, device, "thermometer", on_retry=retries.put_nowait
        )
        assert await client.read_gatt_char(LEVEL) == b"\x64"
        await client.disconnect()
    assert failure.result().kind is ErrorKind.DEVICE_NOT_FOUND
    assert retries.empty()


async def test_link_of_a_killed_process(adapter: Adapter, hardware: Hardware) -> None:
    """A link that a killed process left in BlueZ is closed, and the device can be connected."""
    await hardware.add(thermometer())
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", CONNECT_AND_STAY, stdout=asyncio.subprocess.PIPE
    )
    async with asyncio.timeout(2 * DEADLINE):
        assert process.stdout is not None
        assert await process.stdout.readline() == b"connected\n"
        process.kill()
        await process.communicate()
    stale = await get_device(ADDRESS)
    assert stale is not None
    assert stale.details["props"]["Connected"]
    assert hardware.is_connected(ADDRESS)
    await close_stale_connections_by_address(ADDRESS)
    await hardware.until_disconnected(ADDRESS)
    client = await establish_connection(BleakClientWithServiceCache, stale, "thermometer")
    await client.disconnect()


async def test_clear_cache(adapter: Adapter, hardware: Hardware) -> None:
    """clear_cache closes the link, removes the device from BlueZ, and says whether it was there."""
    await hardware.add(thermometer())
    device, _ = await heard()
    lost: asyncio.Queue[BleakClientWithServiceCache] = asyncio.Queue()
    client = await establish_connection(
        BleakClientWithServiceCache, device, "thermometer", lost.put_nowait
    )
    assert await clear_cache(ADDRESS)
    async with asyncio.timeout(DEADLINE):
        assert await lost.get() is client
    await hardware.until_disconnected(ADDRESS)
    assert await get_device(ADDRESS) is None
    assert not await clear_cache(ADDRESS)
    await client.disconnect()
    assert lost.empty()


async def test_restore_discoveries(adapter: Adapter, hardware: Hardware) -> None:
    """A fresh scanner is told what BlueZ remembers of a device that is silent now."""
    await hardware.add(thermometer())
    await heard()
    await hardware.remove(ADDRESS)
    async with BleakScanner(bluez={"adapter": "hci0"}) as scanner:
        assert scanner.discovered_devices_and_advertisement_data == {}
        await restore_discoveries(scanner, "hci1")
        assert scanner.discovered_devices_and_advertisement_data == {}
        await restore_discoveries(scanner, "hci0")
        device, advertisement = scanner.discovered_devices_and_advertisement_data[ADDRESS]
    assert (device.address, device.name) == (ADDRESS, "Thermometer")
    assert advertisement.manufacturer_data == {0x0059: b"\x01\x02"}


async def test_slot_manager(adapter: Adapter, hardware: Hardware) -> None:
    """A link takes a slot and gives it back, which events, allocations and diagnostics tell."""
    await hardware.add(thermometer())
    device, _ = await heard()
    path = device.details["path"]
    events: asyncio.Queue[AllocationChangeEvent] = asyncio.Queue()
    manager = BleakSlotManager()
    await manager.async_setup()
    manager.register_adapter("hci0", 2)
    manager.register_allocation_callback(events.put_nowait)
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    async with asyncio.timeout(DEADLINE):
        assert await events.get() == AllocationChangeEvent(
            AllocationChange.ALLOCATED, path, "hci0", ADDRESS
        )
        assert manager.get_allocations("hci0") == Allocations("hci0", 2, 1, [ADDRESS])
        assert manager.diagnostics() == {
            "manager": True,
            "adapter_slots": {"hci0": 2},
            "allocations_by_adapter": {"hci0": [path]},
        }
        await client.disconnect()
        assert await events.get() == AllocationChangeEvent(
            AllocationChange.RELEASED, path, "hci0", ADDRESS
        )
    assert manager.get_allocations("hci0") == Allocations("hci0", 2, 2, [])
    await manager.aclose()
    assert events.empty()


async def test_connection_params_without_the_right(adapter: Adapter, hardware: Hardware) -> None:
    """Without CAP_NET_ADMIN the error names it, and the link stays usable."""
    await hardware.add(thermometer())
    process = await asyncio.create_subprocess_exec(
        *("setpriv", "--bounding-set=-net_admin", sys.executable, "-c", WITHOUT_RIGHT),
        stdout=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(2 * DEADLINE):
        output, _ = await process.communicate()
    error, level = output.decode().splitlines()
    assert error.startswith("UnsupportedError hci0 [C4:00:00:00:00:01]: ")
    assert "needs the capability CAP_NET_ADMIN" in error
    assert level == r"b'd'"


async def test_fleet_with_a_proxy(adapter: Adapter, hardware: Hardware) -> None:
    """One fleet reads a device through the adapter and another one through an ESPHome proxy."""
    await hardware.add(thermometer())
    room = VirtualFleet(
        [ProxySpec(name="kitchen")], [thermometer(OTHER, kitchen=-40)], announce=False
    )
    async with asyncio.timeout(2 * DEADLINE), room:
        proxy = Proxy("127.0.0.1", port=room.proxies["kitchen"].port)
        async with Fleet([proxy], discover=False, local_adapters=True) as fleet:
            clients = []
            for address in (ADDRESS, OTHER):
                device = await fleet.find_device(address, DEADLINE)
                client = await establish_connection(BleakClientWithServiceCache, device, address)
                assert await client.read_gatt_char(LEVEL) == b"\x64"
                clients.append(client)
            assert hardware.is_connected(ADDRESS)
            assert device_source(device) == "kitchen"
            held = {one.adapter: one.allocated for one in fleet.allocations() if one.allocated}
            assert held == {"hci0": [ADDRESS], "kitchen": [OTHER]}
            for client in clients:
                await client.disconnect()
