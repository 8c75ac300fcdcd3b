"""A program that uses an owner, in a process of its own; the story of sharing runs two of them.

Usage: python -m proxyconn_virtual.commands.sharing_client KIND PORT KEY HEARD ADDRESS...

It waits until it has heard HEARD devices, connects to those named, and reads them for ever, in
whatever order it gets them; whoever is lost is connected again. Each line it prints is JSON.
KIND is `ours`, a fleet; `remembering`, one that keeps its state in STATE_DIRECTORY; or `theirs`,
which is bleak-esphome under habluetooth where they are installed, else aioesphomeapi's client.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from aioesphomeapi.client import APIClient
from bleak.exc import BleakError

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection

LOOPBACK = "127.0.0.1"
MODEL_NUMBER = "00002a24-0000-1000-8000-00805f9b34fb"
DEVICE_NAME = "00002a00-0000-1000-8000-00805f9b34fb"
TRY_AGAIN = 0.5

Connect = Callable[[str], Awaitable[Any]]
Use = Callable[[int, str, int], AbstractAsyncContextManager[Connect]]


def say(event: str, **values: object) -> None:
    """Print a line."""
    print(json.dumps({"event": event, **values}), flush=True)  # noqa: T201 - its protocol


@asynccontextmanager
async def ours(port: int, key: str, heard: int, *, state: bool = False) -> AsyncIterator[Connect]:
    """Use the owner by a fleet of proxyconn's."""
    async with Fleet(
        [Proxy(LOOPBACK, port, noise_psk=key)], discover=False, state=state, owner=False, take=True
    ) as fleet:
        await fleet.ready(timeout=30)
        while len(fleet.devices) < heard:  # noqa: ASYNC110 - a story, not a program
            await asyncio.sleep(0.05)
        say("heard", devices=len(fleet.devices))

        async def connect(address: str) -> Any:
            device = await fleet.find_device(address, 30)
            return await establish_connection(
                BleakClientWithServiceCache, device, address, deadline=60
            )

        yield connect


@asynccontextmanager
async def theirs(port: int, key: str, heard: int) -> AsyncIterator[Connect]:
    """Use the owner as bleak-esphome's documentation says."""
    connector = import_module("bleak_retry_connector")
    manager = import_module("habluetooth").BluetoothManager()
    await manager.async_setup()
    async with AsyncExitStack() as stack:
        stack.callback(manager.async_stop)
        api = APIClient(LOOPBACK, port, None, noise_psk=key)
        await api.connect(login=True)
        stack.push_async_callback(api.disconnect)
        data = import_module("bleak_esphome").connect_scanner(api, await api.device_info(), True)
        stack.callback(data.scanner.async_setup())
        stack.callback(manager.async_register_scanner(data.scanner))
        while len(data.scanner.discovered_devices) < heard:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)
        say("heard", devices=len(data.scanner.discovered_devices))

        async def connect(address: str) -> Any:
            while not (  # noqa: ASYNC110 - likewise
                device := manager.async_ble_device_from_address(address, True)
            ):
                await asyncio.sleep(0.05)
            return await connector.establish_connection(
                connector.BleakClientWithServiceCache, device, address
            )

        yield connect


@asynccontextmanager
async def bare(port: int, key: str, heard: int) -> AsyncIterator[Connect]:
    """Use the owner by aioesphomeapi's client alone: it hears, and connects to nothing."""
    api = APIClient(LOOPBACK, port, None, noise_psk=key)
    await api.connect(login=True)
    seen: set[int] = set()

    def take(batch: Any) -> None:
        seen.update(one.address for one in batch.advertisements)

    api.subscribe_bluetooth_le_raw_advertisements(take)
    try:
        while len(seen) < heard:  # noqa: ASYNC110 - likewise
            await asyncio.sleep(0.05)
        say("heard", devices=len(seen))

        async def connect(address: str) -> Any:
            await asyncio.Event().wait()

        yield connect
    finally:
        await api.disconnect()


async def keep(connect: Connect, address: str) -> None:
    """Hold one device and read from it, for ever."""
    while True:
        try:
            client = await connect(address)
            say("connected", address=address)
            while True:
                await client.read_gatt_char(DEVICE_NAME)
                say("read", address=address)
                await asyncio.sleep(0.2)
        except (BleakError, TimeoutError) as exc:
            say("lost", address=address, why=type(exc).__name__)
            await asyncio.sleep(TRY_AGAIN)


async def main(kind: str, port: int, key: str, heard: int, addresses: list[str]) -> None:
    """Run until killed."""
    installed = all(map(find_spec, ("bleak_esphome", "habluetooth")))
    fleets: dict[str, Use] = {"ours": ours, "remembering": partial(ours, state=True)}
    other: Use = theirs if installed else bare
    say("started", kind="proxyconn" if kind in fleets else "theirs" if installed else "bare")
    async with fleets.get(kind, other)(port, key, heard) as connect, asyncio.TaskGroup() as tasks:
        for address in addresses:
            tasks.create_task(keep(connect, address))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), sys.argv[5:]))
