"""The examples of the guide on a local adapter, over the real bluetoothd and kernel."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING

import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice

from proxyconn import (
    Allocations,
    ble_device_description,
    close_stale_connections_by_address,
    establish_connection,
    get_device,
    get_device_by_adapter,
    restore_discoveries,
)
from tests.guide.device import ADDRESS, BATTERY, CHARACTERISTIC, COMMANDS, NAME, SERVICE, switch
from tests.guide.examples import battery, bluez, complete, connecting, errors, slots
from tests.guide.examples import client as of_client
from tests.guide.examples import missing_characteristic as missing
from tests.vm.clients import DEADLINE
from tests.vm.hardware import Adapter, CreatedConnection, Hardware

if TYPE_CHECKING:
    from tests.vm.bluez import Bluetoothd

Example = Callable[[BLEDevice], Awaitable[BleakClient]]


async def find(adapter: str = "hci0") -> BLEDevice:
    """Scan until an adapter hears the device."""
    async with asyncio.timeout(DEADLINE), BleakScanner(bluez={"adapter": adapter}) as scanner:
        async for device, _ in scanner.advertisement_data():
            if device.address == ADDRESS and device.name == NAME:
                return device
    raise TimeoutError


@pytest.fixture
async def device(adapter: Adapter, hardware: Hardware) -> BLEDevice:
    """Return the device as hci0 hears it."""
    await hardware.add(switch(hci0=-48))
    return await find()


async def test_examples_connect(device: BLEDevice, hardware: Hardware) -> None:
    """Every example that connects returns a client with a link."""
    examples: tuple[Example, ...] = (
        connecting.connect_with_callback,
        connecting.connect_with_custom_client,
        connecting.connect_with_full_options,
        lambda found: connecting.connect_with_device_tracking(connecting.DeviceTracker(found)),
        errors.connect_with_error_handling,
        missing.connect_and_validate_services,
    )
    for example in examples:
        client = await example(device)
        assert client.is_connected
        assert client.services.get_characteristic(CHARACTERISTIC) is not None
        await client.disconnect()
        await hardware.until_disconnected(ADDRESS)


async def test_examples_connect_and_disconnect(
    device: BLEDevice, hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those that end by disconnecting leave no link."""
    services = await of_client.connect_with_cache(device)
    assert services.get_service(SERVICE) is not None
    assert not (await connecting.connect_to_device(device)).is_connected
    assert not (await of_client.clear_cache_of_client(device)).is_connected
    await battery.main(device)  # type: ignore[no-untyped-call]
    assert capsys.readouterr().out == "Battery: 87%\n"
    await hardware.until_disconnected(ADDRESS)


