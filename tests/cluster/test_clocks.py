"""Wall clocks that are set, of owners and of the broker: nothing changes hands, nothing is stuck.

The broker's clock counts for the age of what is in its store. It is that of this machine, so what a
step of it does is done to the store: all that is in it has run out at once, or stays.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from bleak import BleakClient

from proxyconn import ErrorKind, Fleet
from proxyconn.errors import LinkError
from proxyconn_cluster.bus.connection import Bus
from proxyconn_native_api.session import Session

from . import stepping
from .nats_server import NatsServer
from .place import DEADLINE, LEASE, READ, Cluster, Member, address, connect, peripheral, until
from .processes import OwnerProcess, Watch, watching

NAMES = ("attic", "cellar", "hall")
DEVICE = peripheral(1, attic=-50)
HOURS = 3600.0


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return what the proxies see, to the byte."""
    return watching(monkeypatch)


async def run_out(bus: Bus, *buckets: str) -> None:
    """Have all that is in buckets run out, as when the broker's clock is set on."""
    for bucket in buckets:
        await bus.jetstream.purge_stream(f"KV_{bucket}")


async def stay(bus: Bus, bucket: str) -> None:
    """Have what is in a bucket stay for hours, as when the broker's clock is set back."""
    info = await bus.jetstream.stream_info(f"KV_{bucket}")
    info.config.max_age = HOURS
    await bus.jetstream.update_stream(info.config)


def served(cluster: Cluster) -> int:
    """Return how many proxies have a subscriber."""
    return sum(proxy.snapshot().subscriber is not None for proxy in cluster.all_proxies)


async def settled(cluster: Cluster, watch: Watch) -> dict[str, list[Session]]:
    """Wait until no proxy has changed hands for two leases; return who has had which."""
    loop = asyncio.get_running_loop()
    seen: dict[str, list[Session]] = {}
    since = loop.time()
    async with asyncio.timeout(4 * DEADLINE):
        while loop.time() - since < 2 * LEASE or served(cluster) < len(NAMES):
            now = {name: list(known) for name, known in watch.subscribers.items()}
            if now != seen:
                seen, since = now, loop.time()
            await asyncio.sleep(0.05)
    return seen


async def test_the_clock_of_an_owner_is_set(
    stack: AsyncExitStack, cluster: Cluster, tmp_path: Path, watch: Watch
) -> None:
    """On by an hour and back by two, again and again: no proxy and no link is lost."""
    await cluster.build(NAMES, [DEVICE], profile="2026.7.0")
    owners = [
        OwnerProcess(
            tmp_path / name,
            name,
            cluster.proxies(),
            servers=cluster.server.url,
            lease=LEASE,
        )
        for name in ("a", "b")
    ]
    for owner in owners:
        owner.program = stepping.PROGRAM
        stack.push_async_callback(owner.stop)
        await owner.start()
    url = cluster.server.url
    async with Fleet(cluster=url, discover=False, state=None, owner=False) as fleet:
        before = await settled(cluster, watch)
        client = await connect(fleet)
        for number in (stepping.ON, stepping.BACK, stepping.ON, stepping.ON, stepping.BACK):
            for owner in owners:
                owner.send_signal(number)
                assert await client.read_gatt_char(READ) == b"value 1"
            await asyncio.sleep(0.5 * LEASE)
        assert await client.read_gatt_char(READ) == b"value 1"
        await client.disconnect()
        again = await connect(fleet)
        await again.disconnect()
    assert watch.doubles == []
    assert watch.subscribers == before, "a proxy has changed hands"
    await until(lambda: not cluster.proxy("attic").snapshot().slots)


async def two_owners(cluster: Cluster) -> list[Member]:
    """Return two owners that have shared out the proxies."""
    await cluster.build(NAMES, [DEVICE], profile="2026.7.0")
    members = [await cluster.owner("a"), await cluster.owner("b")]
    await until(lambda: cluster.shared_out(NAMES))
    return members


async def test_the_clock_of_the_broker_is_set_on(cluster: Cluster, bus: Bus, watch: Watch) -> None:
    """Every lease and every held device has run out at once: each is still whose it was."""
    members = await two_owners(cluster)
    before = [member.has for member in members]
    sessions = {name: list(known) for name, known in watch.subscribers.items()}
    client = await connect(members[0].fleet)
    subjects = bus.subjects
    for _ in range(3):
        await run_out(
            bus, subjects.leases, subjects.owners, subjects.wishes, subjects.bucket("held")
        )
        await asyncio.sleep(0.7 * LEASE)
        assert await client.read_gatt_char(READ) == b"value 1"
        assert [member.has for member in members] == before
        for member in members:
            with pytest.raises(LinkError) as caught:
                await member.fleet.client_class(BleakClient)(address(1)).connect()
            assert caught.value.kind is ErrorKind.IN_USE
    await client.disconnect()
    assert watch.doubles == []
    assert {name: list(known) for name, known in watch.subscribers.items()} == sessions
    await until(lambda: not cluster.proxy("attic").snapshot().slots)


async def test_the_clock_of_the_broker_is_set_back(
    stack: AsyncExitStack, cluster: Cluster, bus: Bus, server: NatsServer, tmp_path: Path,
    watch: Watch,
) -> None:  # fmt: skip
    """The leases of an owner that has died stay in the store for hours: others do not wait."""
    await cluster.build(NAMES, profile="2026.7.0")
    first = OwnerProcess(tmp_path / "a", "a", cluster.proxies(), servers=server.url, lease=LEASE)
    stack.push_async_callback(first.stop)
    await first.start()
    await until(lambda: served(cluster) == len(NAMES))
    # Its configuration names the proxies, so that they are its own while it lives.
    second = await cluster.owner("b", "elsewhere", finds=True)
    for bucket in (bus.subjects.leases, bus.subjects.owners):
        await stay(bus, bucket)
    await asyncio.sleep(2 * LEASE)
    assert second.has == set(), "who lives keeps what it has"
    await first.stop()
    await until(lambda: second.ready == set(NAMES), 4 * LEASE + DEADLINE)
    assert watch.doubles == []
