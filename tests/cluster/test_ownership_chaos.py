"""Chaos of ownership: whatever happens to owners and broker, no proxy has two that send.

`CLUSTER_CHAOS=SECONDS` makes it longer, `CLUSTER_SEED=N` another one.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error

from proxyconn_cluster.bus.subjects import Subjects

from . import stepping
from .line import Line
from .nats_server import NatsServer
from .place import LEASE, Cluster, until
from .processes import OwnerProcess, Watch, watching

NAMES = ("attic", "cellar", "hall", "kitchen", "lounge", "porch")
OWNERS = ("a", "b", "c")
SECONDS = float(os.environ.get("CLUSTER_CHAOS", "15"))
SEED = int(os.environ.get("CLUSTER_SEED", "1"))
HEALS_WITHIN = 12 * LEASE
MOST_KEPT = 200


class Gremlin:
    """Sends again, at some later time, what was sent to the store of leases."""

    def __init__(self, chance: random.Random) -> None:
        self._chance = chance
        self._client = Client()
        self._heard: list[Msg] = []
        self.sent = self.purged = 0

    async def start(self, server: NatsServer) -> None:
        """Begin to listen."""
        await self._client.connect(
            server.url, max_reconnect_attempts=-1, reconnect_time_wait=1, error_cb=_nothing
        )
        await self._client.subscribe("$KV.>", cb=self._hear)

    async def _hear(self, msg: Msg) -> None:
        if len(self._heard) < MOST_KEPT:
            self._heard.append(msg)

    async def replay(self) -> None:
        """Send some of it again: duplicates, late ones, in another order."""
        messages, self._heard = self._heard, []
        self._chance.shuffle(messages)
        for msg in messages[: MOST_KEPT // 2]:
            try:
                await self._client.publish(msg.subject, msg.data, headers=msg.headers)
            except Error:
                return
            self.sent += 1

    async def run_out(self) -> None:
        """Have every lease run out at once, as when the broker's clock is set on."""
        with contextlib.suppress(Error, TimeoutError):
            await self._client.jetstream().purge_stream(f"KV_{Subjects('house').leases}")
            self.purged += 1

    async def aclose(self) -> None:
        """Stop."""
        await self._client.close()


async def _nothing(error: Exception) -> None:
    """Errors are what this is about."""


class Chaos:
    """Owners in processes of their own, a broker, and what happens to them."""

    def __init__(self, cluster: Cluster, chance: random.Random, gremlin: Gremlin) -> None:
        self._cluster = cluster
        self._chance = chance
        self.gremlin = gremlin
        self.owners: dict[str, OwnerProcess] = {}
        self.lines: dict[str, Line] = {}
        self.done: list[str] = []

    def _some_owner(self) -> OwnerProcess:
        return self.owners[self._chance.choice(sorted(self.owners))]

    async def sleep_long(self) -> None:
        """An owner is stopped for longer than its leases, and goes on."""
        owner = self._some_owner()
        owner.send_signal(signal.SIGSTOP)
        await asyncio.sleep(LEASE * self._chance.uniform(0.6, 2.5))
        owner.send_signal(signal.SIGCONT)

    async def nap(self) -> None:
        """An owner is stopped for about as long as a lease is its own."""
        owner = self._some_owner()
        owner.send_signal(signal.SIGSTOP)
        await asyncio.sleep(LEASE * self._chance.uniform(0.3, 1.1))
        owner.send_signal(signal.SIGCONT)

    async def die(self) -> None:
        """An owner is killed, and comes back."""
        owner = self._some_owner()
        await owner.stop()
        await asyncio.sleep(self._chance.uniform(0.0, LEASE))
        await owner.start()

    async def broker_dies(self) -> None:
        """The broker is killed, and comes back."""
        await self._cluster.server.stop()
        await asyncio.sleep(self._chance.uniform(0.0, 2 * LEASE))
        await self._cluster.server.start()

    async def broker_hangs(self) -> None:
        """The broker answers nobody for a while, then everybody at once."""
        self._cluster.server.pause()
        await asyncio.sleep(self._chance.uniform(0.2, 2 * LEASE))
        self._cluster.server.go_on()

    async def clock_is_set(self) -> None:
        """The wall clock of an owner is an hour on, or two back."""
        owner = self._some_owner()
        if owner.process:
            owner.send_signal(self._chance.choice((stepping.ON, stepping.BACK)))

    async def brokers_clock_is_set(self) -> None:
        """Now and then, at any moment of what else happens, all that is in the store runs out."""
        moments = [self._chance.uniform(0.0, 2 * LEASE) for _ in range(self._chance.randrange(3))]
        for moment in moments:
            await asyncio.sleep(moment)
            await self.gremlin.run_out()
            if self._chance.random() < 0.5:
                await self.repeat()

    def _some_line(self) -> Line:
        return self.lines[self._chance.choice(sorted(self.lines))]

    async def cut_off(self) -> None:
        """An owner loses the broker, which the others have."""
        line = self._some_line()
        await line.cut()
        await asyncio.sleep(LEASE * self._chance.uniform(0.3, 2.5))
        await line.mend()

    async def stall(self) -> None:
        """What an owner and the broker say to each other arrives, but late."""
        line = self._some_line()
        line.stall()
        await asyncio.sleep(LEASE * self._chance.uniform(0.3, 2.5))
        await line.mend()

    async def repeat(self) -> None:
        """What was said to the store is said again, late and in another order."""
        await self.gremlin.replay()

    async def go_on(self, seconds: float) -> None:
        """Let things happen, one after the other and sometimes at once."""
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        events: list[Callable[[], Awaitable[None]]] = [
            self.sleep_long, self.nap, self.die, self.broker_dies, self.broker_hangs,
            self.cut_off, self.stall,
        ]  # fmt: skip
        while loop.time() < end:
            event = self._chance.choice(events)
            self.done.append(event.__name__)
            await asyncio.gather(
                event(), self.repeat(), self.clock_is_set(), self.brokers_clock_is_set()
            )
            await asyncio.sleep(self._chance.uniform(0.0, LEASE))


@pytest.mark.timeout(SECONDS + 120)
async def test_chaos(
    stack: AsyncExitStack, cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No proxy has two subscribers that send at any time, and each has one when it is over."""
    watch: Watch = watching(monkeypatch)
    chance = random.Random(SEED)
    await cluster.build(NAMES, profile="2026.7.0")
    gremlin = Gremlin(chance)
    await gremlin.start(cluster.server)
    stack.push_async_callback(gremlin.aclose)
    chaos = Chaos(cluster, chance, gremlin)
    for name in OWNERS:
        chaos.lines[name] = line = Line(cluster.server.port)
        await line.open()
        stack.push_async_callback(line.cut)
        owner = OwnerProcess(
            tmp_path / name,
            name,
            cluster.proxies(),
            servers=line.url,
            lease=LEASE,
        )
        owner.program = stepping.PROGRAM
        stack.push_async_callback(owner.stop)
        await owner.start()
        chaos.owners[name] = owner
    await chaos.go_on(SECONDS)
    proxies = cluster.all_proxies

    def healed() -> bool:
        snapshots = [proxy.snapshot() for proxy in proxies]
        return all(one.subscriber is not None and len(one.clients) == 1 for one in snapshots)

    await until(healed, HEALS_WITHIN)
    assert watch.doubles == [], chaos.done
    assert gremlin.sent > 0
