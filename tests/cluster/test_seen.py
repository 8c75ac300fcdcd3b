"""A cluster as one of its owners shows it: in the snapshot, on the page's tables, as metrics."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prometheus_client.parser import text_string_to_metric_families

from proxyconn import Fleet
from proxyconn.watch.feed import Feed
from proxyconn_cluster.bus.messages import MAJOR, encode
from proxyconn_cluster.exchange.status import Status
from proxyconn_web.metrics import Metrics

from .nats_server import NatsServer
from .place import Cluster, Member, until

SCHEMA = Path(__file__).parents[2] / "docs" / "api.schema.json"
DEFS = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]
NAMES = ["attic", "hall"]


@pytest.fixture
async def owners(cluster: Cluster) -> list[Member]:
    """Return two owners on two sites, which have shared out two proxies."""
    await cluster.build(NAMES)
    made = [await cluster.owner(name, site) for name, site in (("a", "north"), ("b", "south"))]
    await until(lambda: cluster.shared_out(NAMES))
    await until(
        lambda: all({radio.name for radio in one.fleet.radios} >= set(NAMES) for one in made)
    )
    return made


def feed_of(fleet: Fleet) -> Feed:
    """Return the state of a fleet, for readers."""
    about = {"program": "test", "version": "0", "pid": 1, "started": 0.0, "name": "test"}
    return Feed(fleet.inspection(), about=about)


async def seen(feed: Feed, met: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
    """Return the snapshot as soon as something holds of it; it fits the documented schema."""
    await until(lambda: met(feed.snapshot()))
    snapshot: dict[str, Any] = json.loads(json.dumps(feed.snapshot()))
    jsonschema.validate(snapshot, {"$ref": "#/$defs/snapshot", "$defs": DEFS})
    return snapshot


def owner_of(snapshot: dict[str, Any]) -> dict[str, str]:
    """Return whose each radio is."""
    return {name: radio["owner"] for name, radio in snapshot["radios"].items()}


async def test_every_owner_is_seen_with_what_it_has(owners: list[Member]) -> None:
    """Each owner shows all of them, whose each radio is, and itself as itself."""
    wanted = {name: one.owner for one in owners for name in one.has}
    for here in owners:
        with closing(feed_of(here.fleet)) as feed:
            told = await seen(feed, lambda now: owner_of(now) == wanted and len(now["owners"]) == 2)
        cluster = told["cluster"]["house"]
        assert (cluster["owner"], cluster["connected"]) == (here.owner, True)
        assert (cluster["leases"], cluster["cut_off"]) == (len(here.has), False)
        assert cluster["site"] == here.membership.bus.settings.site
        rows = {one["owner"]: one for one in told["owners"].values()}
        assert [rows[one.owner]["own"] for one in owners] == [one is here for one in owners]
        assert [rows[one.owner]["radios"] for one in owners] == [len(one.has) for one in owners]
        assert [rows[one.owner]["site"] for one in owners] == ["north", "south"]
        assert [rows[one.owner]["slots"] for one in owners] == [3 * len(one.has) for one in owners]
        assert [rows[one.owner]["links"] for one in owners] == [0, 0]
        assert all((one["at"] is None) == one["own"] for one in rows.values())


async def test_a_broker_that_is_lost_is_told(owners: list[Member], server: NatsServer) -> None:
    """Since when it is lost, and since when it is there again; and in the metrics."""
    here = owners[0]
    with ExitStack() as stack:
        feed = stack.enter_context(closing(feed_of(here.fleet)))
        metrics = stack.enter_context(closing(Metrics(feed, lambda _: lambda: None)))
        before = (await seen(feed, lambda now: bool(now["cluster"])))["cluster"]["house"]
        assert scraped(metrics, "proxyconn_cluster_connected") == [1.0]
        assert scraped(metrics, "proxyconn_cluster_leases") == [len(here.has)]
        assert sorted(scraped(metrics, "proxyconn_cluster_owner_radios")) == sorted(
            len(one.has) for one in owners
        )
        assert scraped(metrics, "proxyconn_cluster_messages_received_total")[0] > 0
        await server.stop()
        lost = await seen(feed, lambda now: not now["cluster"]["house"]["connected"])
        assert scraped(metrics, "proxyconn_cluster_connected") == [0.0]
        assert lost["cluster"]["house"]["since"] > before["since"]
        await seen(feed, lambda now: bool(now["cluster"]["house"]["cut_off"]))
        await server.start()
        again = await seen(feed, lambda now: bool(now["cluster"]["house"]["connected"]))
        assert again["cluster"]["house"]["since"] > lost["cluster"]["house"]["since"]


def scraped(metrics: Metrics, name: str) -> list[float]:
    """Return the values of a metric."""
    text = metrics.exposition("text/plain")[0].decode()
    families = text_string_to_metric_families(text)
    return [one.value for family in families for one in family.samples if one.name == name]


async def test_who_cannot_be_understood_is_told(owners: list[Member]) -> None:
    """A member of another version is in the snapshot for as long as it speaks, with its name."""
    bus = owners[1].membership.bus
    status = Status(v=(MAJOR + 1, 0), sender="newer", site="south", run="1", number=1, lease=2.0)
    with closing(feed_of(owners[0].fleet)) as feed:
        subject = bus.subjects.of_site("south", "member", "newer", "1")
        await bus.publish(subject, encode(status))
        told = await seen(feed, lambda now: bool(now["cluster"]["house"]["troubles"]))
    (trouble,) = told["cluster"]["house"]["troubles"]
    assert "'newer' speaks version 2" in trouble


async def test_a_program_is_none_of_them(owners: list[Member], server: NatsServer) -> None:
    """A program that owns nothing shows the owners, and is not among them."""
    async with Fleet(cluster=server.url, state=None, owner=False) as fleet:
        with closing(feed_of(fleet)) as feed:
            told = await seen(feed, lambda now: len(now["owners"]) == 2)
        assert told["cluster"]["house"]["leases"] == 0
        assert not any(one["own"] for one in told["owners"].values())
        assert set(owner_of(told).values()) <= set(told["owners"])


async def test_without_a_cluster_nothing_is_told() -> None:
    """Both tables are empty, and no radio has an owner."""
    async with Fleet(discover=False, state=None, owner=False) as fleet:
        with closing(feed_of(fleet)) as feed:
            told = await asyncio.wait_for(seen(feed, lambda _: True), 5)
    assert (told["cluster"], told["owners"]) == ({}, {})
