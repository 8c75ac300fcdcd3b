"""Connections to the web page that prove nothing: they cost an owner few of its descriptors."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from proxyconn_web import strangers as strangers_module
from proxyconn_web.server import WebServer
from proxyconn_web.strangers import MOST_UNPROVEN, PROVE_WITHIN, Strangers

from .conftest import DEADLINE, House, MakeHouse, until
from .test_api import WEB, asking, events
from .test_strangers import Stranger


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return what ends with the test."""
    async with AsyncExitStack() as stack:
        yield stack


async def half_a_request(stack: AsyncExitStack, web: WebServer) -> Stranger:
    """Connect, and say half of a request."""
    transport, stranger = await asyncio.get_running_loop().create_connection(
        Stranger, web.host, web.port
    )
    transport.write(b"POST /api/v1/session HTTP/1.1\r\n")

    async def hang_up() -> None:
        transport.abort()
        await stranger.lost.wait()

    stack.push_async_callback(hang_up)
    return stranger


async def test_strangers_hold_few_connections(make_house: MakeHouse, stack: AsyncExitStack) -> None:
    """Of too many that say nothing most are hung up on; whoever has a token goes on."""
    house: House = await make_house(names=(), serve=WEB)
    web = house.owner.web
    assert web
    async with asking(house) as session, session.get("/api/v1/events") as response:
        strangers = [await half_a_request(stack, web) for _ in range(3 * MOST_UNPROVEN)]
        await until(lambda: sum(not one.lost.is_set() for one in strangers) <= MOST_UNPROVEN)
        assert not strangers[-1].lost.is_set()
        async with asking(house) as other, other.get("/api/v1/snapshot") as answer:
            assert answer.status == 200
        async with asyncio.timeout(DEADLINE):
            assert await anext(events(response))


async def test_stranger_has_no_time_without_end(
    make_house: MakeHouse, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One alone is hung up on as well, in the middle of what it says; a reader is not."""
    monkeypatch.setattr(strangers_module, "PROVE_WITHIN", 0.1)
    house: House = await make_house(names=(), serve=WEB)
    assert house.owner.web
    async with asking(house) as session, session.get("/api/v1/events"):
        stranger = await half_a_request(stack, house.owner.web)
        async with asyncio.timeout(DEADLINE):
            await stranger.lost.wait()
        async with session.get("/api/v1/snapshot") as answer:
            assert answer.status == 200


def test_the_host_with_most_connections_loses_one() -> None:
    """Its oldest; a lone one of another host stays, who has proven something is none."""
    hosts = {"lone": "10.0.0.9", "known": "10.0.0.8"}
    strangers = Strangers[str]()
    strangers.has_proven("known")
    assert strangers.unwelcome(hosts, 0.0) == []
    hosts |= {f"many {number}": "10.0.0.8" for number in range(MOST_UNPROVEN)}
    assert strangers.unwelcome(hosts, 1.0) == ["many 0"]
    assert "known" not in strangers.unwelcome(hosts, PROVE_WITHIN + 1.0)
    assert "lone" in strangers.unwelcome(hosts, PROVE_WITHIN)
