"""proxyconn on a local adapter: what the guide promises, over the real bluetoothd and kernel."""

from __future__ import annotations

import asyncio

from bleak import BleakClient

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    close_stale_connections,
    establish_connection,
    get_device,
)
from tests.vm.clients import DEADLINE, heard
from tests.vm.hardware import Adapter, CreatedConnection, Hardware
from tests.vm.household import ADDRESS, COMMAND, LEVEL, SECRET, thermometer


async def test_establish_connection(adapter: Adapter, hardware: Hardware) -> None:
    """A device that bleak found is connected, read and disconnected."""
    await hardware.add(thermometer())
    device, _ = await heard()
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    assert await client.read_gatt_char(LEVEL) == b"\x64"
    await client.disconnect()
    await hardware.until_disconnected(ADDRESS)


async def test_connection_params(
    adapter: Adapter, hardware: Hardware, created_connections: list[CreatedConnection]
) -> None:
    """Connection parameters set over one link are those with which the kernel makes the next."""
    await hardware.add(thermometer())
    device, _ = await heard()
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    await client.set_connection_params(800, 800, 0, 600)
    await client.disconnect()
    device, _ = await heard()
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    await client.disconnect()
    assert created_connections[-1] == CreatedConnection(ADDRESS, 800, 800, 0, 600)


async def test_pair_on_connect(adapter: Adapter, hardware: Hardware, agent: None) -> None:
    """pair=True pairs, and what needs encryption can be read."""
    await hardware.add(thermometer())
    device, _ = await heard()
    client = await establish_connection(
        BleakClientWithServiceCache, device, "thermometer", pair=True
    )
    assert await client.read_gatt_char(SECRET) == b"hidden"
    await client.disconnect()


async def test_stale_connection(adapter: Adapter, hardware: Hardware) -> None:
    """A link that somebody else left open is found and closed."""
    await hardware.add(thermometer())
    device, _ = await heard()
    async with BleakClient(device, timeout=DEADLINE):
        found = await get_device(ADDRESS)
        assert found is not None
        await close_stale_connections(found)
        await hardware.until_disconnected(ADDRESS)


async def test_link_lost(adapter: Adapter, hardware: Hardware) -> None:
    """A link that the peripheral drops is reported once, and can be made again."""
    await hardware.add(thermometer())
    device, _ = await heard()
    lost: asyncio.Queue[BleakClient] = asyncio.Queue()
    client = await establish_connection(
        BleakClientWithServiceCache, device, "thermometer", lost.put_nowait
    )
    await hardware.drop_link(ADDRESS)
    async with asyncio.timeout(DEADLINE):
        assert await lost.get() is client
    await client.disconnect()
    again = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    await again.disconnect()
    assert lost.empty()


async def test_fleet(adapter: Adapter, hardware: Hardware) -> None:
    """A fleet of one adapter finds a device, connects through it, writes and is notified."""
    await hardware.add(thermometer())
    values: asyncio.Queue[bytes] = asyncio.Queue()
    async with Fleet(discover=False, local_adapters=["hci0"]) as fleet:
        device = await fleet.find_device(ADDRESS, timeout=DEADLINE)
        assert device is not None
        client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
        await client.start_notify(COMMAND, lambda _, value: values.put_nowait(bytes(value)))
        await client.write_gatt_char(COMMAND, b"abc", response=True)
        async with asyncio.timeout(DEADLINE):
            assert await values.get() == b"cba"
        await client.disconnect()


async def test_fleet_two_adapters(
    adapter: Adapter, second_adapter: Adapter, hardware: Hardware
) -> None:
    """With two adapters a fleet connects through the one that hears the device better."""
    await hardware.add(thermometer(hci0=-80, hci1=-40))
    async with Fleet(discover=False, local_adapters=True) as fleet:
        device = await fleet.find_device(ADDRESS, timeout=DEADLINE)
        assert device is not None
        async with asyncio.timeout(DEADLINE):
            while len(fleet.paths(ADDRESS)) < 2:
                await anext(aiter(fleet.advertisements()))
        client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
        await client.disconnect()
    assert [one.address for one in second_adapter.created_connections] == [ADDRESS]
    assert adapter.created_connections == []
