"""Sessions while the broker restarts, an owner sleeps or is cut off, messages come twice and late,
and clocks are set.
"""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack

import pytest
from bleak.exc import BleakError
from nats.aio.msg import Msg

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection
from proxyconn_cluster.bus.connection import Bus, Subscribed

from .conftest import MakeBus
from .line import Line
from .nats_server import NatsServer
from .owner_process import OtherProcess
from .village import (
    DEADLINE,
    ECHO,
    KEY,
    LEASE,
    READ,
    VALUE,
    Village,
    address,
    connect,
    peripheral,
    until,
)

AGAIN = "Test-Again"
"""Header of a message that was sent by us, for the second time."""

HOUR = 3600.0

SESSION = 12.0
"""Seconds that a session may take to have its link."""


class Echoes:
    """Sends every message of some kinds a second time, some time later."""

    def __init__(self, bus: Bus, seed: int, latest: float) -> None:
        self._bus = bus
        self._random = random.Random(seed)
        self._latest = latest
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribed: list[Subscribed] = []
        self.sent = 0

    async def start(self, *kinds: str) -> None:
        """Begin."""
        for kind in kinds:
            every = self._bus.subjects.of_site("*", kind, ">")
            self._subscribed.append(await self._bus.subscribe(every, self._on_message))

    async def _on_message(self, message: Msg) -> None:
        if AGAIN not in (message.headers or {}):
            task = asyncio.get_running_loop().create_task(self._later(message))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _later(self, message: Msg) -> None:
        await asyncio.sleep(self._random.uniform(0.0, self._latest))
        self.sent += 1
        await self._bus.client.publish(
            message.subject,
            message.data,
            reply=message.reply,
            headers={**(message.headers or {}), AGAIN: "1"},
        )

    async def stop(self) -> None:
        """End, and leave nothing unsent."""
        for one in self._subscribed:
            await self._bus.unsubscribe(one)
        await asyncio.gather(*self._tasks)


async def test_what_comes_twice_and_late_is_done_once(village: Village, make_bus: MakeBus) -> None:
    echoes = Echoes(await make_bus(village.server, "echo"), 1, 0.3)
    await echoes.start("link", "event", "answer", "ask", "member", "owner")
    fleet = await village.program()
    for number in (1, 2, 3, 1):
        client = await connect(fleet, number)
        echoed: list[bytes] = []
        await client.start_notify(ECHO, noting(echoed))
        wanted = [bytes((count, 255)) for count in range(10)]
        for data in wanted:
            await client.write_gatt_char(ECHO, data, response=True)
        assert await client.read_gatt_char(READ) == VALUE
        await client.disconnect()
        # What was asked for again may still be under way.
        await asyncio.sleep(0.4)
        assert echoed == [data[::-1] for data in wanted]
        assert village.slots() == {}
    await echoes.stop()
    assert echoes.sent > 100


def noting(seen: list[bytes]) -> Callable[[object, bytearray], None]:
    """Return a callback that notes what is notified."""
    return lambda _, data: seen.append(bytes(data))


class Session:
    """One session after another with devices of chance, through one fleet."""

    def __init__(self, fleet: Fleet, seed: int, ends: Counter[str]) -> None:
        self._fleet = fleet
        self._random = random.Random(seed)
        self._ends = ends

    async def run(self, until_then: float) -> None:
        """Do them."""
        loop = asyncio.get_running_loop()
        while loop.time() < until_then:
            number = self._random.randint(1, 6)
            began = loop.time()
            try:
                await self._one(number)
            except (BleakError, TimeoutError) as exc:
                self._ends[type(exc).__name__] += 1
                await asyncio.sleep(0.1)
            else:
                self._ends["done"] += 1
            # The link, three operations and its end: each has a limit of its own.
            assert loop.time() - began < SESSION + 2 * SESSION

    async def _one(self, number: int) -> None:
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            device = await self._fleet.find_device(address(number), DEADLINE)
            client = await establish_connection(
                BleakClientWithServiceCache, device, f"device {number}", deadline=SESSION
            )
        finally:
            assert loop.time() - began < DEADLINE + SESSION + 1.0
        try:
            await client.write_gatt_char(ECHO, b"abc", response=True)
            assert await client.read_gatt_char(READ) == VALUE
        finally:
            await client.disconnect()


class WallClock:
    """The wall clock of this process, which can be set."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.ahead = 0.0
        told = time.time
        monkeypatch.setattr(time, "time", lambda: told() + self.ahead)


async def broker_starts_anew(server: NatsServer, line: Line) -> None:
    """Kill the broker and start it again.

    A line without its far end would take calls, which nats-py leaves unclosed: it is cut meanwhile.
    """
    await line.cut()
    await server.stop()
    await asyncio.sleep(0.5)
    await server.start()
    await line.mend()


async def have_trouble(
    server: NatsServer, line: Line, process: OtherProcess, clock: WallClock, *, stalls: bool
) -> None:
    """Restart the broker, set clocks, stop an owner, and cut off or stall another one's line."""
    await asyncio.sleep(2.0)
    await broker_starts_anew(server, line)
    clock.ahead += HOUR
    await asyncio.sleep(2.0)
    process.send(signal.SIGSTOP)
    await asyncio.sleep(LEASE / 2)
    if stalls:
        line.stall()
    else:
        await line.cut()
    await asyncio.sleep(LEASE / 2 + 1.0)
    process.send(signal.SIGCONT)
    clock.ahead -= 2 * HOUR
    await asyncio.sleep(LEASE / 2)
    await line.mend()


async def test_chaos(
    stack: AsyncExitStack,
    server: NatsServer,
    make_bus: MakeBus,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    village = Village(stack, server)
    names = ("north", "south", "far")
    await village.build(
        [
            peripheral(number, north=-50 - number, south=-57 + number, far=-54)
            for number in range(1, 7)
        ],
        names,
        slots=2,
    )
    line = Line(server.port)
    await line.open()
    stack.push_async_callback(line.cut)
    await village.own("north", url=line.url)
    await village.own("south")
    order = {"proxies": {"far": village.proxy("far").port}, "key": KEY, "lease": LEASE}
    process = OtherProcess(server.url, "far", order)
    stack.push_async_callback(process.stop)
    await process.start()
    clock = WallClock(monkeypatch)
    echoes = Echoes(await make_bus(server, "echo"), 2, 0.5)
    await echoes.start("link", "event", "answer", "ask")
    # An owner that is cut off connects all the same: north has no user of its own.
    fleets = [await village.program(), await village.program(), village.owners["south"].fleet]
    loop, ends = asyncio.get_running_loop(), Counter[str]()
    end = loop.time() + 20.0
    sessions = [
        loop.create_task(Session(fleet, seed, ends).run(end)) for seed, fleet in enumerate(fleets)
    ]
    for stalls in (False, True):
        await have_trouble(server, line, process, clock, stalls=stalls)
    await asyncio.gather(*sessions)
    await echoes.stop()
    assert ends["done"] > 20, ends
    assert village.double_holds == []
    await village.is_tidy()
    await until(lambda: not any(owner.serving.links.links for owner in village.owners.values()), 10)
