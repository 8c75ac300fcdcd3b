"""Clients that nobody refers to any more, and that were never disconnected."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import pytest
from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic

import proxyconn
from proxyconn import Fleet
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import CLOCK, DEADLINE, LAMP, STATE, TICKS, Run, all_free

pytestmark = pytest.mark.usefixtures("quick_collections", "installed")


@pytest.fixture
def quick_collections() -> Iterator[None]:
    """Leave out what other tests have made: a collection then ends between two notifications."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


class Owner:
    """Somebody's device: it refers to its client, and its client calls it."""

    def __init__(self) -> None:
        self.client = BleakClient(CLOCK, self.lost)

    def lost(self, client: BleakClient) -> None:
        """Take note of the end of the link."""

    def heard(self, sender: BleakGATTCharacteristic, data: bytearray) -> None:
        """Take a notification."""

    async def use(self) -> None:
        """Connect and subscribe, and fail."""
        await self.client.connect()
        await self.client.start_notify(TICKS, self.heard)
        raise RuntimeError("in between")


async def fail() -> None:
    """Use a device, and drop it."""
    with pytest.raises(RuntimeError, match="in between"):
        await Owner().use()


async def again(address: str) -> bytes:
    """Connect as if nothing had been."""
    async with asyncio.timeout(DEADLINE / 2), BleakClient(address) as client:
        return bytes(client.address, "ascii")


async def test_a_client_that_is_dropped_gives_its_link_back(
    run: Run[Any], kitchen: VirtualProxy
) -> None:
    """Though it has subscribed, and a cycle of references is all that holds it."""

    async def program() -> None:
        await fail()
        for _ in range(5):
            # A notification that is just being delivered still refers to its client.
            await asyncio.sleep(0.01)
            gc.collect()
        await again(CLOCK)

    await run(program())
    await all_free(kitchen)


async def test_a_client_in_no_cycle_is_missed_at_once(run: Run[Any], kitchen: VirtualProxy) -> None:
    """Nothing needs to be collected."""

    async def program() -> None:
        gc.disable()
        try:
            await BleakClient(LAMP).connect()
            await again(LAMP)
        finally:
            gc.enable()

    await run(program())
    await all_free(kitchen)


async def test_a_client_that_is_referred_to_keeps_its_link(run: Run[Any]) -> None:
    """It goes on hearing, and the error that keeps others away says who has the device."""

    async def program() -> None:
        heard = asyncio.Event()
        client = BleakClient(CLOCK)
        await client.connect()
        await client.start_notify(TICKS, lambda *_: heard.set())
        for _ in range(3):
            gc.collect()
            heard.clear()
            await heard.wait()
        task = asyncio.current_task()
        assert task
        with pytest.raises(proxyconn.LinkError, match=f"through kitchen.*{task.get_name()}") as no:
            await BleakClient(CLOCK).connect()
        assert no.value.kind is proxyconn.ErrorKind.IN_USE
        await client.disconnect()

    await run(program())


async def test_who_lets_go_is_waited_for(fleet: Fleet, kitchen: VirtualProxy) -> None:
    """A connect in the middle of another client's disconnect is no clash."""
    device = await fleet.find_device(LAMP)
    client = await proxyconn.establish_connection(
        proxyconn.BleakClientWithServiceCache, device, "first"
    )
    leaving = asyncio.create_task(client.disconnect())
    await asyncio.sleep(0)
    assert not leaving.done()
    other = await proxyconn.establish_connection(
        proxyconn.BleakClientWithServiceCache, device, "second", max_attempts=1
    )
    assert await other.read_gatt_char(STATE) == b"off"
    await leaving
    assert other.is_connected
    await other.disconnect()
    await all_free(kitchen)
