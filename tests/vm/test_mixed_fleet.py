"""One program with a local adapter and two ESPHome proxies, among the very same peripherals."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioState,
    Retry,
    establish_connection,
    keep_connected,
)
from tests.vm.clients import DEADLINE
from tests.vm.hardware import Adapter, Hardware
from tests.vm.household import ADDRESS, COMMAND, LEVEL, thermometer

if TYPE_CHECKING:
    from tests.vm.bluez import Bluetoothd

SECOND = "C4:00:00:00:00:02"
THIRD = "C4:00:00:00:00:03"
SIGNALS = [-65, -80, -95]
"""dBm, so far apart that nothing but the signal decides."""


@pytest.fixture
async def fleet(adapter: Adapter, hardware: Hardware) -> AsyncIterator[Fleet]:
    """Return a fleet of hci0 and two proxies, all of them ready."""
    rooms = [await hardware.add_proxy(name) for name in ("kitchen", "bedroom")]
    proxies = [Proxy("127.0.0.1", room.port, room.noise_psk, room.name) for room in rooms]
    async with Fleet(proxies, discover=False, local_adapters=True) as fleet:
        await fleet.ready(3, DEADLINE)
        yield fleet


async def until(fleet: Fleet, condition: Callable[[], bool]) -> None:
    """Wait until something that the fleet tells makes the condition true."""
    met = asyncio.Event()

    def check(*_: object) -> None:
        if condition():
            met.set()

    removes = (
        fleet.register_state_callback(check),
        fleet.register_allocation_callback(check),
        fleet.register_detection_callback(check),
    )
    check()
    try:
        async with asyncio.timeout(DEADLINE):
            await met.wait()
    finally:
        for remove in removes:
            remove()


async def connect(fleet: Fleet, address: str, **kwargs: Any) -> BleakClientWithServiceCache:
    """Find a device, and connect it at the first attempt."""
    device = await fleet.find_device(address, DEADLINE)
    kwargs = {"on_retry": lambda retry: pytest.fail(str(retry)), **kwargs}
    return await establish_connection(BleakClientWithServiceCache, device, address, **kwargs)


def sources(fleet: Fleet, address: str) -> list[str]:
    """Return the radios by which a device can be reached, best first."""
    return [path.source for path in fleet.paths(address) if path.usable]


async def until_connecting(fleet: Fleet, address: str, source: str) -> None:
    """Wait until a radio tries to connect to a device."""
    # Nothing tells of it.
    while (source, 1) not in [(one.source, one.connecting) for one in fleet.paths(address)]:  # noqa: ASYNC110
        await asyncio.sleep(0.05)


def held(fleet: Fleet) -> dict[str, list[str]]:
    """Return what each radio that has links says it holds."""
    return {one.adapter: one.allocated for one in fleet.allocations() if one.allocated}


async def unplug(fleet: Fleet, hardware: Hardware, adapter: Adapter) -> None:
    """Unplug an adapter; returns when the fleet says so."""
    await asyncio.to_thread(hardware.unplug, adapter)
    (radio,) = [one for one in fleet.radios if one.name == adapter.name]
    problem = f"there is no adapter {adapter.name}; it may be unplugged"
    await until(fleet, lambda: radio.problem == problem)
    assert radio.state is RadioState.GONE


async def plug_in(
    fleet: Fleet, hardware: Hardware, bluetoothd: Bluetoothd, adapter: Adapter
) -> None:
    """Plug an adapter in again; returns when it scans."""
    await asyncio.to_thread(hardware.plug_in, adapter)
    await asyncio.to_thread(lambda: bluetoothd.power(adapter.path, on=True))
    await fleet.ready(3, DEADLINE)


async def test_three_radios(hardware: Hardware, fleet: Fleet) -> None:
    """Devices of which each radio hears one are connected at once, and read."""
    await hardware.add(
        thermometer(ADDRESS, hci0=-50),
        thermometer(SECOND, kitchen=-50),
        thermometer(THIRD, bedroom=-50),
    )
    clients = await asyncio.gather(*(connect(fleet, one) for one in (ADDRESS, SECOND, THIRD)))
    for client in clients:
        assert await client.read_gatt_char(LEVEL) == b"\x64"
    expected = {"hci0": [ADDRESS], "kitchen": [SECOND], "bedroom": [THIRD]}
    assert await hardware.links() == expected
    assert held(fleet) == expected
    await asyncio.gather(*(client.disconnect() for client in clients))
    for address in (ADDRESS, SECOND, THIRD):
        await hardware.until_disconnected(address)


async def test_nearest_radio(hardware: Hardware, fleet: Fleet) -> None:
    """Of radios that all hear a device, the one that hears it loudest connects to it."""
    orders = {
        ADDRESS: ["hci0", "kitchen", "bedroom"],
        SECOND: ["kitchen", "bedroom", "hci0"],
        THIRD: ["bedroom", "hci0", "kitchen"],
    }
    for address, order in orders.items():
        await hardware.add(thermometer(address, **dict(zip(order, SIGNALS, strict=True))))
        await until(fleet, partial(lambda one: len(fleet.paths(one)) == 3, address))
        paths = fleet.paths(address)
        assert [path.source for path in paths] == order
        assert [path.rssi for path in paths] == SIGNALS
        client = await connect(fleet, address)
        assert await client.read_gatt_char(LEVEL) == b"\x64"
        assert await hardware.links() == {order[0]: [address]}
        assert held(fleet) == {order[0]: [address]}
        await client.disconnect()
        await hardware.remove(address)


async def test_adapter_unplugged_and_plugged_in(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd, fleet: Fleet
) -> None:
    """A device of an adapter that is unplugged is reached by a proxy, and by the adapter later."""
    await hardware.add(thermometer(hci0=-65, kitchen=-80, bedroom=-95))
    await until(fleet, lambda: sources(fleet, ADDRESS) == ["hci0", "kitchen", "bedroom"])
    lost: asyncio.Queue[BleakClientWithServiceCache] = asyncio.Queue()
    client = await connect(fleet, ADDRESS, disconnected_callback=lost.put_nowait)
    assert await hardware.links() == {"hci0": [ADDRESS]}
    await unplug(fleet, hardware, adapter)
    async with asyncio.timeout(DEADLINE):
        assert await lost.get() is client
    assert not client.is_connected
    assert held(fleet) == {}
    assert sources(fleet, ADDRESS) == ["kitchen", "bedroom"]
    client = await connect(fleet, ADDRESS, disconnected_callback=lost.put_nowait)
    assert await client.read_gatt_char(LEVEL) == b"\x64"
    assert await hardware.links() == {"kitchen": [ADDRESS]}
    assert held(fleet) == {"kitchen": [ADDRESS]}
    await plug_in(fleet, hardware, bluetoothd, adapter)
    assert await hardware.links() == {"kitchen": [ADDRESS]}
    await client.disconnect()
    client = await connect(fleet, ADDRESS)
    assert await client.read_gatt_char(LEVEL) == b"\x64"
    assert await hardware.links() == {"hci0": [ADDRESS]}
    assert held(fleet) == {"hci0": [ADDRESS]}
    await client.disconnect()


async def test_adapter_powered_off_during_an_attempt(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd, fleet: Fleet
) -> None:
    """An attempt on an adapter that is powered off goes on at a proxy.

    bluetoothd 5.66 crashes now and then when an adapter is unplugged that tries to connect.
    """
    await hardware.add(thermometer(hci0=-65, kitchen=-80))
    await until(fleet, lambda: sources(fleet, ADDRESS) == ["hci0", "kitchen"])
    await hardware.remove(ADDRESS)
    retries: list[Retry] = []
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(connect(fleet, ADDRESS, on_retry=retries.append))
        await until_connecting(fleet, ADDRESS, "hci0")
        await asyncio.to_thread(lambda: bluetoothd.power(adapter.path, on=False))
        await hardware.add(thermometer(hci0=-65, kitchen=-80))
    assert await hardware.links() == {"kitchen": [ADDRESS]}
    assert len(retries) == 1
    await attempt.result().disconnect()


async def test_device_not_heard_since_the_adapter_was_plugged_in(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd, fleet: Fleet
) -> None:
    """An adapter that was plugged in again waits for a device that BlueZ does not know by then."""
    await hardware.add(thermometer(hci0=-65, kitchen=-80))
    await until(fleet, lambda: sources(fleet, ADDRESS) == ["hci0", "kitchen"])
    await hardware.remove(ADDRESS)
    await unplug(fleet, hardware, adapter)
    await plug_in(fleet, hardware, bluetoothd, adapter)
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(connect(fleet, ADDRESS))
        await until_connecting(fleet, ADDRESS, "hci0")
        await hardware.add(thermometer(hci0=-65, kitchen=-80))
    assert await hardware.links() == {"hci0": [ADDRESS]}
    await attempt.result().disconnect()


async def test_kept_connection(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd, fleet: Fleet
) -> None:
    """A connection that is kept moves to a proxy and back, and its notifications with it."""
    await hardware.add(thermometer(hci0=-65, kitchen=-80, bedroom=-95))
    await until(fleet, lambda: sources(fleet, ADDRESS) == ["hci0", "kitchen", "bedroom"])
    device = await fleet.find_device(ADDRESS)
    values: asyncio.Queue[bytes] = asyncio.Queue()
    losses: asyncio.Queue[str] = asyncio.Queue()
    kept = keep_connected(
        BleakClientWithServiceCache,
        device,
        "thermometer",
        on_lost=lambda: losses.put_nowait("lost"),
    )

    async def answers_by(source: str) -> None:
        client = await kept.connected(DEADLINE)
        assert await hardware.links() == {source: [ADDRESS]}
        await client.write_gatt_char(COMMAND, source.encode(), response=True)
        assert await values.get() == source.encode()[::-1]

    async with asyncio.timeout(2 * DEADLINE), kept:
        await kept.start_notify(COMMAND, lambda _, value: values.put_nowait(bytes(value)))
        await answers_by("hci0")
        await unplug(fleet, hardware, adapter)
        await losses.get()
        await answers_by("kitchen")
        await plug_in(fleet, hardware, bluetoothd, adapter)
        await answers_by("kitchen")
        await hardware.drop_link(ADDRESS)
        await losses.get()
        await answers_by("hci0")
        assert kept.connections == 3
    assert values.empty()
    await hardware.until_disconnected(ADDRESS)
