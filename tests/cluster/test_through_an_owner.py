"""A bleak program that knows nothing of a cluster has all of it through its own owner."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from proxyconn import Fleet, Proxy
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.proxy import new_noise_psk

from .village import DEADLINE, ECHO, READ, VALUE, Village, address, connect, until

OWNER_KEY = new_noise_psk()


class Nobody:
    """Is told everything, and does nothing about it."""

    def served(self, owner: Owner) -> None:
        """A proxy is served."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has come."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""


@pytest.fixture
async def served(stack: AsyncExitStack, village: Village, tmp_path: Path) -> Owner:
    """Return north, which serves its fleet as one proxy, and each of its own as well."""
    settings = ServeSettings(
        api=Listen("127.0.0.1", 0), one=True, mirrored=True, announce=False, noise_psk=OWNER_KEY
    )
    return await stack.enter_async_context(
        serving(village.owners["north"].fleet, settings, tmp_path, tmp_path, Nobody())
    )


async def program(stack: AsyncExitStack, owner: Owner) -> Fleet:
    """Return the fleet of a program that uses the one proxy."""
    proxy = Proxy("127.0.0.1", owner.proxies[None].port, noise_psk=OWNER_KEY)
    fleet = Fleet([proxy], discover=False, state=None, owner=False)
    await stack.enter_async_context(fleet)
    await fleet.ready(1, DEADLINE)
    return fleet


async def test_it_hears_and_reads_what_only_another_owner_has(
    stack: AsyncExitStack, village: Village, served: Owner
) -> None:
    fleet = await program(stack, served)
    client = await connect(fleet, 3)
    assert village.slots() == {"south": [address(3)]}
    assert await client.read_gatt_char(READ) == VALUE
    echoed: list[bytes] = []
    await client.start_notify(ECHO, lambda _, data: echoed.append(bytes(data)))
    await client.write_gatt_char(ECHO, b"abc", response=True)
    await until(lambda: echoed == [b"cba"])
    await client.disconnect()
    near = await connect(fleet, 2)
    assert village.slots() == {"north": [address(2)]}
    await near.disconnect()


async def test_only_while_it_wants_to_hear_others_tell(
    stack: AsyncExitStack, village: Village, served: Owner
) -> None:
    south = village.owners["south"]
    await asyncio.sleep(0.3)
    assert south.serving.relay.sent == 0
    async with AsyncExitStack() as own:
        await program(own, served)
        await until(lambda: south.serving.relay.sent > 0)
    await until(lambda: all(one.interest is None for one in south.members.all.values()))
    before = south.serving.relay.sent
    await asyncio.sleep(0.3)
    assert south.serving.relay.sent <= before + 1


async def test_only_its_own_radios_are_served_one_by_one(served: Owner) -> None:
    await until(lambda: len(served.proxies) == 2)
    await asyncio.sleep(0.2)
    assert {proxy.name for proxy in served.proxies.values()} == {"proxyconn", "north"}
    assert served.proxies[None].slots().limit == 6, "those of both owners"
