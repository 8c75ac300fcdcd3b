"""An owner or a program, in a cluster or alone, in a process of its own.

Arguments: whether it is an owner or a program, its name, the broker's URL or nothing, its proxies
as JSON, the seconds of its leases, and the name of its fleet. Says when it is ready; then each line
of standard input is an order, each line of the output its result.
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
from proxyconn.radio import OffersLinks, RadioState
from proxyconn_cluster.fence import FencedLoop
from proxyconn_cluster.joined import Place
from proxyconn_cluster.membership import joined
from proxyconn_cluster.settings import ClusterSettings

from . import world

VALUE = normalize_uuid_16(world.VALUE)

READY_WITHIN = 60.0
"""Seconds for all proxies to be ready, and for a device to be found."""


class Member:
    """One process.

    Args:
        fleet: its fleet.
    """

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._heard = 0

    async def reads(self, side: str, count: int) -> dict[str, float]:
        """Read one value again and again over one link."""
        device = await self._fleet.find_device(world.address(side, world.READ), READY_WITHIN)
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
        device = await self._fleet.find_device(world.address(side, world.CONNECTED), READY_WITHIN)
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
        """Say what was used and heard so far."""
        return {"cpu": time.process_time(), "heard": self._heard}


def spread(laps: list[float]) -> dict[str, float]:
    """Return the median and the 99th percentile in seconds."""
    return {"median": statistics.median(laps), "p99": statistics.quantiles(laps, n=100)[98]}


async def all_ready(fleet: Fleet, count: int) -> None:
    """Wait until so many proxies of a fleet's own are ready. Raises TimeoutError."""
    async with asyncio.timeout(READY_WITHIN):
        while count > sum(  # noqa: ASYNC110 - others' radios would end `Fleet.ready`
            radio.state is RadioState.READY and not isinstance(radio, OffersLinks)
            for radio in fleet.radios
        ):
            await asyncio.sleep(0.05)


async def run(
    part: str, name: str, url: str, proxies: list[tuple[int, str]], lease: float, fleet_name: str
) -> None:
    """Do what standard input says until it ends."""
    loop = asyncio.get_running_loop()
    settings = ClusterSettings((url,), fleet_name, name=name, lease=lease) if url else None
    async with AsyncExitStack() as stack:
        membership, place = None, None
        if settings and part == "owner":
            membership = await stack.enter_async_context(joined(settings))
            place = membership.place
        elif settings:
            place = Place(settings, always=False)
        fleet = Fleet(
            [Proxy("127.0.0.1", port, noise_psk=key) for port, key in proxies],
            discover=False,
            state=None,
            owner=False,
            take=True,
            cluster=place,
            tenure=membership.tenure if membership else None,
        )
        await stack.enter_async_context(fleet)
        if membership:
            await stack.enter_async_context(membership.sharing(fleet))
        await all_ready(fleet, len(proxies))
        member = Member(fleet)
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
    # An owner in a cluster has this loop, as `proxyconn serve` gives it.
    factory = FencedLoop if sys.argv[1] == "owner" and sys.argv[3] else None
    with asyncio.Runner(loop_factory=factory) as runner:
        part, name, url, proxies, lease, fleet = sys.argv[1:]
        runner.run(run(part, name, url, json.loads(proxies), float(lease), fleet))
