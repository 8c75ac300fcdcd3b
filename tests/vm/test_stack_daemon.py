"""A bluetoothd that stops, dies or hangs under a live client."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING

import pytest
from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    ProxyconnError,
    establish_connection,
    get_device,
)
from tests.vm.clients import DEADLINE, heard
from tests.vm.hardware import Adapter, Hardware
from tests.vm.household import ADDRESS, LEVEL, thermometer

if TYPE_CHECKING:
    from tests.vm.bluez import Bluetoothd


@pytest.fixture(autouse=True)
async def later_bleak_bus(adapter: Adapter) -> AsyncIterator[None]:
    """Disconnect the bus that bleak has at the end: it is not the one that it had before."""
    from bleak.backends.bluezdbus.manager import get_global_bluez_manager

    yield
    bus = (await get_global_bluez_manager())._bus  # noqa: SLF001  # there is no other door
    if bus is not None:
        bus.disconnect()
        await bus.wait_for_disconnect()  # type: ignore[no-untyped-call]


async def daemon_id() -> int:
    """Return the process id of bluetoothd."""
    from tests.vm.bluez import SystemBus  # dbus-fast is there on Linux only

    bus = SystemBus()
    await bus.connect()
    try:
        (process,) = await bus.call(
            "/", "org.freedesktop.DBus", "GetConnectionUnixProcessID", "s", "org.bluez"
        )
    finally:
        await bus.disconnect()
    return int(process)


async def stop(bluetoothd: Bluetoothd) -> None:
    """End bluetoothd as its service is stopped: it closes its links."""
    await asyncio.to_thread(bluetoothd.stop)


async def kill(bluetoothd: Bluetoothd) -> None:
    """End bluetoothd as a crash does: it closes nothing."""
    os.kill(await daemon_id(), signal.SIGKILL)
    await asyncio.to_thread(bluetoothd.stop)  # which waits for its end


async def start(bluetoothd: Bluetoothd, adapter: Adapter) -> None:
    """Start bluetoothd again, with its adapter powered."""
    await asyncio.to_thread(bluetoothd.start)
    await asyncio.to_thread(lambda: bluetoothd.power(adapter.path, on=True))


@pytest.mark.parametrize("end", [stop, kill])
async def test_bluetoothd_ends_under_a_client(
    adapter: Adapter,
    hardware: Hardware,
    bluetoothd: Bluetoothd,
    end: Callable[[Bluetoothd], Awaitable[None]],
) -> None:
    """The end is told once, what is asked meanwhile fails with types, and its successor serves."""
    await hardware.add(thermometer())
    device, _ = await heard()
    lost: asyncio.Queue[BleakClientWithServiceCache] = asyncio.Queue()
    client = await establish_connection(
        BleakClientWithServiceCache, device, "thermometer", lost.put_nowait
    )
    async with asyncio.timeout(2 * DEADLINE):
        await end(bluetoothd)
        assert await lost.get() is client
        assert not client.is_connected
        with pytest.raises(BleakError):
            await client.read_gatt_char(LEVEL)
        with pytest.raises(ProxyconnError):
            await client.set_connection_params(800, 800, 0, 600)
        with pytest.raises(ProxyconnError):
            await establish_connection(
                BleakClientWithServiceCache, device, "thermometer", max_attempts=1
            )
        assert await get_device(ADDRESS) is None
        await start(bluetoothd, adapter)
        device, _ = await heard()
        again = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
        assert await again.read_gatt_char(LEVEL) == b"\x64"
        await again.disconnect()
        await client.disconnect()
    assert lost.empty()


async def test_bluetoothd_restarted_under_a_fleet(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd
) -> None:
    """A fleet says why its adapter is gone, finds it again, and connects through it."""
    await hardware.add(thermometer())
    lost: asyncio.Queue[BleakClientWithServiceCache] = asyncio.Queue()
    changed = asyncio.Event()
    async with (
        asyncio.timeout(3 * DEADLINE),
        Fleet(discover=False, local_adapters=["hci0"]) as fleet,
    ):
        fleet.register_state_callback(changed.set)
        device = await fleet.find_device(ADDRESS, DEADLINE)
        client = await establish_connection(
            BleakClientWithServiceCache, device, "thermometer", lost.put_nowait
        )
        await kill(bluetoothd)
        assert await lost.get() is client
        (radio,) = fleet.radios
        while radio.problem is None:
            changed.clear()
            await changed.wait()
        assert "bluetoothd is not running" in radio.problem
        await start(bluetoothd, adapter)
        await fleet.ready(1, DEADLINE)
        await hardware.until_disconnected(ADDRESS)
        again = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
        assert await again.read_gatt_char(LEVEL) == b"\x64"
        await again.disconnect()
        await client.disconnect()
    assert lost.empty()


async def test_bluetoothd_hangs(
    adapter: Adapter, hardware: Hardware, bluetoothd: Bluetoothd
) -> None:
    """A bluetoothd that does not answer is waited for, but not for ever."""
    await hardware.add(thermometer())
    device, _ = await heard()
    client = await establish_connection(BleakClientWithServiceCache, device, "thermometer")
    process = await daemon_id()
    os.kill(process, signal.SIGSTOP)
    try:
        async with asyncio.timeout(DEADLINE):
            device_while_it_hangs, ended = await asyncio.gather(
                get_device(ADDRESS), client.disconnect(), return_exceptions=True
            )
    finally:
        os.kill(process, signal.SIGCONT)
    assert device_while_it_hangs is None
    assert isinstance(ended, TimeoutError)
    assert not client.is_connected
    await hardware.until_disconnected(ADDRESS)
