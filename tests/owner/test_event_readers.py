"""How many may follow the events of an owner at once, and who."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp

from proxyconn_owner.settings import Listen
from proxyconn_web.routes import MOST_LOOKING

from .conftest import DEADLINE, House, MakeHouse
from .test_api_access import ACT, EVENTS, READ


async def test_who_may_only_look_leaves_streams_to_who_may_act(
    make_house: MakeHouse, tmp_path: Path
) -> None:
    """However many streams one of them asks for."""
    file = tmp_path / "tokens"
    await asyncio.to_thread(file.write_text, f"{ACT}\n{READ}\n")
    listen = Listen("127.0.0.1", 0)
    house: House = await make_house(names=(), serve={"web": listen, "web_token_file": file})
    assert house.owner.web
    async with AsyncExitStack() as stack:
        session = await stack.enter_async_context(aiohttp.ClientSession(house.owner.web.url))

        async def follow(token: str) -> int:
            headers = {"Authorization": f"Bearer {token}"}
            answer = session.get(EVENTS, headers=headers)
            return (await stack.enter_async_context(answer)).status

        async with asyncio.timeout(DEADLINE):
            looking = [await follow(READ) for _ in range(MOST_LOOKING + 1)]
            assert looking == [200] * MOST_LOOKING + [503]
            assert await follow(ACT) == 200
