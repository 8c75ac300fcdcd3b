"""`proxyconn doctor` on a cluster: each trouble made with a real server, and told."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from nats.aio.msg import Msg

from proxyconn.cli.config_file import Table
from proxyconn.cli.examination.examine import ORDER
from proxyconn.models import Finding, Level
from proxyconn.radio import FleetOptions
from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.messages import MAJOR, encode
from proxyconn_cluster.bus.subjects import Subjects
from proxyconn_cluster.checks import checks, owners
from proxyconn_cluster.checks.clocks import SLACK, Reading, of_clocks
from proxyconn_cluster.checks.permissions import rights
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.ownership.records import OwnerState
from tests.doctor.conftest import Look, home, look

from .conftest import MakeBus, MakeServer
from .nats_server import NatsServer, free_port
from .place import LEASE, Cluster, until
from .test_security import Users, from_page, make_keys, users

__all__ = ["home", "look", "users"]

OK, NOTE, WARNING, PROBLEM = Level.OK, Level.NOTE, Level.WARNING, Level.PROBLEM
Examined = dict[str, list[Finding]]
Examine = Callable[..., Awaitable[Examined]]


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the doctor listen for less than it does: who speaks here, speaks often."""
    monkeypatch.setattr(owners, "LISTEN", 0.4)


async def examined(url: str, **said: object) -> Examined:
    """Return what is found about a configured cluster, by check."""
    table = Table("config.toml", "cluster", {"servers": url, "lease": LEASE, **said})
    found: Examined = {}
    for one in await checks(FleetOptions(cluster=table), []):
        assert one.check in ORDER
        found.setdefault(one.check, []).append(one)
    return found


def only(found: Examined, check: str) -> Finding:
    """Return the one finding of a check."""
    [one] = found[check]
    return one


async def test_without_a_cluster_nothing_is_said(look: Look) -> None:
    """No check of a cluster where none is configured."""
    assert not any(check.startswith("cluster") for _, check in await look())


async def test_all_is_well(cluster: Cluster, server: NatsServer, look: Look) -> None:
    """With an owner, each check is in order; they are among all that the doctor finds."""
    await cluster.build(["attic"])
    member = await cluster.owner("a", "north")
    await until(lambda: member.ready == {"attic"})
    table = Table("config.toml", "cluster", {"servers": server.url, "lease": LEASE})
    found = {
        check: one
        for (_, check), one in (await look(cluster=table)).items()
        if check.startswith("cluster")
    }
    assert {check: one.level for check, one in found.items()} == dict.fromkeys(
        (one for one in ORDER if one.startswith("cluster")), OK
    )
    assert f"{member.owner} (north)" in found["cluster-owners"].seen
    assert "the broker" in found["cluster-clocks"].seen
    assert member.owner in found["cluster-clocks"].seen


