"""`proxyconn cluster` and `proxyconn serve --cluster`, as people run them."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from pathlib import Path

import pytest

from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn_cluster.configuration import parse_cluster
from proxyconn_cluster.settings import ClusterSettings, WhenCutOff

from .nats_server import NatsServer, free_port
from .place import Cluster, until

FULL = """
[cluster]
servers = "tls://a:4222,nats://b"
fleet = "hotel"
site = "north"
name = "north-1"
nkey = "/etc/owner.nk"
ca = "/etc/ca.pem"
domain = "north"
lease = 3
when_cut_off = "stay"
"""


async def start(folder: Path, *arguments: str) -> asyncio.subprocess.Process:
    """Start a command."""
    env = os.environ | {"RUNTIME_DIRECTORY": str(folder), "HOME": str(folder), "COLUMNS": "140"}
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "proxyconn", *arguments,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env=env,
    )  # fmt: skip


async def proxyconn(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """Run a command; return its exit code, and what it prints."""
    process = await start(folder, *arguments)
    async with asyncio.timeout(30):
        out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def test_show_and_move(cluster: Cluster, server: NatsServer, tmp_path: Path) -> None:
    """The owners are shown with what they have, and a proxy is moved by its name."""
    await cluster.build(["attic", "hall"])
    members = [await cluster.owner(name, name) for name in ("north", "south")]
    await until(lambda: cluster.shared_out(["attic", "hall"]))
    code, out, err = await proxyconn(tmp_path, "cluster", "--cluster", server.url)
    assert (code, err) == (0, "")
    assert all(text in out for text in ("attic", "hall", members[0].owner, members[1].owner))
    [holder] = [one for one in members if "attic" in one.has]
    [other] = [one for one in members if one is not holder]
    move = ("cluster", "move", "attic", other.owner, "--cluster", server.url, "--json")
    code, out, err = await proxyconn(tmp_path, *move)
    assert (code, err) == (0, "")
    assert json.loads(out)["moved"] is True
    code, out, _ = await proxyconn(tmp_path, "cluster", "--cluster", server.url, "--json")
    owners = {one["owner"]: one for one in json.loads(out)["owners"]}
    assert "attic" in {proxy["name"] for proxy in owners[other.owner]["proxies"]}


async def test_a_move_that_does_not_happen(
    cluster: Cluster, server: NatsServer, tmp_path: Path
) -> None:
    """An owner that does not see a proxy does not get it: whoever gave it hears that, and why."""
    await cluster.build(["attic", "hall"])
    await cluster.owner("north", sees=["attic"])
    south = await cluster.owner("south", sees=["hall"])
    await until(lambda: cluster.shared_out(["attic", "hall"]))
    move = ("cluster", "move", "attic", south.owner, "--cluster", server.url)
    code, _, err = await proxyconn(tmp_path, *move)
    assert code == 1
    assert f"attic is not {south.owner}'s yet" in " ".join(err.split())


async def test_nobody_is_there(server: NatsServer, tmp_path: Path) -> None:
    """Without owners, or without a broker, it is said how to start one; no owner goes on alone."""
    url = f"nats://127.0.0.1:{free_port()}"
    serve = ("serve", "--cluster", url, "--api", "127.0.0.1:0", "--no-announce")
    (_, out, _), (_, hotel, _), (failed, _, why), (refused, _, how), owner = await asyncio.gather(
        proxyconn(tmp_path, "cluster", "--cluster", server.url),
        proxyconn(tmp_path, "cluster", "--cluster", server.url, "--fleet", "hotel"),
        proxyconn(tmp_path, "cluster", "--cluster", url),
        proxyconn(tmp_path, "cluster"),
        proxyconn(tmp_path, *serve),
    )
    assert "no owner of fleet house answers; start one: proxyconn serve --cluster" in out
    assert f"proxyconn serve --cluster {server.url} --fleet hotel\n" in hotel
    assert failed == 1
    assert "no NATS server answers" in why
    assert owner[0] == 1
    assert "no NATS server answers" in owner[2]
    assert refused == 2
    assert "no cluster: name one with --cluster" in how


async def test_owner_that_listens_in_vain_says_so(server: NatsServer, tmp_path: Path) -> None:
    """Proxies that call are not shared out: whoever starts such an owner reads what to do."""
    serve = ("serve", "--cluster", server.url, "--listen", str(free_port()))
    process = await start(
        tmp_path, *serve, "--no-discover", "--api", "127.0.0.1:0", "--no-announce"
    )
    assert process.stderr
    said = b""
    async with asyncio.timeout(30):
        while b"without a cluster for them" not in said:
            line = await process.stderr.readline()
            assert line, said
            said += line
        process.terminate()
        await process.communicate()
    assert b"proxies that call by themselves are not shared out in a cluster yet" in said


def test_configuration() -> None:
    """Everything under [cluster] counts, and options go before it."""
    table = parse_config(FULL, "config.toml").cluster
    expected = ClusterSettings(
        ("tls://a:4222", "nats://b"),
        fleet="hotel",
        site="north",
        name="north-1",
        nkey=Path("/etc/owner.nk"),
        ca=Path("/etc/ca.pem"),
        domain="north",
        lease=3.0,
        when_cut_off=WhenCutOff.STAY,
    )
    assert parse_cluster(table, cluster=None, fleet=None) == expected
    other = parse_cluster(table, cluster="nats://c", fleet="boat", lease=None)
    assert other is not None
    assert (other.servers, other.fleet, other.site) == (("nats://c",), "boat", "north")
    assert parse_cluster(None, cluster=None, fleet=None) is None


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('servers = "nats://me:secret@a"', "must not have a name, password or token in it"),
        ('fleet = "a"', "say which"),
        ('servers = "nats://a"\nlease = 1', "a lease must be 2 to 3600 s, not 1"),
        ('servers = "nats://a"\nwhen_cut_off = "panic"', 'must be "let_go" or "stay"'),
        ('servers = "nats://a"\nsite = "a.b"', "the name of a site must be"),
        ('servers = "nats://a"\nsites = 1', "sites is unknown; did you mean site"),
    ],
)
def test_wrong_configuration(line: str, said: str) -> None:
    """What is wrong is said with its place, and no secret is repeated."""
    table = parse_config(f"[cluster]\n{line}\n", "config.toml").cluster
    with pytest.raises(ConfigError) as caught:
        parse_cluster(table)
    assert said in str(caught.value)
    assert str(caught.value).startswith("config.toml: cluster: ")
    assert "secret" not in str(caught.value)
