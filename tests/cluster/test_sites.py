"""Sites with brokers of their own, and brokers that forget."""

from __future__ import annotations

import asyncio
import shutil
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxyconn_cluster.settings import WhenCutOff

from .conftest import MakeServer
from .line import Line
from .nats_server import NatsServer, free_port
from .place import LEASE, READ, Cluster, connect, peripheral, until
from .processes import OwnerProcess, watching

NAMES = ("attic", "hall")


async def test_site_goes_on_when_it_is_cut_off(
    stack: AsyncExitStack,
    cluster: Cluster,
    make_server: MakeServer,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Owners of a site with a broker of its own replace each other though the line is cut."""
    watch = watching(monkeypatch)
    nodes = free_port()
    hub = await make_server(f"leafnodes {{ listen: 127.0.0.1:{nodes} }}", domain="hub")
    remote = f'{{ url: "nats-leaf://127.0.0.1:{nodes}" }}'
    leaf = await make_server(f"leafnodes {{ remotes: [ {remote} ] }}", domain="north")
    await cluster.build(NAMES, profile="2026.7.0")
    owners = []
    for name in ("a", "b"):
        one = OwnerProcess(
            tmp_path / name, name, cluster.proxies(), servers=leaf.url, lease=LEASE, domain="north"
        )
        stack.push_async_callback(one.stop)
        await one.start()
        owners.append(one)
    proxies = cluster.all_proxies
    await until(lambda: all(one.snapshot().subscriber is not None for one in proxies))
    await hub.stop()
    await asyncio.sleep(2 * LEASE)
    assert all(len(one.snapshot().clients) == 1 for one in proxies)
    await owners[0].stop()
    await until(lambda: all(one.snapshot().subscriber is not None for one in proxies))
    await hub.start()
    await asyncio.sleep(LEASE)
    assert all(len(one.snapshot().clients) == 1 for one in proxies)
    assert watch.doubles == []


async def test_who_stayed_gives_way_when_the_line_is_mended(
    cluster: Cluster, server: NatsServer, stack: AsyncExitStack
) -> None:
    """An owner that is told to stay has its proxies while it is cut off.

    If another one has taken them meanwhile, because it reaches them too, it has them for good.
    """
    await cluster.build(["attic"], profile="2026.7.0")
    line = Line(server.port)
    await line.open()
    stack.push_async_callback(line.cut)
    first = await cluster.owner("a", url=line.url, when_cut_off=WhenCutOff.STAY)
    await until(lambda: first.ready == {"attic"})
    await line.cut()
    await asyncio.sleep(2 * LEASE)
    assert first.has == {"attic"}
    second = await cluster.owner("b")
    await until(lambda: second.has == {"attic"})
    await line.mend()
    await until(lambda: cluster.shared_out(["attic"]))
    await asyncio.sleep(LEASE)
    assert cluster.shared_out(["attic"])
    assert len(cluster.proxy("attic").snapshot().clients) == 1


async def test_broker_that_forgets(
    cluster: Cluster, server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A store that has lost its leases is no proof that nobody has a proxy."""
    watch = watching(monkeypatch)
    await cluster.build(["attic"], [peripheral(1, attic=-50)], profile="2026.7.0")
    members = [await cluster.owner("a"), await cluster.owner("b")]
    await until(lambda: cluster.shared_out(["attic"]))
    [holder] = [one for one in members if one.has]
    client = await connect(holder.fleet)
    await server.stop()
    await asyncio.to_thread(shutil.rmtree, server.folder / "store")
    await server.start()
    # One that comes just now has never heard of a lease.
    members.append(await cluster.owner("c"))
    await asyncio.sleep(3 * LEASE)
    assert holder.has == {"attic"}
    assert await client.read_gatt_char(READ) == b"value 1"
    assert watch.doubles == []
    await client.disconnect()