async def test_nobody_notices(
    cluster: Cluster, server: NatsServer, make_bus: MakeBus, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is stored, no owner warns, and whose each proxy is stays as it was."""
    await cluster.build(["attic", "hall"])
    members = [await cluster.owner(name) for name in ("a", "b")]
    await until(lambda: cluster.shared_out(["attic", "hall"]))
    before = [member.has for member in members]
    bus = await make_bus(server)
    await bus.bucket(bus.subjects.bucket("held"), 60)
    keys = [await stored(bus.subjects.bucket(name), bus) for name in ("wishes", "held")]
    caplog.clear()
    await examined(server.url)
    assert [await stored(bus.subjects.bucket(name), bus) for name in ("wishes", "held")] == keys
    for name in ("leases", "owners"):
        info = await bus.jetstream.stream_info(f"KV_{bus.subjects.bucket(name)}", "$KV.*._doctor")
        assert not info.state.subjects
    assert [member.has for member in members] == before
    assert [one for one in caplog.records if one.name.startswith("proxyconn")] == []


async def stored(bucket: str, bus: Bus) -> int:
    """Return how many entries were ever put into a bucket."""
    info = await bus.jetstream.stream_info(f"KV_{bucket}")
    return int(info.state.last_seq)


@pytest.mark.usefixtures("soon_given_up")
async def test_no_broker(look: Look) -> None:
    """That nobody answers is the one thing that is told of the cluster."""
    found = await examined(f"nats://127.0.0.1:{free_port()}")
    assert set(found) == {"cluster"}
    one = only(found, "cluster")
    assert (one.level, "no NATS server answers at" in one.seen) == (PROBLEM, True)
    assert "start one (`nats-server --jetstream`)" in one.seen


async def test_credentials(users: Users, tmp_path: Path) -> None:
    """Refused ones, and a file that is none."""
    url = users.server.url
    one = only(await examined(url), "cluster")
    assert (one.level, "refuses us" in one.seen) == (PROBLEM, True)
    nonsense = tmp_path / "nonsense"
    await asyncio.to_thread(nonsense.write_text, "SUSPICIOUS\nSU\n")
    one = only(await examined(url, nkey=str(nonsense)), "cluster")
    assert (one.level, "is no nkey file" in one.seen) == (PROBLEM, True)


async def test_a_configuration_that_cannot_be() -> None:
    """As the command says it, with the place."""
    one = only(await examined("nats://me:secret@a"), "cluster")
    assert one.level is PROBLEM
    assert one.seen.startswith("config.toml: cluster: must not have a name, password")


@pytest.mark.parametrize(
    ("role", "level", "said"),
    [
        ("OWNER", OK, "may do all that an owner does"),
        ("CLIENT", WARNING, "enough for programs that own nothing, not for `proxyconn serve`"),
        ("VIEWER", WARNING, "enough to look, not for `proxyconn serve`"),
    ],
)
async def test_roles_of_the_page(users: Users, role: str, level: Level, said: str) -> None:
    """Each user of the documented configuration is told what it is good for."""
    found = await examined(users.server.url, nkey=str(users.files[role]))
    one = only(found, "cluster-permissions")
    assert (one.level, said in one.seen) == (level, True), one.seen
    assert ("cluster-store" in found) == (role == "OWNER")
    assert only(found, "cluster-owners").level is NOTE


GAPS = [
    (
        '"proxyconn.v1.house.>", "_INBOX.>",\n  "$KV.proxyconn_v1_house_leases.>",',
        "publish to proxyconn.v1.house._all.owners",
    ),
    ('"$KV.proxyconn_v1_house_leases.>", ', "publish to $KV.proxyconn_v1_house_leases._doctor"),
    (
        '"$JS.API.STREAM.MSG.GET.KV_proxyconn_v1_house_wishes",',
        "publish to $JS.API.STREAM.MSG.GET.KV_proxyconn_v1_house_wishes",
    ),
    (
        '"$JS.API.CONSUMER.*.KV_proxyconn_v1_house_owners", ',
        "publish to $JS.API.CONSUMER.CREATE.KV_proxyconn_v1_house_owners",
    ),
]


@pytest.mark.parametrize(("missing", "said"), GAPS)
async def test_a_right_that_is_missing_is_named(
    make_server: MakeServer, tmp_path: Path, missing: str, said: str
) -> None:
    """The subject is told, where the configuration of an owner has a gap."""
    public, files = await asyncio.to_thread(make_keys, tmp_path)
    text = await asyncio.to_thread(from_page, public)
    assert missing in text
    server = await make_server(text.replace(missing, "", 1))
    one = only(await examined(server.url, nkey=str(files["OWNER"])), "cluster-permissions")
    assert one.level in (WARNING, PROBLEM)
    assert said in one.seen
    assert "docs/cluster.md" in (one.advice or "")


async def test_no_jetstream(make_server: MakeServer) -> None:
    """A server without it is told how to be started."""
    server = await make_server(jetstream=False)
    one = only(await examined(server.url), "cluster-store")
    assert (one.level, "nats-server --jetstream" in one.seen) == (PROBLEM, True)


async def test_leases_of_another_length(cluster: Cluster, server: NatsServer) -> None:
    """The first owner has said how long they are."""
    await cluster.build(["attic"])
    await cluster.owner("a", lease=LEASE)
    one = only(await examined(server.url, lease=LEASE + 1), "cluster-store")
    assert (one.level, f"leases are for {LEASE:g} s here" in one.seen) == (NOTE, True)


@pytest.mark.parametrize("root", ["proxyconn.v1", "proxyconn.v0"])
async def test_an_owner_of_a_version_that_is_too_old(
    server: NatsServer, make_bus: MakeBus, root: str
) -> None:
    """It is named, whether it speaks where this version does or where its own does."""
    bus = await make_bus(server, "old")
    status = encode(
        Status(v=(MAJOR - 1, 7), sender="old-1", site="home", run="1", number=1, lease=LEASE)
    )

    async def speak() -> None:
        while True:
            await bus.client.publish(f"{root}.house.home.member.old-1.1", status)
            await asyncio.sleep(0.05)

    speaking = asyncio.get_running_loop().create_task(speak())
    try:
        found = await examined(server.url)
    finally:
        speaking.cancel()
        await asyncio.gather(speaking, return_exceptions=True)
    [problem] = [one for one in found["cluster-owners"] if one.level is PROBLEM]
    assert "'old-1' speaks version 0" in problem.seen
    assert "update proxyconn where it runs" in problem.seen


async def test_owners_that_differ_and_one_that_is_cut_off(
    server: NatsServer, make_bus: MakeBus
) -> None:
    """Versions that understand each other are a note, an owner without the store a warning."""
    for name, version, cut_off, ahead in (("a", "0.9", False, 0.0), ("b", "1.0", True, 3600.0)):
        bus = await make_bus(server, name)
        await bus.subscribe(
            bus.subjects.ask_owners(), answering(bus, name, version, cut_off, ahead)
        )
    found = await examined(server.url)
    levels = {one.level: one.seen for one in found["cluster-owners"]}
    assert "a (home), b (home) answer" in levels[OK]
    assert "versions 0.9, 1.0" in levels[NOTE]
    assert levels[WARNING].startswith("b does not reach the store")
    one = only(found, "cluster-clocks")
    assert one.level is WARNING
    assert "the clock of b is 3" in one.seen
    assert "ahead of this one" in one.seen


def answering(
    bus: Bus, name: str, version: str, cut_off: bool, ahead: float
) -> Callable[[Msg], Awaitable[None]]:
    """Return what answers for an owner."""

    async def answer(msg: Msg) -> None:
        state = OwnerState(
            sender=name,
            owner=name,
            site="home",
            version=version,
            pid=1,
            age=1.0,
            lease=LEASE,
            cut_off=cut_off,
            sees=0,
            clock=time.time() + ahead,
        )
        await bus.answer(msg, encode(state))

    return answer


@pytest.mark.parametrize(
    ("says", "ahead"),
    [(100.0, 0.0), (101.0, 0.0), (102.0, 0.0), (90.0, -10.0), (112.0, 10.0)],
)
def test_what_a_clock_is_off(says: float, ahead: float) -> None:
    """Whatever was said between the question and the answer may be right."""
    one = Reading("x", says, 100.0, 102.0)
    assert one.ahead == ahead
    assert of_clocks([one])[0].level is (WARNING if abs(ahead) > SLACK else OK)


def test_every_right_is_tried_once() -> None:
    """No subject is tried twice in the same way."""
    tried = [(one.subject, one.publishes) for one in rights(Subjects("house"), "home")]
    assert len(tried) == len(set(tried)) > 30
