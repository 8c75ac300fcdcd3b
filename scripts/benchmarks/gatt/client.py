"""One client process of the GATT benchmark: measures what it is told to, line by line.

Each line of its input is a JSON object with `do` and that measurement's arguments; each line of its
output is the result. The end of the input ends it.
"""

from __future__ import annotations

import asyncio
import gc
import json
import socket
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from bleak import BleakClient
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice

from . import world
from .sides import CLASSES, LOCALHOST

BATCH = 500
"""Notifications sent while the client looks away; what they take fits into a socket's buffer."""

PAUSE = 0.01
"""Seconds between a disconnect and the next connect: the proxy goes back to scanning meanwhile."""

LOST = 20.0
"""Seconds after which notifications that have not come are taken for lost."""


@dataclass
class Used:
    """What a measurement took, in seconds."""

    wall: float = 0.0
    cpu: float = 0.0
    proxy_cpu: float = 0.0


@contextmanager
def measured(used: Used) -> Iterator[None]:
    """Add what the block takes to `used`."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    used.cpu += time.process_time() - cpu
    used.wall += time.perf_counter() - wall


def uuid(short: int) -> UUID:
    """Return a 16-bit UUID in full."""
    return UUID(f"{short:08x}-0000-1000-8000-00805f9b34fb")


class Counter:
    """Counts notifications up to an expected number."""

    def __init__(self) -> None:
        self.left = 0
        self.done = asyncio.Event()

    def expect(self, count: int) -> None:
        """Begin to count."""
        self.left = count
        self.done.clear()

    def take(self, sender: BleakGATTCharacteristic, value: bytearray) -> None:
        """Take one notification."""
        self.left -= 1
        if not self.left:
            self.done.set()

    async def wait(self) -> None:
        """Wait until all have come. Raises TimeoutError."""
        async with asyncio.timeout(LOST):
            await self.done.wait()


class Worker:
    """The clients of one side, and what can be measured with them."""

    def __init__(self, side: str) -> None:
        self.name = side
        self.side = CLASSES[side]()
        self.clients: list[BleakClient] = []

    async def heard(self, number: int) -> BLEDevice:
        """Return the numbered device, waiting for it to be heard."""
        address = world.address(self.name, number)
        while not (device := self.side.device(address)):  # noqa: ASYNC110 - four APIs, one way
            await asyncio.sleep(0.02)
        return device

    async def proxy_cpu(self) -> float:
        """Return the CPU seconds that the proxies' process has used."""
        value = await self.clients[0].read_gatt_char(uuid(world.CPU))
        return float(world.CPU_FORMAT.unpack(value)[0])

    async def connects(self, count: int, cached: bool) -> dict[str, float]:
        """Return milliseconds for one connection with its services, by the clock and of CPU."""
        device = await self.heard(world.SPARE)
        walls, cpus = [], []
        for _ in range(count):
            if not cached:
                self.side.forget_services(device.address)
            client, used = self.side.client(device), Used()
            with measured(used):
                await client.connect(dangerous_use_bleak_cache=cached)
            if not client.services.get_characteristic(uuid(world.VALUE)):
                raise RuntimeError("connected without services")
            await client.disconnect()
            await asyncio.sleep(PAUSE)
            walls.append(used.wall)
            cpus.append(used.cpu)
        return {"ms": statistics.median(walls) * 1000, "cpu_ms": statistics.mean(cpus) * 1000}

    async def level(self, connections: int) -> dict[str, float]:
        """Have this many connections."""
        while len(self.clients) < connections:
            self.clients.append(self.side.client(await self.heard(len(self.clients))))
            await self.clients[-1].connect()
        return {}

    async def reads(self, count: int) -> dict[str, float]:
        """Read, every connection at once and one read after the other on each."""

        async def read(client: BleakClient) -> None:
            characteristic = client.services.get_characteristic(uuid(world.VALUE))
            assert characteristic
            for _ in range(each):
                await client.read_gatt_char(characteristic)

        each = count // len(self.clients)
        used, before = Used(), await self.proxy_cpu()
        with measured(used):
            await asyncio.gather(*(read(client) for client in self.clients))
        used.proxy_cpu = await self.proxy_cpu() - before
        return per_second(each * len(self.clients), used)

    async def notifications(self, count: int, batched: bool) -> dict[str, float]:
        """Be notified, every connection subscribed and in turn.

        Batched, the client does not look before a batch has been sent: it then pays for taking
        notifications and not for waking up, which happens more or less often by chance.
        """
        counter, used = Counter(), Used()
        for client in self.clients:
            await client.start_notify(uuid(world.VALUE), counter.take)
        each = (BATCH if batched else count) // len(self.clients)
        times = count // BATCH if batched else 1
        before = await self.proxy_cpu()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as told:
            told.bind((LOCALHOST, 0))
            for _ in range(times):
                counter.expect(each * len(self.clients))
                await self._stream(each, told if batched else None)
                with measured(used):
                    await counter.wait()
        used.proxy_cpu = await self.proxy_cpu() - before
        for client in self.clients:
            await client.stop_notify(uuid(world.VALUE))
        return per_second(each * len(self.clients) * times, used)

    async def _stream(self, each: int, told: socket.socket | None) -> None:
        port = told.getsockname()[1] if told else 0
        value = world.STREAM_FORMAT.pack(len(self.clients), each, port)
        await self.clients[0].write_gatt_char(uuid(world.STREAM), value, response=True)
        if told:
            told.recv(1)  # blocks the loop, as it shall

    async def do(self, order: dict[str, Any]) -> dict[str, float]:
        """Carry an order out."""
        gc.collect()
        measurements: dict[str, Callable[..., Awaitable[dict[str, float]]]] = {
            "connects": self.connects,
            "level": self.level,
            "reads": self.reads,
            "notifications": self.notifications,
        }
        return await measurements[order.pop("do")](**order)


def per_second(count: int, used: Used) -> dict[str, float]:
    """Return how often something was done per second, by the clock and of CPU."""
    return {
        "per_cpu_second": count / used.cpu,
        "per_second": count / used.wall,
        "proxy_cpu_share": used.proxy_cpu / used.wall,
    }


async def run(side: str, port: int, noise_psk: str) -> None:
    """Carry out orders until there are none left."""
    loop = asyncio.get_running_loop()
    worker = Worker(side)
    async with AsyncExitStack() as stack:
        await worker.side.start(stack, port, noise_psk)
        while line := await loop.run_in_executor(None, sys.stdin.readline):
            print(json.dumps(await worker.do(json.loads(line))), flush=True)
        for client in worker.clients:
            await client.disconnect()


def main(side: str, port: str, noise_psk: str, loop: str) -> None:
    """Run one side on a kind of event loop, asyncio or uvloop."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    if loop == "uvloop":
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(run(side, int(port), noise_psk))


if __name__ == "__main__":
    main(*sys.argv[1:])
