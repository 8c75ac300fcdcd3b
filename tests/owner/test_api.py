"""The owner's state as JSON: snapshot, events, single devices and actions."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import jsonschema
import pytest

from proxyconn.fleet.owner_socket import SOCKET
from proxyconn.watch.feed import SOON
from proxyconn_owner.settings import Listen
from proxyconn_web.client import ActionError, OwnerClient, View

from .conftest import DEADLINE, House, MakeHouse, address, connect, peripheral, until

SCHEMA = Path(__file__).parents[2] / "docs" / "api.schema.json"
WEB = {"web": Listen("127.0.0.1", 0)}


@asynccontextmanager
async def asking(house: House, token: str | None = None) -> AsyncIterator[aiohttp.ClientSession]:
    """Open a session with the owner's web server."""
    file = house.folder / "web-token"
    tokens = await asyncio.to_thread(file.read_text)
    headers = {"Authorization": f"Bearer {token or tokens.split()[0]}"}
    assert house.owner.web
    timeout = aiohttp.ClientTimeout(total=DEADLINE)
    async with aiohttp.ClientSession(
        house.owner.web.url, headers=headers, timeout=timeout
    ) as session:
        yield session


async def events(response: aiohttp.ClientResponse) -> AsyncIterator[tuple[str, str, Any]]:
    """Yield kind, id and data of each server-sent event."""
    kind = number = ""
    async for line in response.content:
        name, _, value = line.decode().rstrip("\n").partition(": ")
        if name == "event":
            kind = value
        elif name == "id":
            number = value
        elif name == "data":
            yield kind, number, json.loads(value)


async def view_when(owner: OwnerClient, met: Callable[[View], object]) -> View:
    """Return the state of the fleet as soon as something holds of it."""
    async with asyncio.timeout(DEADLINE), aclosing(owner.views()) as views:
        async for view in views:
            if met(view):
                return view
    raise AssertionError("the owner has gone")


DEFS = json.loads(SCHEMA.read_text(encoding="utf-8"))["$defs"]


def check(value: Any, part: str) -> None:
    """Hold something to the documented schema."""
    jsonschema.validate(value, {"$ref": f"#/$defs/{part}", "$defs": DEFS})


async def test_snapshot_has_everything_and_fits_the_schema(make_house: MakeHouse) -> None:
    """Radios, slots with holder, devices by radios, connects, clients and latencies are there."""
    house: House = await make_house(peripheral(1), peripheral(2), serve=WEB)
    client = await connect(await house.client(), 1)
    async with asking(house) as session, session.get("/api/v1/snapshot") as response:
        assert response.status == 200
        snapshot = await response.json()
    check(snapshot, "snapshot")
    holder = snapshot["links"][address(1)]
    assert holder["state"] == "connected"
    slots = snapshot["radios"][holder["source"]]["slots"]
    assert [(one["address"], one["used"]) for one in slots["holders"]] == [(address(1), True)]
    assert slots["holders"][0]["client"] == holder["client"]
    assert snapshot["devices"][address(1)]["name"] == "device 1"
    assert set(snapshot["heard"][address(2)]) == {"kitchen", "cellar"}
    (one,) = snapshot["connects"].values()
    assert [step["step"] for step in one["steps"]] == ["queued", "chosen", "services", "ready"]
    assert snapshot["latency"]["total"]["count"] == 1
    (served,) = snapshot["clients"].values()
    assert served["links"] == [address(1)]
    await client.disconnect()


async def test_events_follow_the_snapshot_and_resume(make_house: MakeHouse) -> None:
    """A snapshot comes first, then numbered changes; a reader that comes back misses nothing."""
    house: House = await make_house(serve=WEB)
    async with asking(house) as session:
        async with session.get("/api/v1/events") as response:
            stream = events(response)
            kind, last, state = await anext(stream)
            assert kind == "snapshot"
            kind, last, change = await anext(stream)
            check(change, "change")
            assert (kind, change["sequence"]) == ("change", state["sequence"] + 1)
        await until(lambda: house.owner.feed.sequence > change["sequence"])
        headers = {"Last-Event-ID": last}
        async with session.get("/api/v1/events", headers=headers) as response:
            kind, _, again = await anext(events(response))
            assert (kind, again["sequence"]) == ("change", change["sequence"] + 1)


async def test_reader_of_another_run_is_told_that_it_missed_something(
    make_house: MakeHouse,
) -> None:
    """An id that means nothing here leads to `missed`, and then to a snapshot."""
    house: House = await make_house(serve=WEB)
    path = "/api/v1/events?after=0badcafe-7"
    async with asking(house) as session, session.get(path) as response:
        stream = events(response)
        kind, _, data = await anext(stream)
        assert (kind, data["after"]) == ("missed", "0badcafe-7")
        check(data, "missed")
        assert (await anext(stream))[0] == "snapshot"


async def test_closed_feed_is_not_now(make_house: MakeHouse) -> None:
    """While the owner ends: 503, for a snapshot as for the events."""
    house: House = await make_house(names=(), serve=WEB)
    async with asking(house) as session:
        house.owner.feed.close()
        for path in ("/api/v1/snapshot", "/api/v1/events"):
            async with session.get(path) as response:
                assert response.status == 503
                assert (await response.json())["error"]


