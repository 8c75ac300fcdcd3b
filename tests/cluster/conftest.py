"""What the tests of the cluster share: a real nats-server, with JetStream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from proxyconn_cluster.bus import dialling
from proxyconn_cluster.bus.connection import Bus, opened
from proxyconn_cluster.settings import ClusterSettings

from .nats_server import NatsServer
from .place import Cluster
from .village import Village, address, peripheral, until

MakeServer = Callable[..., Awaitable[NatsServer]]
MakeBus = Callable[..., Awaitable[Bus]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Yield what ends everything that a test has entered, the last first."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
async def make_server(stack: AsyncExitStack, tmp_path: Path) -> MakeServer:
    """Return what starts a server; arguments as of `NatsServer`, without the folder."""
    made: list[NatsServer] = []

    async def make(config: str = "", **options: Any) -> NatsServer:
        server = NatsServer(tmp_path / f"nats-{len(made)}", config, **options)
        made.append(server)
        stack.push_async_callback(server.stop)
        await server.start()
        return server

    return make


@pytest.fixture
def soon_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a broker that does not answer be given up after one second."""
    monkeypatch.setattr(dialling, "CONNECT_TIMEOUT", 1.0)


@pytest.fixture
async def server(make_server: MakeServer) -> NatsServer:
    """Return a server with JetStream."""
    return await make_server()


@pytest.fixture
async def make_bus(stack: AsyncExitStack) -> MakeBus:
    """Return what connects to a server; settings of `ClusterSettings` may be given."""

    async def make(server: NatsServer, name: str = "tester", **settings: Any) -> Bus:
        wanted = ClusterSettings((server.url,), **settings)
        return await stack.enter_async_context(opened(wanted, name))

    return make


@pytest.fixture
async def bus(server: NatsServer, make_bus: MakeBus) -> Bus:
    """Return a connection to the server."""
    return await make_bus(server)


@pytest.fixture
async def cluster(stack: AsyncExitStack, server: NatsServer, tmp_path: Path) -> Cluster:
    """Return a cluster without proxies and owners yet."""
    return Cluster(stack, server, tmp_path)


@pytest.fixture
async def village(stack: AsyncExitStack, server: NatsServer) -> AsyncIterator[Village]:
    """Yield two owners with a proxy each; no device may be held twice, and no slot be left.

    The barn has no owner yet.
    """
    village = Village(stack, server)
    await village.build(
        [
            peripheral(1),
            peripheral(2, north=-50),
            peripheral(3, south=-50),
            peripheral(4, barn=-50),
        ],
        ("north", "south", "barn"),
    )
    await village.own("north")
    await village.own("south")
    fleets = {name: owner.fleet for name, owner in village.owners.items()}
    heard = ("north", 1), ("north", 2), ("south", 1), ("south", 3)
    await until(lambda: all(fleets[name].paths(address(number)) for name, number in heard))
    yield village
    await village.is_tidy()
