"""A virtual proxy that takes its time."""

from __future__ import annotations

import asyncio
from typing import Any

from proxyconn_native_api.intake import Intake
from tests.virtual.conftest import Bench, Peer, api, peripheral, until


def pings(count: int) -> tuple[Any, ...]:
    """Return so many of the smallest messages."""
    return (api.PingRequest(),) * count


async def test_messages_are_taken_one_by_one_and_none_is_lost(bench: Bench) -> None:
    """What is not taken waits at the sender, however much it is; a frozen one takes none."""
    proxy = await bench.proxy(peripheral(), intake=Intake(rate=100.0, buffer=2304))
    peer = Peer(proxy)
    await peer.connect()
    loop = asyncio.get_running_loop()
    begun = loop.time()
    peer.connection.send_messages(pings(60))
    await asyncio.sleep(0.3)
    assert 5 < proxy.snapshot().received["PingRequest"] < 40
    await until(lambda: proxy.snapshot().received["PingRequest"] == 60)
    assert 0.5 < loop.time() - begun < 3.0
    thaw = proxy.server.freeze()
    peer.connection.send_messages(pings(5))
    await asyncio.sleep(0.2)
    assert proxy.snapshot().received["PingRequest"] == 60
    thaw()
    await until(lambda: proxy.snapshot().received["PingRequest"] == 65)
    await peer.close()
