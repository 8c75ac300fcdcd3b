"""Plain bleak clients over an installed fleet: by address or device, with retries, of any class."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import bleak_retry_connector
import pytest
from bleak import BleakClient, BleakScanner
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolError

import proxyconn
from proxyconn import Fleet, NotConnectedError
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome, Peripheral
from proxyconn_virtual.proxy import VirtualProxy
from proxyconn_virtual.simulated import SimulatedAir

from .conftest import (
    CLOCK,
    DEADLINE,
    LAMP,
    LOCKED,
    STATE,
    STRANGER,
    TICKS,
    Run,
    all_free,
    elsewhere,
)

pytestmark = pytest.mark.usefixtures("installed")


class Lamp(BleakClient):
    """A client class of somebody's library, made long before anything is installed."""

    async def state(self) -> bytes:
        """Return the state."""
        return bytes(await self.read_gatt_char(STATE))


async def test_by_address(run: Run[Any], kitchen: VirtualProxy) -> None:
    """A bare address is waited for; the link can be read, written and left."""

    async def program() -> None:
        async with BleakClient(LAMP.lower(), timeout=DEADLINE, bluez={"adapter": "hci0"}) as client:
            assert client.backend_id == "proxyconn"
            assert client.is_connected
            assert (client.name, client.address) == ("Lamp", LAMP.lower())
            assert client.mtu_size == 247
            assert await client.read_gatt_char(STATE) == b"off"
            await client.write_gatt_char(STATE, b"on", response=True)
            assert await client.read_gatt_char(STATE) == b"on"
            with pytest.raises(BleakCharacteristicNotFoundError):
                await client.read_gatt_char(TICKS)
        assert not client.is_connected
        with pytest.raises(BleakError):
            _ = client.services
        await client.connect()
        assert await client.read_gatt_char(STATE) == b"on"
        await client.disconnect()
        await client.disconnect()

    await run(program())
    await all_free(kitchen)


async def test_by_device(run: Run[Any]) -> None:
    """A device that BleakScanner found, one of an earlier loop, and one made by hand all do."""

    async def find() -> BLEDevice:
        device = await BleakScanner.find_device_by_name("Lamp")
        assert device
        return device

    async def use(device: BLEDevice) -> None:
        client = Lamp(device)
        assert client.name == "Lamp"
        async with client:
            assert await client.state() == b"off"

    async def program() -> BLEDevice:
        found = await find()
        await use(found)
        await use(BLEDevice(LAMP, "Lamp", {"path": f"/org/bluez/hci0/dev_{LAMP}"}))
        return found

    await run(use(await run(program())))


async def test_notifications(run: Run[Any]) -> None:
    """Notifications come in order, in the program's loop, to functions and to coroutines."""

    async def program() -> None:
        mine = asyncio.get_running_loop()
        heard: list[int] = []
        enough = asyncio.Event()

        def take(sender: BleakGATTCharacteristic, data: bytearray) -> None:
            assert (asyncio.get_running_loop(), sender.uuid) == (mine, TICKS)
            heard.append(data[0])
            if len(heard) == 20:
                enough.set()

        async def take_later(sender: BleakGATTCharacteristic, data: bytearray) -> None:
            take(sender, data)

        async with BleakClient(CLOCK) as client:
            for callback in (take, take_later):
                await client.start_notify(TICKS, callback)
                await enough.wait()
                await client.stop_notify(TICKS)
                assert heard[:20] == list(range(heard[0], heard[0] + 20))
                await asyncio.sleep(0)  # the last coroutine
                heard.clear()
                await asyncio.sleep(0.05)
                assert heard == []
                enough.clear()

    await run(program())


async def test_a_lost_link_is_told_once(run: Run[Any], air: SimulatedAir) -> None:
    """The disconnected callback gets the client, in the loop of the program, for every loss."""

    async def program() -> None:
        mine = asyncio.get_running_loop()
        lost: list[tuple[BleakClient, bool]] = []
        gone = asyncio.Event()

        def on_lost(client: BleakClient) -> None:
            lost.append((client, asyncio.get_running_loop() is mine))
            gone.set()

        client = BleakClient(LAMP, on_lost)
        for _ in range(2):
            await client.connect()
            house_loop.call_soon_threadsafe(lambda: air.drop_link(LAMP))
            await gone.wait()
            gone.clear()
            assert not client.is_connected
            with pytest.raises(NotConnectedError, match=r"the link was lost: kitchen .*0x08"):
                await client.read_gatt_char(STATE)
        await client.connect()
        await client.disconnect()
        with pytest.raises(NotConnectedError, match="not connected: its link was closed"):
            await client.read_gatt_char(STATE)
        await gone.wait()
        assert lost == [(client, True)] * 3

    house_loop = asyncio.get_running_loop()
    await run(program())


