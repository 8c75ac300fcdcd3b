"""Clients that ask without end: each is answered, and none is a burden on the others."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
from google.protobuf.message import Message

from proxyconn_owner.serving.chores import MOST_CHORES
from proxyconn_owner.serving.failure_codes import BUSY, NO_RESOURCES
from proxyconn_owner.serving.served_client import ServedClient
from proxyconn_owner.serving.served_proxy import WISHES_OF_ANYBODY, WISHES_PER_SLOT
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.chaos_run.noise_client import NoiseClient

from .conftest import OWNER_KEY, READ, VALUE, House, MakeHouse, connect, until

SLOTS = 3
MOST = WISHES_PER_SLOT * SLOTS + WISHES_OF_ANYBODY
INVENTED = 0xC500_0000_0000
FLOOD = 400

TYPES = pb.BluetoothDeviceRequestType
CONNECT = TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
UNPAIR = TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_UNPAIR
CLEAR_CACHE = TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE

AnyMessage = TypeVar("AnyMessage", bound=Message)


class Bare:
    """A client that says what it is told to, and keeps what it hears."""

    def __init__(self, house: House) -> None:
        self._house = house
        self._client = NoiseClient(OWNER_KEY, self._hear)
        self._heard: list[Message] = []

    async def open(self, stack: AsyncExitStack) -> ServedClient:
        """Say Hello; return how the owner sees it."""
        served = self._house.owner.proxies[None]
        before = set(served.clients.values())
        stack.push_async_callback(self._client.aclose)
        await self._client.open("127.0.0.1", served.port, "bare")
        await until(lambda: len(served.clients) > len(before))
        (client,) = set(served.clients.values()) - before
        return client

    def _hear(self, message: Message) -> None:
        if isinstance(message, pb.PingRequest):
            self._client.send(pb.PingResponse())
        self._heard.append(message)

    def send(self, message: Message) -> None:
        """Send a message."""
        self._client.send(message)

    def ask(self, kind: pb.BluetoothDeviceRequestType.ValueType, number: int) -> None:
        """Send a request for a device."""
        self.send(
            pb.BluetoothDeviceRequest(
                address=number, request_type=kind, has_address_type=True, address_type=1
            )
        )

    def heard(self, kind: type[AnyMessage]) -> list[AnyMessage]:
        """Return what it heard of one kind."""
        return [message for message in self._heard if isinstance(message, kind)]

    async def answered(self, kind: type[AnyMessage], count: int = 1) -> list[AnyMessage]:
        """Return what it heard of one kind, once there is so much of it."""
        await until(lambda: len(self.heard(kind)) >= count, 20.0)
        return self.heard(kind)


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return what ends with the test."""
    async with AsyncExitStack() as opened:
        yield opened


async def test_connects_without_end_are_busy(make_house: MakeHouse, stack: AsyncExitStack) -> None:
    """A client has so many wishes at once; of more each is told to come again, and others go on."""
    house: House = await make_house(names=["kitchen"], slots=SLOTS)
    other = await connect(await house.client())
    bare = Bare(house)
    client = await bare.open(stack)
    for number in range(FLOOD):
        bare.ask(CONNECT, INVENTED + number)
    answers = await bare.answered(pb.BluetoothDeviceConnectionResponse, FLOOD - MOST)
    assert Counter(answer.error for answer in answers)[BUSY] == FLOOD - MOST
    assert len(client.links) == MOST
    assert await other.read_gatt_char(READ) == VALUE
    await other.disconnect()


@pytest.mark.parametrize(
    ("kind", "answer"),
    [
        (UNPAIR, pb.BluetoothDeviceUnpairingResponse),
        (CLEAR_CACHE, pb.BluetoothDeviceClearCacheResponse),
    ],
)
async def test_chores_without_end_are_refused(
    make_house: MakeHouse,
    stack: AsyncExitStack,
    kind: pb.BluetoothDeviceRequestType.ValueType,
    answer: type[pb.BluetoothDeviceUnpairingResponse],
) -> None:
    """Bonds and caches are cleared a few at a time; each request is answered."""
    house: House = await make_house(names=["kitchen"])
    bare = Bare(house)
    await bare.open(stack)
    tasks = len(asyncio.all_tasks())
    for number in range(FLOOD):
        bare.ask(kind, INVENTED + number)
    most = 0
    while len(bare.heard(answer)) < FLOOD:
        most = max(most, len(asyncio.all_tasks()) - tasks)
        await asyncio.sleep(0)
    assert most <= 4 * MOST_CHORES
    errors = Counter(one.error for one in bare.heard(answer))
    assert errors[NO_RESOURCES] >= FLOOD - 4 * MOST_CHORES
