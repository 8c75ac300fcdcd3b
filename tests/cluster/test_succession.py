"""An owner that died and is started again has its proxies at once, and nobody else's."""

from __future__ import annotations

import asyncio
import json
import shutil
import sys
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.membership import joined
from proxyconn_cluster.ownership import succession
from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.ownership.succession import FILE, succeed
from proxyconn_cluster.settings import ClusterSettings

from .conftest import MakeServer
from .place import LEASE, Cluster, until
from .processes import OwnerProcess

LONG = 120.0
"""Seconds of a lease that nobody waits for in a test."""

HOLD = """
import sys, time
from pathlib import Path
from proxyconn_cluster.ownership.succession import succeed
held = succeed(Path(sys.argv[1]), "a-1")
print("held", flush=True)
time.sleep(600)
"""


def end(folder: Path, owner: str) -> str | None:
    """Return whom a run has followed that is over."""
    found = succeed(folder, owner)
    found.end()
    return found.predecessor


def test_who_ran_before(tmp_path: Path) -> None:
    """Each run knows the one before, and a new folder none."""
    assert end(tmp_path / "new", "a-1") is None
    assert end(tmp_path / "new", "a-2") == "a-1"
    assert end(tmp_path / "new", "a-3") == "a-2"


def test_of_one_that_never_began(tmp_path: Path) -> None:
    """A run that fails at its start leaves what it has found; one that has left leaves nothing."""
    end(tmp_path, "a-1")
    succeed(tmp_path, "a-2").give_up()
    third = succeed(tmp_path, "a-3")
    assert third.predecessor == "a-1"
    third.leave()
    assert end(tmp_path, "a-4") is None


async def test_a_start_that_fails(make_server: MakeServer, tmp_path: Path) -> None:
    """Whose leases are left is known again to the next; who has left in order is followed by none.

    A broker without a store is one that is being set up.
    """
    bare, server = await make_server(jetstream=False), await make_server()
    await asyncio.to_thread(end, tmp_path, "a-1")
    for _ in range(2):
        with pytest.raises(ClusterError):
            async with joined(ClusterSettings((bare.url,), name="a"), tmp_path):
                pass
    async with joined(ClusterSettings((server.url,), name="a", lease=LEASE), tmp_path) as member:
        assert member.members.buried == "a-1"
        await asyncio.sleep(1.1 * LEASE)
    assert await asyncio.to_thread(end, tmp_path, "a-9") is None


def test_of_one_that_lives(tmp_path: Path) -> None:
    """A run that goes on is followed by nobody, whether it answers or not."""
    first = succeed(tmp_path, "a-1")
    assert end(tmp_path, "a-2") is None
    first.end()
    assert end(tmp_path, "a-3") == "a-1", "who had no lock has written nothing down"


def test_a_copy_proves_nothing(tmp_path: Path) -> None:
    """The lock of a copied folder is another one than that of who may still run."""
    end(tmp_path / "one", "a-1")
    shutil.copytree(tmp_path / "one", tmp_path / "other")
    assert end(tmp_path / "other", "b-1") is None


def test_another_boot_proves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another boot may be another machine that has the same folder."""
    end(tmp_path, "a-1")
    boot = tmp_path / "boot"
    boot.write_text("another\n", encoding="ascii")
    monkeypatch.setattr(succession, "BOOT_ID", boot)
    assert end(tmp_path, "a-2") is None
    assert end(tmp_path, "a-3") == "a-2"
    monkeypatch.setattr(succession, "BOOT_ID", tmp_path / "none")
    assert end(tmp_path, "a-4") is None


@pytest.mark.parametrize("text", ["", "{", "[]", '{"owner": 1}', "\xff", "[" * 4096])
def test_nonsense_proves_nothing(tmp_path: Path, text: str) -> None:
    """A file that says something else is written anew."""
    (tmp_path / FILE).write_text(text, encoding="latin-1")
    assert end(tmp_path, "a-1") is None


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Without a folder nobody is followed, and nothing fails."""
    file = tmp_path / "file"
    file.touch()
    assert end(file, "a-1") is None


async def test_of_one_that_was_killed(tmp_path: Path) -> None:
    """A process that is killed holds no lock any more; while it is stopped, it does."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", HOLD, str(tmp_path), stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout
    assert await process.stdout.readline() == b"held\n"
    said = await asyncio.to_thread((tmp_path / FILE).read_text)
    assert json.loads(said)["owner"] == "a-1"
    assert await asyncio.to_thread(end, tmp_path, "a-2") is None
    process.kill()
    await process.communicate()
    assert await asyncio.to_thread(end, tmp_path, "a-3") == "a-1"


async def test_started_again(
    stack: AsyncExitStack, cluster: Cluster, bus: Bus, tmp_path: Path
) -> None:
    """After kill -9 an owner has its proxies long before its own lease is over, no other's."""
    await cluster.build(["attic", "hall", "porch"])
    leases = await bus.bucket(bus.subjects.leases, LONG)
    for name, owner in (("attic", "a-1"), ("hall", "a-1"), ("porch", "a-2")):
        lease = Lease(sender=owner, owner=owner, site="home", name=name)
        await leases.create(cluster.proxy(name).mac.replace(":", "").lower(), encode(lease))
    process = OwnerProcess(
        tmp_path / "a", "a", cluster.proxies(), servers=cluster.server.url, lease=LONG
    )
    await asyncio.to_thread(end, tmp_path / "a" / "state", "a-1")
    stack.push_async_callback(process.stop)

    def used() -> set[str]:
        every = cluster.all_proxies
        return {one.spec.name for one in every if one.snapshot().subscriber is not None}

    for _ in range(3):
        await process.start()
        await until(lambda: used() == {"attic", "hall"}, LONG / 3)
        await process.stop()
        await until(lambda: used() == set())
