"""Strangers who call an owner and prove nothing: they keep out nobody who has the key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import replace

import pytest

from proxyconn_owner.serving.served_proxy import ServedClocks, ServedManners, ServedProxy

from .conftest import READ, VALUE, House, MakeHouse, connect, until

MOST = ServedManners().max_unproven or 0
KEYLESS = "127.0.0.9"


class Stranger(asyncio.Protocol):
    """Calls, and says nothing."""

    def __init__(self) -> None:
        self.lost = asyncio.Event()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note."""
        self.lost.set()


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return what ends with the test."""
    async with AsyncExitStack() as opened:
        yield opened


async def call(stack: AsyncExitStack, house: House, source: str = KEYLESS) -> Stranger:
    """Call an owner from an address of this machine."""
    loop = asyncio.get_running_loop()
    transport, stranger = await loop.create_connection(
        Stranger, "127.0.0.1", house.port(), local_addr=(source, 0)
    )

    async def hang_up() -> None:
        transport.abort()
        await stranger.lost.wait()

    stack.push_async_callback(hang_up)
    return stranger


async def test_strangers_lock_nobody_out(
    make_house: MakeHouse, stack: AsyncExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of too many the oldest goes, of the host that has most; whoever has the key is served."""
    monkeypatch.setattr(ServedProxy, "profile", replace(ServedManners(), max_clients=MOST + 8))
    house: House = await make_house(names=["kitchen"])
    lone = await call(stack, house, "127.0.0.8")
    strangers = [await call(stack, house) for _ in range(MOST + 16)]
    client = await connect(await house.client())
    assert await client.read_gatt_char(READ) == VALUE
    await client.disconnect()
    await until(lambda: sum(not one.lost.is_set() for one in strangers) < MOST)
    assert strangers[0].lost.is_set()
    assert not strangers[-1].lost.is_set()
    assert not lone.lost.is_set()


@pytest.mark.looptime
async def test_strangers_are_not_waited_for(make_house: MakeHouse, stack: AsyncExitStack) -> None:
    """Whoever has not said Hello within seconds is hung up on."""
    house: House = await make_house(names=())
    loop = asyncio.get_running_loop()
    began = loop.time()
    stranger = await call(stack, house)
    await stranger.lost.wait()
    assert loop.time() - began <= ServedClocks().hello + 1.0 < 15.0
