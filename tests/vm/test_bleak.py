"""Plain bleak through the real bluetoothd and kernel: the ground that the BlueZ radio stands on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from bleak import BleakClient

from tests.vm.clients import DEADLINE, connected, heard
from tests.vm.hardware import Adapter, Hardware
from tests.vm.household import ADDRESS, COMMAND, LEVEL, MEASUREMENT, SECRET, thermometer

if TYPE_CHECKING:
    from tests.vm.bluez import Bluetoothd


async def test_scan(adapter: Adapter, hardware: Hardware) -> None:
    """A scan finds a peripheral with its name, its strength and what its scan response holds."""
    await hardware.add(thermometer())
    _, advertisement = await heard()
    assert (advertisement.local_name, advertisement.rssi) == ("Thermometer", -48)
    assert advertisement.manufacturer_data == {0x0059: b"\x01\x02"}


async def test_connect(adapter: Adapter, hardware: Hardware) -> None:
    """A client connects, finds the services and disconnects; the peripheral agrees."""
    await hardware.add(thermometer())
    async with connected() as client:
        assert hardware.is_connected(ADDRESS)
        assert client.services.get_characteristic(LEVEL) is not None
    await hardware.until_disconnected(ADDRESS)


async def test_read(adapter: Adapter, hardware: Hardware) -> None:
    """A read returns the peripheral's value."""
    await hardware.add(thermometer())
    async with connected() as client:
        assert await client.read_gatt_char(LEVEL) == b"\x64"


async def test_write_and_notify(adapter: Adapter, hardware: Hardware) -> None:
    """A write reaches the peripheral, whose answer comes as a notification."""
    await hardware.add(thermometer())
    values: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(DEADLINE), connected() as client:
        await client.start_notify(COMMAND, lambda _, value: values.put_nowait(bytes(value)))
        await client.write_gatt_char(COMMAND, b"abc", response=True)
        assert await values.get() == b"cba"
        assert await hardware.notify(ADDRESS, COMMAND, b"unasked")
        assert await values.get() == b"unasked"


async def test_notify_periodic(adapter: Adapter, hardware: Hardware) -> None:
    """A stream of notifications arrives in order, until it is stopped."""
    await hardware.add(thermometer())
    values: asyncio.Queue[bytes] = asyncio.Queue()
    async with asyncio.timeout(DEADLINE), connected() as client:
        await client.start_notify(MEASUREMENT, lambda _, value: values.put_nowait(bytes(value)))
        assert [(await values.get())[0] for _ in range(3)] == [0, 1, 2]
        await client.stop_notify(MEASUREMENT)


async def test_pair(adapter: Adapter, hardware: Hardware, agent: None) -> None:
    """What needs encryption is read after pairing, and over a later link by the bond alone."""
    await hardware.add(thermometer())
    async with connected() as client:
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"hidden"
    async with connected() as client:
        assert await client.read_gatt_char(SECRET) == b"hidden"


async def test_link_lost(adapter: Adapter, hardware: Hardware) -> None:
    """A link that the peripheral drops is reported once, and a new one can be made."""
    await hardware.add(thermometer())
    lost = asyncio.Event()
    device, _ = await heard()
    client = BleakClient(device, lambda _: lost.set(), timeout=DEADLINE)
    async with asyncio.timeout(2 * DEADLINE):
        await client.connect()
        await hardware.drop_link(ADDRESS)
        await lost.wait()
        assert not client.is_connected
        await client.disconnect()  # or bleak would keep its connection to D-Bus
        await client.connect()
        await client.disconnect()


async def test_second_adapter(
    adapter: Adapter, second_adapter: Adapter, hardware: Hardware
) -> None:
    """Two adapters hear a peripheral at their own strengths, and each can connect to it."""
    await hardware.add(thermometer(hci0=-80, hci1=-40))
    assert [(await heard(name))[1].rssi for name in ("hci0", "hci1")] == [-80, -40]
    for one in (adapter, second_adapter):
        async with connected(one.name) as client:
            assert await client.read_gatt_char(LEVEL) == b"\x64"
        assert [created.address for created in one.created_connections] == [ADDRESS]


async def test_daemon_restart(adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd) -> None:
    """After a restart of bluetoothd its adapter is there again, and hears the peripheral."""
    await hardware.add(thermometer())
    await bluetoothd.restart()
    _, advertisement = await heard()
    assert advertisement.local_name == "Thermometer"