async def test_events_lead_to_the_same_state_as_a_snapshot(make_house: MakeHouse) -> None:
    """Whoever applies every event has what a new snapshot would say."""
    house: House = await make_house(peripheral(1), peripheral(2))
    async with OwnerClient(house.folder / SOCKET) as owner, aclosing(owner.views()) as views:
        view = await anext(views)
        client = await connect(await house.client(), 2)
        await client.disconnect()
        await asyncio.sleep(2 * SOON)
        snapshot = house.owner.feed.snapshot()
        wanted = json.loads(json.dumps({name: snapshot[name] for name in view.tables}))
        while view.time < snapshot["time"]:
            view = await anext(views)
        for name in ("radios", "links", "queue", "connects", "clients", "latency", "bonds"):
            assert view.tables[name] == wanted[name], name
        assert [entry["number"] for entry in view.log] == [
            entry["number"] for entry in house.owner.feed.record.entries
        ]


async def test_device_in_detail(make_house: MakeHouse) -> None:
    """Paths with the parts of their scores, why the best one leads, the table of services."""
    house: House = await make_house()
    client = await connect(await house.client())
    async with OwnerClient(house.folder / SOCKET) as owner:
        detail = await owner.device(address(1))
        assert detail is not None
        check(detail, "device_detail")
        assert {path["source"] for path in detail["paths"]} == {"kitchen", "cellar"}
        assert detail["why"]
        assert detail["services"][0]["characteristics"]
        assert await owner.device("C4:00:00:00:0F:FF") is None
    await client.disconnect()


async def test_slot_is_freed_by_an_action(make_house: MakeHouse) -> None:
    """The link ends for its client, the slot is free, and the log says who did it."""
    house: House = await make_house()
    client = await connect(await house.client())
    async with OwnerClient(house.folder / SOCKET) as owner:
        view = await view_when(owner, lambda view: view.tables["links"])
        source = view.tables["links"][address(1)]["source"]
        await owner.act("free_slot", source=source, address=address(1))
        await until(lambda: not client.is_connected)
        view = await view_when(owner, lambda view: not view.tables["links"])
        assert view.tables["radios"][source]["slots"]["holders"] == []
        assert "action" in {entry["kind"] for entry in view.log}


async def test_banned_path_is_not_taken(make_house: MakeHouse) -> None:
    """The better radio is not taken any more for a device that it is banned for."""
    house: House = await make_house()
    async with OwnerClient(house.folder / SOCKET) as owner:
        await view_when(owner, lambda view: len(view.tables["heard"].get(address(1), {})) == 2)
        said = await owner.act("pin", address=address(1), source="kitchen", pin="ban")
        assert said["ban"] == ["kitchen"]
        client = await connect(await house.client())
        assert house.owner.fleet.paths(address(1))[0].source == "cellar"
        assert house.real("cellar").snapshot().slots
        await client.disconnect()
        await owner.act("pin", address=address(1), source="kitchen", pin="none")
        detail = await owner.device(address(1))
        assert detail is not None
        assert detail["pins"]["ban"] == []


async def test_scan_mode_is_set_on_the_radios(make_house: MakeHouse) -> None:
    """Proxies are told, and the snapshot shows what they say."""
    house: House = await make_house()
    async with OwnerClient(house.folder / SOCKET) as owner:
        await owner.act("scan_mode", mode="passive")
        view = await view_when(
            owner,
            lambda view: (
                {one["scan_mode"] for one in view.tables["radios"].values()} == {"passive"}
            ),
        )
        assert view.tables["radios"]["kitchen"]["scan_mode"] == "passive"


REFUSED = [
    ("explode", {}, "there is no action"),
    ("disconnect", {"address": "<img onerror=x>"}, "address: it must be like"),
    ("disconnect", {}, "it takes a JSON object with address"),
    ("pin", {"address": address(1), "source": "kitchen", "pin": "eat"}, "is none of"),
    ("disconnect", {"address": address(9)}, "nobody has it"),
    ("scan_mode", {"mode": "wild"}, "is none of active, passive, auto, none"),
    ("resubscribe", {"source": "attic"}, "there is no radio called attic"),
    ("free_slot", {"source": "kitchen", "address": address(9)}, "holds no slot"),
]


async def test_action_that_cannot_be_done_says_why(make_house: MakeHouse) -> None:
    """Nothing happens, and the answer says what is wrong."""
    house: House = await make_house()
    async with OwnerClient(house.folder / SOCKET) as owner:
        for name, arguments, said in REFUSED:
            with pytest.raises(ActionError, match=said):
                await owner.act(name, **arguments)


async def test_nothing_is_followed_while_nobody_reads(make_house: MakeHouse) -> None:
    """Without a reader, advertisements cost nothing more, and no event is made."""
    house: House = await make_house()
    feed = house.owner.feed
    assert feed.sequence == 0
    assert not feed.is_awake
    async with OwnerClient(house.folder / SOCKET) as owner:
        await owner.snapshot()
    assert feed.is_awake
