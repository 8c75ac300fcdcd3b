"""A proxy that makes us write and does not read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from proxyconn import Proxy
from proxyconn_esphome import ProxySession
from proxyconn_esphome.wire import connection
from proxyconn_native_api.frames import PlaintextFrames
from proxyconn_proto import bluetooth_proxy_pb2 as pb

PING = b"\x00\x00\x07"
SMALL = 4096


class Greedy:
    """Says who it is, then asks to be answered and does not listen."""

    def __init__(self) -> None:
        self.asked = 0
        self.ended = asyncio.Event()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one connection."""
        frames = PlaintextFrames()
        try:
            await reader.read(1000)
            hello = pb.HelloResponse(api_version_major=1, api_version_minor=10, name="kitchen")
            writer.write(frames.encode(2, hello.SerializeToString()))
            await reader.read(1000)
            info = pb.DeviceInfoResponse(name="kitchen", mac_address="AA:BB:CC:00:00:01")
            writer.write(frames.encode(10, info.SerializeToString()))
            writer.transport.pause_reading()  # type: ignore[attr-defined]  # it is one that reads
            while True:
                writer.write(PING * 10_000)
                self.asked += 10_000
                await writer.drain()
                await asyncio.sleep(0)
        except ConnectionError:
            self.ended.set()
        finally:
            writer.close()


@pytest.fixture
async def greedy() -> AsyncIterator[tuple[Greedy, int]]:
    """Return such a proxy, and its port."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
    proxy = Greedy()
    server = await asyncio.start_server(proxy.answer, sock=listener)
    yield proxy, listener.getsockname()[1]
    server.close()
    await server.wait_closed()


async def test_proxy_that_does_not_read_is_left(
    greedy: tuple[Greedy, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it makes us write is not kept without end."""
    proxy, port = greedy
    monkeypatch.setattr(connection, "UNREAD_EVERY", 0.05)
    monkeypatch.setattr(connection, "MOST_UNREAD", 1 << 16)
    async with ProxySession(Proxy("127.0.0.1", port)):
        async with asyncio.timeout(120):
            await proxy.ended.wait()
