"""An owner or a program, in a cluster or alone, in a process of its own.

Arguments: its name, the broker's URL or nothing, and its proxies as JSON. Says when it is ready;
then each line of standard input is an order, each line of the output its result.
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

from bleak.uuids import normalize_uuid_16

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn_cluster.bus.connection import opened
from proxyconn_cluster.joined import Place
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.serving import Serving, shared
from proxyconn_cluster.settings import ClusterSettings

from . import world

VALUE = normalize_uuid_16(world.VALUE)

READY_WITHIN = 60.0
"""Seconds for all proxies to be ready."""


class Member:
    """One process.

    Args:
        fleet: its fleet.
        serving: what it does for others; None if it is alone, or owns nothing.
    """

    def __init__(self, fleet: Fleet, serving: Serving | None) -> None:
        self._fleet = fleet
        self._serving = serving
        self._heard = 0

    async def reads(self, side: str, count: int) -> dict[str, float]:
        """Read one value again and again over one link."""
        device = await self._fleet.find_device(world.address(side, world.READ))
        client = await establish_connection(BleakClientWithServiceCache, device, "bench")
        for _ in range(count // 10):
            await client.read_gatt_char(VALUE)
        laps: list[float] = []
        cpu = time.process_time()
        for _ in range(count):
            start = time.perf_counter()
            await client.read_gatt_char(VALUE)
            laps.append(time.perf_counter() - start)
        cpu = time.process_time() - cpu
        await client.disconnect()
        return {"cpu": cpu / count, **spread(laps)}

    async def connects(self, side: str, count: int) -> dict[str, float]:
        """Connect and disconnect again and again; services are known after the first time."""
        device = await self._fleet.find_device(world.address(side, world.CONNECTED))
        laps: list[float] = []
        for _ in range(count + 1):
            start = time.perf_counter()
            client = await establish_connection(BleakClientWithServiceCache, device, "bench")
            laps.append(time.perf_counter() - start)
            await client.disconnect()
        return spread(laps[1:])

    async def listen(self, on: bool) -> dict[str, float]:
        """Want to hear everything from now on."""
        if on:
            self._fleet.register_detection_callback(self._count)
        return await self.state()

    def _count(self, *_: object) -> None:
        self._heard += 1

    async def state(self) -> dict[str, float]:
        """Say what was used, heard and passed on so far."""
        sent = self._serving.telling.sent if self._serving else 0
        devices = len(self._fleet.devices)
        used = time.process_time()
        return {"cpu": used, "heard": self._heard, "batches": sent, "devices": devices}


def spread(laps: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile in seconds."""
    return {"median": statistics.median(laps), "p99": statistics.quantiles(laps, n=100)[98]}


async def run(name: str, url: str, proxies: list[tuple[int, str]]) -> None:
    """Do what standard input says until it ends."""
    loop = asyncio.get_running_loop()
    async with AsyncExitStack() as stack:
        members, place = None, None
        if url:
            settings = ClusterSettings((url,))
            members = Members(await stack.enter_async_context(opened(settings, name)))
            place = Place(settings, always=False, members=members)
        fleet = Fleet(
            [Proxy("127.0.0.1", port, noise_psk=key) for port, key in proxies],
            discover=False,
            state=None,
            owner=False,
            take=True,
            cluster=place,
        )
        await stack.enter_async_context(fleet)
        serving = None
        if members and proxies:
            serving = await stack.enter_async_context(shared(fleet, members))
        await fleet.ready(max(len(proxies), 1), READY_WITHIN)
        member = Member(fleet, serving)
        orders: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
            "reads": member.reads,
            "connects": member.connects,
            "listen": member.listen,
            "state": member.state,
        }
        say({})
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            order: dict[str, Any] = json.loads(line)
            say(await orders[order.pop("do")](**order))


def say(result: object) -> None:
    """Print a line."""
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))
