"""Messages that a full socket refuses, and ATT that goes silent."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from google.protobuf.message import Message

from proxyconn_native_api.frames import PlaintextFrames
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS
from proxyconn_virtual.firmware.profiles import NEWEST
from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import VirtualProxy
from tests.virtual.conftest import (
    DEADLINE,
    DISCONNECT,
    FIRST,
    WITH_CACHE,
    WITHOUT_CACHE,
    Bench,
    peripheral,
    until,
)

VALUE, CCCD = 9 + 3, 9 + 4
"""Handles of the first characteristic behind Generic Access and Generic Attribute."""


def chatterbox() -> Peripheral:
    """Return a peripheral that notifies 400 bytes a thousand times a second."""
    value = CharacteristicSpec(
        0x2A37, Properties.NOTIFY, notify_every=0.001, notify_value=lambda count: bytes(400)
    )
    return peripheral(services=(ServiceSpec(0x180D, (value,)),), interval=60.0)


class SlowClient:
    """A client that reads only when it is told to."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._frames = PlaintextFrames()
        self._loop = asyncio.get_running_loop()

    async def send(self, *messages: Message) -> None:
        """Send messages."""
        encode = PlaintextFrames().encode
        data = b"".join(encode(ID_BY_CLASS[type(m)], m.SerializeToString()) for m in messages)
        await self._loop.sock_sendall(self._sock, data)

    async def read_until(self, wanted: type[Message]) -> list[Message]:
        """Read until a message of a class comes; return all that came."""
        seen: list[Message] = []
        async with asyncio.timeout(DEADLINE):
            while not any(isinstance(message, wanted) for message in seen):
                received = self._frames.feed(await self._loop.sock_recv(self._sock, 65536))
                assert not received.close
                seen += (CLASS_BY_ID[n].FromString(data) for n, data in received.messages)
        return seen


@asynccontextmanager
async def choked(bench: Bench, proxy: VirtualProxy) -> AsyncIterator[SlowClient]:
    """Subscribe to the chatterbox, and do not read until messages are lost."""
    with socket.socket() as sock:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", proxy.port))
        client = SlowClient(sock)
        await client.send(
            pb.HelloRequest(api_version_major=1, api_version_minor=14),
            pb.SubscribeBluetoothLEAdvertisementsRequest(),
            pb.BluetoothDeviceRequest(
                address=FIRST,
                request_type=pb.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE,
                has_address_type=True,
                address_type=1,
            ),
        )
        await client.read_until(pb.BluetoothDeviceConnectionResponse)
        await client.send(
            pb.BluetoothGATTNotifyRequest(address=FIRST, handle=VALUE, enable=True),
            pb.BluetoothGATTWriteDescriptorRequest(address=FIRST, handle=CCCD, data=b"\1\0"),
        )
        await until(lambda: proxy.snapshot().messages_lost > 10)
        yield client


async def test_full_socket_loses_messages(bench: Bench) -> None:
    """While the socket is full messages are lost whole; what was begun is finished."""
    proxy = await bench.proxy(chatterbox(), send_buffer=4096)
    async with choked(bench, proxy) as client:
        asking = asyncio.create_task(client.read_until(pb.PingResponse))
        while not asking.done():
            await client.send(pb.PingRequest())
            await asyncio.wait([asking], timeout=0.05)
        kinds = {type(message) for message in await asking}
        assert pb.BluetoothGATTNotifyDataResponse in kinds
        assert proxy.snapshot().clients == ("",)


async def test_full_socket_retries_on_new_firmware(bench: Bench) -> None:
    """From 2026.8 the end of a link is sent again until the socket takes it."""
    proxy = await bench.proxy(
        chatterbox(), send_buffer=4096, profile="2026.8", timings=Timings(retry_refused=0.01)
    )
    async with choked(bench, proxy) as client:
        await client.send(
            pb.BluetoothDeviceRequest(
                address=FIRST, request_type=pb.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT
            )
        )
        await until(lambda: proxy.snapshot().free == 3)
        seen = await client.read_until(pb.BluetoothDeviceConnectionResponse)
        assert not any(
            m.connected for m in seen if isinstance(m, pb.BluetoothDeviceConnectionResponse)
        )
        if not isinstance(seen[-1], pb.BluetoothConnectionsFreeResponse):
            seen = await client.read_until(pb.BluetoothConnectionsFreeResponse)
        reports = [m for m in seen if isinstance(m, pb.BluetoothConnectionsFreeResponse)]
        assert reports[-1].free == 3


@pytest.mark.parametrize(("profile", "notices"), [("2026.7.0", 2), (NEWEST, 1)])
@pytest.mark.parametrize("kind", [WITH_CACHE, WITHOUT_CACHE])
async def test_silent_att_ends_the_link(
    bench: Bench, kind: int, profile: str, notices: int
) -> None:
    """A peripheral that does not answer ATT is dropped by the proxy, with 0x16."""
    devices = (peripheral(att_latency=60.0), peripheral(2))
    _, peer = await bench.pair(*devices, timings=Timings(att=0.05), profile=profile)
    peer.ask(kind)
    gone = ("conn", False, 0, 0x16)
    expected = [("slots", 2, 1), ("conn", True, 23, 0), ("slots", 2, 1)]
    if kind == WITHOUT_CACHE:
        del expected[1:]
    expected += [*[gone] * notices, ("slots", 3)]
    assert await peer.steps(len(expected)) == expected
    peer.ask(DISCONNECT)
    assert await peer.quiet() == [("conn", False, 0, 0), ("slots", 3)]