async def test_disconnection_callback(
    device: BLEDevice, hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """A link that the device drops is told."""
    client = await connecting.connect_with_callback(device)
    await hardware.drop_link(ADDRESS)
    async with asyncio.timeout(DEADLINE):
        while client.is_connected:  # noqa: ASYNC110
            await asyncio.sleep(0.05)  # the callback is the example's own
    await client.disconnect()  # bleak keeps its connection to D-Bus until then
    assert capsys.readouterr().out == f"Device {ADDRESS} disconnected unexpectedly\n"


async def test_connection_params(
    device: BLEDevice, created_connections: list[CreatedConnection]
) -> None:
    """The parameters of the example are those of the next link."""
    await (await of_client.set_connection_params(device)).disconnect()
    await (await of_client.set_connection_params(device)).disconnect()
    assert created_connections[-1] == CreatedConnection(ADDRESS, 800, 800, 0, 600)


async def test_missing_characteristic(
    adapter: Adapter, hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an update has added is found; what is not there is said to be missing."""
    await hardware.add(switch(BATTERY, hci0=-48))
    device = await find()
    with pytest.raises(missing.CharacteristicMissingError, match="still not found after cache"):
        await missing.connect_and_validate_services(device)
    assert "clearing cache: Service cba20d00" in capsys.readouterr().out
    await hardware.remove(ADDRESS)
    await hardware.add(switch(BATTERY, COMMANDS, hci0=-48))
    client = await missing.connect_and_validate_services(await find())
    assert client.services.get_characteristic(CHARACTERISTIC) is not None
    await client.disconnect()


async def test_device_that_is_gone(
    device: BLEDevice,
    hardware: Hardware,
    bluetoothd: Bluetoothd,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """A device that BlueZ does not know any more is not found."""
    await hardware.remove(ADDRESS)
    await asyncio.to_thread(bluetoothd.forget_devices)
    limited = partial(establish_connection, deadline=3)
    monkeypatch.setattr(errors, "establish_connection", limited)
    assert await errors.connect_with_error_handling(device) is None
    assert capsys.readouterr().out == "Device not found - it may have moved out of range\n"


async def test_complete_example(
    device: BLEDevice, hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """The program scans, connects, lists every service, and disconnects."""
    await complete.main()  # type: ignore[no-untyped-call]
    lines = capsys.readouterr().out.splitlines()
    assert lines[:3] == [
        "Scanning for devices...",
        f"Connecting to {NAME}...",
        "Connected successfully!",
    ]
    assert f" Service: {SERVICE}" in lines
    assert f" Characteristic: {CHARACTERISTIC}" in lines
    assert lines[-1] == "Disconnected"
    await hardware.until_disconnected(ADDRESS)


async def test_stale_connection(device: BLEDevice, hardware: Hardware) -> None:
    """What was left open is closed, and the device connected anew."""
    async with BleakClient(device, timeout=DEADLINE) as left:
        client = await bluez.connect_after_restart(device)
        assert client.is_connected
        assert not left.is_connected
        await client.disconnect()
    await hardware.until_disconnected(ADDRESS)


async def test_stale_connection_of_the_same_adapter(device: BLEDevice) -> None:
    """With only_other_adapters the link on the device's own adapter stays."""
    async with BleakClient(device, timeout=DEADLINE) as client:
        await close_stale_connections_by_address(ADDRESS, only_other_adapters=True)
        assert client.is_connected


async def test_known_device(device: BLEDevice) -> None:
    """BlueZ's own view: looked up, described, connected, put into a scanner, and forgotten."""
    assert bluez.is_local(device)
    assert ble_device_description(device) == f"{ADDRESS} - {NAME} -> /org/bluez/hci0"
    found = await get_device_by_adapter(ADDRESS, "hci0")
    assert found is not None
    assert found.details["path"] == device.details["path"]
    assert await get_device_by_adapter(ADDRESS, "hci1") is None
    client = await bluez.connect_to_known_device()
    assert client.is_connected
    await client.disconnect()
    scanner = BleakScanner(bluez={"adapter": "hci0"})
    await restore_discoveries(scanner, "hci0")
    assert ADDRESS in {one.address for one in scanner.discovered_devices}
    assert await bluez.forget_device() is True
    assert await bluez.forget_device() is False
    with pytest.raises(RuntimeError, match="not currently known to BlueZ"):
        await bluez.connect_to_known_device()


async def test_strongest_adapter(
    adapter: Adapter, second_adapter: Adapter, hardware: Hardware
) -> None:
    """On two adapters, the device is that of the one that hears it best."""
    await hardware.add(switch(hci0=-80, hci1=-40))
    # BlueZ forgets signal strengths when it stops to scan.
    async with (
        asyncio.timeout(DEADLINE),
        BleakScanner(bluez={"adapter": "hci0"}),
        BleakScanner(bluez={"adapter": "hci1"}),
    ):
        for name in ("hci0", "hci1"):
            while await get_device_by_adapter(ADDRESS, name) is None:  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        found = await get_device(ADDRESS)
    assert found is not None
    assert found.details["path"].startswith("/org/bluez/hci1/")


async def test_slot_manager(device: BLEDevice, capsys: pytest.CaptureFixture[str]) -> None:
    """Slots are counted from the links of BlueZ, before and after the manager is set up."""
    manager = await slots.count_slots()
    assert capsys.readouterr().out == "5 []\n"
    events: asyncio.Queue[object] = asyncio.Queue()
    unsubscribe = manager.register_allocation_callback(events.put_nowait)
    async with asyncio.timeout(DEADLINE), BleakClient(device, timeout=DEADLINE):
        await events.get()
        assert manager.get_allocations("hci0") == Allocations("hci0", 5, 4, [ADDRESS])
        later = await slots.count_slots()
        assert capsys.readouterr().out == f"4 ['{ADDRESS}']\n"
        await later.aclose()
    async with asyncio.timeout(DEADLINE):
        await events.get()
    assert manager.get_allocations("hci0").free == 5
    unsubscribe()
    manager.remove_adapter("hci1")
    assert manager.diagnostics()["adapter_slots"] == {"hci0": 5}
    await manager.aclose()
