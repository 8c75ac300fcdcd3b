"""Owners that sleep, die and are cut off: no proxy ever has two subscribers that send."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxyconn import Fleet

from .nats_server import NatsServer
from .place import DEADLINE, LEASE, READ, Cluster, connect, peripheral, until
from .processes import OwnerProcess, Watch, watching

DEVICE = peripheral(1, attic=-50)
NAMES = ("attic", "cellar", "hall", "kitchen")


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Watch:
    """Return what the proxies see, to the byte."""
    return watching(monkeypatch)


class Owners:
    """Owners in processes of their own, all of which see every proxy."""

    def __init__(self, stack: AsyncExitStack, cluster: Cluster, folder: Path) -> None:
        self._stack = stack
        self._cluster = cluster
        self._folder = folder

    async def start(self, name: str, server: NatsServer, **cluster: str | float) -> OwnerProcess:
        """Start one."""
        options: dict[str, str | float] = {"servers": server.url, "lease": LEASE, **cluster}
        one = OwnerProcess(self._folder / name, name, self._cluster.proxies(), **options)
        self._stack.push_async_callback(one.stop)
        await one.start()
        return one


@pytest.fixture
async def owners(stack: AsyncExitStack, cluster: Cluster, tmp_path: Path) -> Owners:
    """Return what starts owners, with proxies of which the newest client is served."""
    await cluster.build(NAMES, [DEVICE], profile="2026.7.0")
    return Owners(stack, cluster, tmp_path / "owners")


def served(cluster: Cluster) -> int:
    """Return how many proxies have a subscriber."""
    return sum(proxy.snapshot().subscriber is not None for proxy in cluster.all_proxies)


def replaced(watch: Watch) -> int:
    """Return how many subscribers were replaced by another one."""
    return sum(len(sessions) - 1 for sessions in watch.subscribers.values())


async def test_killed_owner_is_replaced(cluster: Cluster, owners: Owners, watch: Watch) -> None:
    """What an owner had that was killed is taken over by another one, once its leases are over."""
    first = await owners.start("a", cluster.server)
    await until(lambda: served(cluster) == len(NAMES))
    await owners.start("b", cluster.server)
    await first.stop()
    began = asyncio.get_running_loop().time()
    await until(lambda: served(cluster) == len(NAMES))
    took = asyncio.get_running_loop().time() - began
    assert took < 2 * LEASE + 1.0
    assert watch.doubles == []


async def test_sleeper_sends_nothing_to_what_it_has_lost(
    cluster: Cluster, owners: Owners, watch: Watch
) -> None:
    """An owner that was stopped for longer than its leases says not a byte when it goes on."""
    first = await owners.start("a", cluster.server)
    await until(lambda: served(cluster) == len(NAMES))
    first.send_signal(signal.SIGSTOP)
    before = dict(watch.sent)
    await owners.start("b", cluster.server)
    await until(lambda: replaced(watch) == len(NAMES), 2 * DEADLINE)
    first.send_signal(signal.SIGCONT)
    await asyncio.sleep(2 * LEASE)
    assert {key: watch.sent[key] for key in before} == before
    assert watch.doubles == []
    assert served(cluster) == len(NAMES)
    assert b"not ours any more" in await asyncio.to_thread((first.folder / "log").read_bytes)


async def test_links_of_a_sleeper_are_ended(cluster: Cluster, owners: Owners, watch: Watch) -> None:
    """What a proxy holds for an owner that has vanished keeps nobody out, and is soon free again.

    The proxy does not notice that the owner sleeps: its session, and the link, are still there.
    """
    first = await owners.start("a", cluster.server)
    await until(lambda: served(cluster) == len(NAMES))
    url = cluster.server.url
    async with Fleet(cluster=url, discover=False, state=None, owner=False) as fleet:
        client = await connect(fleet)
        assert await client.read_gatt_char(READ) == b"value 1"
        await owners.start("b", cluster.server)
        first.send_signal(signal.SIGSTOP)
        await until(lambda: not client.is_connected, 2 * DEADLINE)
        await until(lambda: replaced(watch) == len(NAMES), 2 * DEADLINE)
        again = await connect(fleet)
        assert await again.read_gatt_char(READ) == b"value 1"
        assert len(cluster.proxy("attic").snapshot().slots) == 1
        first.send_signal(signal.SIGCONT)
        await asyncio.sleep(2 * LEASE)
        assert await again.read_gatt_char(READ) == b"value 1"
        assert watch.doubles == []
        await again.disconnect()
    await until(lambda: not cluster.proxy("attic").snapshot().slots)