async def test_pairing(run: Run[Any]) -> None:
    """What needs encryption is refused as bleak tells it, until the client is asked to pair."""

    async def program() -> None:
        async with BleakClient(LAMP) as client:
            with pytest.raises(BleakGATTProtocolError):
                await client.read_gatt_char(LOCKED)
            await client.pair()
            assert await client.read_gatt_char(LOCKED) == b"secret"
            await client.unpair()
        async with BleakClient(LAMP, pair=True) as client:
            assert await client.read_gatt_char(LOCKED) == b"secret"

    await run(program())


@pytest.mark.parametrize("module", [bleak_retry_connector, proxyconn])
@pytest.mark.parametrize("own", [False, True], ids=["with cache", "subclass"])
async def test_with_retries(
    run: Run[Any], peripherals: list[Peripheral], module: Any, own: bool
) -> None:
    """establish_connection tries again through the fleet, with its own class or another."""
    peripherals[0].outcomes = [Outcome(reason=0x3E), Outcome()]

    async def program() -> None:
        device = await BleakScanner.find_device_by_address(LAMP)
        assert device
        client_class = Lamp if own else module.BleakClientWithServiceCache
        client = await module.establish_connection(client_class, device, "lamp")
        assert await client.read_gatt_char(STATE) == b"off"
        if not own:
            assert await client.clear_cache() in (True, False)
        await client.disconnect()

    await run(program())
    assert peripherals[0].outcomes == []


async def test_our_own_client_by_address(run: Run[Any]) -> None:
    """BleakClientWithServiceCache is no exception, and keeps its two additions."""

    async def program() -> None:
        async with proxyconn.BleakClientWithServiceCache(LAMP) as client:
            assert await client.read_gatt_char(STATE) == b"off"
            await client.set_connection_params(6, 12, 0, 100)
            assert await client.clear_cache()

    await run(program())


async def test_a_device_that_nobody_hears(run: Run[Any]) -> None:
    """connect() waits as long as it was told to, and then says that nobody heard the device."""

    async def program() -> None:
        with pytest.raises(BleakError, match=STRANGER):
            await BleakClient(STRANGER, timeout=0.3).connect()

    await run(program())


@pytest.mark.parametrize(
    "target", [LAMP, BLEDevice(LAMP, "Lamp", {"path": f"/org/bluez/hci0/dev_{LAMP}"})]
)
async def test_a_device_that_is_heard_later(
    run: Run[Any], house: VirtualFleet, peripherals: list[Peripheral], target: BLEDevice | str
) -> None:
    """connect() waits for a device that was never heard, whatever else is known of it."""
    peripherals[0].loss = 1.0

    def advertise() -> None:
        peripherals[0].loss = 0.0

    async def program() -> None:
        connecting = asyncio.create_task(BleakClient(target, timeout=DEADLINE).connect())
        await asyncio.sleep(0.3)
        assert not connecting.done()
        advertise()
        await connecting

    await run(program())


async def test_a_cancelled_connect_leaves_nothing(
    run: Run[Any], peripherals: list[Peripheral], kitchen: VirtualProxy
) -> None:
    """The slot is free again, and the next connect is not in its way."""
    peripherals[0].outcomes = [Outcome(after=1.0), Outcome()]

    async def program() -> None:
        client = BleakClient(LAMP)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                await client.connect()
        assert not client.is_connected
        async with client:
            assert await client.read_gatt_char(STATE) == b"off"

    await run(program())
    await all_free(kitchen)


async def test_links_of_a_loop_that_ended_are_closed(
    installed: Fleet, kitchen: VirtualProxy
) -> None:
    """A program that forgets to disconnect can connect again in its next asyncio.run()."""

    async def forget() -> None:
        await BleakClient(LAMP).connect()

    async def again() -> bytes:
        async with BleakClient(LAMP) as client:
            return bytes(await client.read_gatt_char(STATE))

    await asyncio.to_thread(asyncio.run, forget())
    assert kitchen.snapshot().slots
    assert await asyncio.to_thread(asyncio.run, again()) == b"off"
    await all_free(kitchen)


async def test_a_connect_that_is_cancelled_as_it_succeeds(
    installed: Fleet, kitchen: VirtualProxy
) -> None:
    """The program was not told of the link yet, and it leaves none."""

    async def program() -> None:
        client = BleakClient(LAMP)
        connecting = asyncio.create_task(client.connect())
        await asyncio.sleep(0)
        until = time.monotonic() + DEADLINE
        while not client.is_connected and time.monotonic() < until:
            """Spin: this loop must not learn of the end."""
        connecting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await connecting
        assert not client.is_connected

    await elsewhere(program())
    await all_free(kitchen)


async def test_one_client_connects_once_at_a_time(run: Run[Any], kitchen: VirtualProxy) -> None:
    """A second connect meanwhile is refused, and the first client keeps its link."""

    async def program() -> None:
        client = BleakClient(LAMP)
        connecting = asyncio.create_task(client.connect())
        await asyncio.sleep(0)
        with pytest.raises(BleakError, match="already connected, or connecting"):
            await client.connect()
        await connecting
        assert await client.read_gatt_char(STATE) == b"off"
        await client.disconnect()

    await run(program())
    await all_free(kitchen)
