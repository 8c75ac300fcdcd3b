"""Scopes that cancel at every await, as those of anyio do: clean-up is cancelled too."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from bleak import BleakClient, BleakScanner

import proxyconn
from proxyconn import Fleet
from proxyconn_virtual.peripheral import Outcome, Peripheral
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import DEADLINE, LAMP, STATE, Run, all_free

pytestmark = pytest.mark.usefixtures("installed")

SOON = 0.05
"""Seconds after which a scope is cancelled that nothing in it ends."""


async def round_a_context() -> None:
    """Leave `async with` by a cancellation."""
    with anyio.move_on_after(SOON) as scope:
        async with BleakClient(LAMP):
            scope.cancel()
            await anyio.sleep(DEADLINE)


async def round_a_connect() -> None:
    """Cancel a connect."""
    with anyio.move_on_after(SOON):
        await BleakClient(LAMP).connect()
        await anyio.sleep(DEADLINE)


async def round_establish_connection() -> None:
    """Disconnect in a `finally`."""
    device = await BleakScanner.find_device_by_address(LAMP)
    assert device
    with anyio.CancelScope() as scope:
        client = await proxyconn.establish_connection(BleakClient, device, "lamp")
        try:
            scope.cancel()
            await anyio.sleep(DEADLINE)
        finally:
            await client.disconnect()


async def while_the_loop_is_busy() -> None:
    """The link comes up while nobody can be told."""
    client = BleakClient(LAMP)
    async with anyio.create_task_group() as group:
        group.start_soon(client.connect)
        await anyio.lowlevel.checkpoint()
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            """Spin."""
        group.cancel_scope.cancel()


async def as_the_disconnect_begins() -> None:
    """Cancel it before its first step."""
    client = BleakClient(LAMP)
    await client.connect()
    with anyio.CancelScope() as scope:
        scope.cancel()
        await client.disconnect()


async def by_hand() -> None:
    """Cancel a task as often as it awaits."""
    client = BleakClient(LAMP)
    await client.connect()
    leaving = asyncio.create_task(client.disconnect())
    while not leaving.done():
        await asyncio.sleep(0)
        leaving.cancel()


@pytest.mark.parametrize(
    "program",
    [
        round_a_context,
        round_a_connect,
        round_establish_connection,
        while_the_loop_is_busy,
        as_the_disconnect_begins,
        by_hand,
    ],
)
@pytest.mark.parametrize("after", [0.0, 0.2], ids=["at once", "while it opens"])
async def test_no_link_is_left(
    run: Run[Any],
    kitchen: VirtualProxy,
    peripherals: list[Peripheral],
    program: Callable[[], Awaitable[None]],
    after: float,
) -> None:
    """The slot is free within seconds, and another client gets the device."""
    peripherals[0].outcomes = [Outcome(after=after), Outcome()]

    async def whole() -> bytes:
        await program()
        async with asyncio.timeout(DEADLINE / 2), BleakClient(LAMP) as client:
            return bytes(await client.read_gatt_char(STATE))

    assert await run(whole()) == b"off"
    await all_free(kitchen)


async def cancelled(operation: Awaitable[None]) -> None:
    """Begin something in a scope that is cancelled already."""
    with anyio.CancelScope() as scope:
        scope.cancel()
        await operation


async def test_notifications_that_were_cancelled(run: Run[Any]) -> None:
    """The next start works, and soon, whether a start or a stop was cancelled."""

    async def program() -> float:
        heard = asyncio.Event()
        async with BleakClient(LAMP) as client:
            started = time.monotonic()
            for operation in (client.start_notify, client.stop_notify):
                if operation == client.stop_notify:
                    await client.start_notify(STATE, lambda *_: None)
                    await cancelled(client.stop_notify(STATE))
                else:
                    await cancelled(client.start_notify(STATE, lambda *_: None))
                await client.start_notify(STATE, lambda *_: heard.set())
                await client.write_gatt_char(STATE, b"on", response=True)
                await heard.wait()
                heard.clear()
                await client.stop_notify(STATE)
            return time.monotonic() - started

    assert await run(program()) < 3.0


async def test_a_scan_that_was_cancelled(run: Run[Any], fleet: Fleet) -> None:
    """Nobody goes on listening."""
    begun: list[bool] = []

    async def program() -> None:
        scanner = BleakScanner(lambda device, advertisement: begun.append(True))
        await cancelled(scanner.start())
        await scanner.stop()
        await anyio.sleep(0.2)

    await run(program())
    assert not begun
