"""A client that is not read for a while: that it hangs up is noticed, at little cost."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn_native_api import session as session_module
from proxyconn_native_api.hang_up import LOOK_EVERY, HasDescriptor, has_hung_up
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from tests.virtual.conftest import DEADLINE

SECONDS = 10.0


@pytest.mark.looptime
async def test_one_client_is_looked_at_once_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """However often it was held and released; once released for good it is not looked at any more.

    That it hangs up meanwhile is noticed.
    """
    looks = 0

    def look(sock: HasDescriptor) -> bool:
        nonlocal looks
        looks += 1
        return has_hung_up(sock)

    monkeypatch.setattr(session_module, "has_hung_up", look)
    async with VirtualFleet([ProxySpec(name="kitchen")], [], announce=False) as virtual:
        proxy = virtual.proxies["kitchen"]
        _, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        while not proxy.server.sessions:  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(LOOK_EVERY)
        [session] = proxy.server.sessions
        for _ in range(50):
            session.hold()
            session.release()
        session.hold()
        looks = 0
        await asyncio.sleep(SECONDS)
        assert 0 < looks <= SECONDS / LOOK_EVERY + 1
        session.release()
        await asyncio.sleep(SECONDS)
        looks = 0
        await asyncio.sleep(SECONDS)
        assert looks == 0
        session.hold()
        writer.close()
        await writer.wait_closed()
        async with asyncio.timeout(DEADLINE):
            await session.closed
