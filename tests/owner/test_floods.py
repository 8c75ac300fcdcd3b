"""Clients that ask without end: each is answered, none is a burden on the others, nor cut off."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TypeVar

import pytest
from google.protobuf.message import Message

from proxyconn_native_api.intake import Intake
from proxyconn_owner.serving.chores import MOST_CHORES
from proxyconn_owner.serving.failure_codes import BUSY, NO_RESOURCES
from proxyconn_owner.serving.requests import CROWDED, MOST_WAITING
from proxyconn_owner.serving.served_client import ServedClient
from proxyconn_owner.serving.served_proxy import WISHES_OF_ANYBODY, WISHES_PER_SLOT
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.peripheral import Peripheral, uuid128
from scripts.chaos_run.noise_client import NoiseClient

from .conftest import (
    COMMAND,
    OWNER_KEY,
    READ,
    VALUE,
    House,
    MakeHouse,
    address,
    connect,
    peripheral,
    until,
)

SLOTS = 3
MOST = WISHES_PER_SLOT * SLOTS + WISHES_OF_ANYBODY
INVENTED = 0xC500_0000_0000
FLOOD = 400

DEVICE = int(address(1).replace(":", ""), 16)

TYPES = pb.BluetoothDeviceRequestType
CONNECT = TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
DISCONNECT = TYPES.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT
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

    async def connect(self) -> dict[str, int]:
        """Connect to the device; return the handle of each characteristic."""
        self.ask(CONNECT, DEVICE)
        (answer,) = await self.answered(pb.BluetoothDeviceConnectionResponse)
        assert answer.connected
        self._heard.clear()
        (client,) = self._house.owner.proxies[None].clients.values()
        (link,) = client.links.values()
        services = link.client.services
        assert services
        return {one.uuid: one.handle for one in services.characteristics.values()}

    def command(self, handle: int, number: int) -> None:
        """Write a number without response."""
        data = number.to_bytes(2, "big")
        self.send(
            pb.BluetoothGATTWriteRequest(address=DEVICE, handle=handle, response=False, data=data)
        )

    def go(self) -> None:
        """Be killed."""
        self._client.abort()

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


def commanded(kettle: Peripheral) -> list[int]:
    """Return where the numbers appear that are written to a device without response."""
    written: list[int] = []
    for characteristic in kettle.services[0].characteristics:
        if uuid128(characteristic.uuid) == COMMAND:
            characteristic.on_write = lambda data: written.append(int.from_bytes(data, "big"))
    return written


async def test_requests_that_wait_hold_up_nothing_else(
    make_house: MakeHouse, stack: AsyncExitStack
) -> None:
    """Pings, and the end of that very link, get through; what is too much is refused."""
    house: House = await make_house(names=["kitchen"], intake=Intake(rate=10.0))
    bare = Bare(house)
    await bare.open(stack)
    handle = (await bare.connect())[READ]
    for _ in range(FLOOD):
        bare.send(pb.BluetoothGATTReadRequest(address=DEVICE, handle=handle))
    bare.send(pb.PingRequest())
    await bare.answered(pb.PingResponse)
    errors = [one.error for one in bare.heard(pb.BluetoothGATTErrorResponse)]
    assert set(errors) == {NO_RESOURCES}
    # Some are done by then.
    assert len(errors) > (FLOOD - MOST_WAITING) / 2
    bare.ask(DISCONNECT, DEVICE)
    (answer,) = await bare.answered(pb.BluetoothDeviceConnectionResponse)
    assert not answer.connected
    assert len(bare.heard(pb.BluetoothGATTReadResponse)) < MOST_WAITING


async def test_commands_before_a_disconnect_are_carried_out(
    make_house: MakeHouse, stack: AsyncExitStack
) -> None:
    """A program that switches something and leaves has switched it."""
    kettle = peripheral()
    written = commanded(kettle)
    house: House = await make_house(kettle, names=["kitchen"], intake=Intake(rate=250.0))
    bare = Bare(house)
    await bare.open(stack)
    handle = (await bare.connect())[COMMAND]
    for number in range(100):
        bare.command(handle, number)
    bare.ask(DISCONNECT, DEVICE)
    await bare.answered(pb.BluetoothDeviceConnectionResponse)
    assert written == list(range(100))


@pytest.mark.looptime
async def test_client_that_is_not_read_is_not_cut_off(
    make_house: MakeHouse, stack: AsyncExitStack
) -> None:
    """Minutes of commands are carried out in order, and it hears meanwhile that all is well."""
    kettle = peripheral()
    kettle.interval = 10.0
    written = commanded(kettle)
    house: House = await make_house(kettle, names=["kitchen"], intake=Intake(rate=4.0))
    bare = Bare(house)
    client = await bare.open(stack)
    handle = (await bare.connect())[COMMAND]
    count = 2 * CROWDED
    for number in range(count):
        bare.command(handle, number)
    while len(written) < count:  # noqa: ASYNC110 - minutes, on the clock of the test
        await asyncio.sleep(1.0)
    assert written == list(range(count))
    assert client.links
    assert len(bare.heard(pb.PingRequest)) >= 3


async def test_client_that_goes_while_it_is_not_read_frees_its_slots(
    make_house: MakeHouse, stack: AsyncExitStack
) -> None:
    """What it has asked for is not done first."""
    kettle = peripheral()
    written = commanded(kettle)
    house: House = await make_house(kettle, names=["kitchen"], intake=Intake(rate=25.0))
    bare = Bare(house)
    await bare.open(stack)
    handle = (await bare.connect())[COMMAND]
    for number in range(4 * CROWDED):
        bare.command(handle, number)
    await until(lambda: len(written) > 5)
    bare.go()
    await until(lambda: not house.owner.proxies[None].clients)
    await until(lambda: not house.real().snapshot().slots)
    assert len(written) < CROWDED
