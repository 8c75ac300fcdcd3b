"""A client of the sharing benchmark, in a process of its own.

Arguments: its side, port and key. Each line of standard input is an order, each answer a line.
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

from aioesphomeapi.client import APIClient
from bleak.uuids import normalize_uuid_16

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection

from . import world

VALUE = normalize_uuid_16(world.VALUE)


class Client:
    """One program."""

    def __init__(self, side: str, port: int, noise_psk: str, stack: AsyncExitStack) -> None:
        self._side = side
        self._port = port
        self._psk = noise_psk
        self._stack = stack
        self._listeners: list[APIClient] = []
        self._opened: Fleet | None = None
        self.batches = 0

    async def reads(self, count: int) -> dict[str, float]:
        """Read one value again and again over one link."""
        fleet, address = await self._fleet(), world.address(self._side, 0)
        device = await fleet.find_device(address)
        client = await establish_connection(BleakClientWithServiceCache, device, "bench")
        laps: list[float] = []
        for _ in range(count // 10):
            await client.read_gatt_char(VALUE)
        before, cpu = time.perf_counter(), time.process_time()
        for _ in range(count):
            start = time.perf_counter()
            await client.read_gatt_char(VALUE)
            laps.append(time.perf_counter() - start)
        result = {
            "seconds": time.perf_counter() - before,
            "cpu": time.process_time() - cpu,
            "median": statistics.median(laps),
        }
        await client.disconnect()
        return result

    async def connects(self, count: int) -> dict[str, float]:
        """Connect and disconnect again and again; services are known after the first time."""
        fleet, address = await self._fleet(), world.address(self._side, world.CONNECTED)
        device = await fleet.find_device(address)
        laps: list[float] = []
        for _ in range(count + 1):
            start = time.perf_counter()
            client = await establish_connection(BleakClientWithServiceCache, device, "bench")
            laps.append(time.perf_counter() - start)
            await client.disconnect()
        return {"median": statistics.median(laps[1:])}

    async def listen(self, count: int, seconds: float) -> dict[str, float]:
        """Have so many subscriptions, and count the batches that arrive."""
        while len(self._listeners) < count:
            listener = APIClient("127.0.0.1", self._port, None, noise_psk=self._psk)
            await listener.connect(login=True)
            self._stack.push_async_callback(listener.disconnect)
            listener.subscribe_bluetooth_le_raw_advertisements(self._heard)
            self._listeners.append(listener)
        await asyncio.sleep(0.5)
        before = self.batches
        await asyncio.sleep(seconds)
        return {"batches": float(self.batches - before)}

    def _heard(self, batch: Any) -> None:
        self.batches += 1

    async def _fleet(self) -> Fleet:
        if self._opened:
            return self._opened
        proxy = Proxy("127.0.0.1", self._port, noise_psk=self._psk)
        fleet = await self._stack.enter_async_context(
            Fleet([proxy], discover=False, state=None, owner=False)
        )
        await fleet.ready()
        self._opened = fleet
        return fleet


async def run(side: str, port: int, noise_psk: str) -> None:
    """Do what standard input says until it ends."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        client = Client(side, port, noise_psk, stack)
        orders: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
            "reads": client.reads,
            "connects": client.connects,
            "listen": client.listen,
        }
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order = json.loads(line)
            print(json.dumps(await orders[order.pop("do")](**order)), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], int(sys.argv[2]), sys.argv[3]))
