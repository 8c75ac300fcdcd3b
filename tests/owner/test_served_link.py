"""A served link over a radio that is not a proxy, and one that fails as none should.

What a local adapter does is seen in the virtual machine, too; here it is played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from bleak.uuids import normalize_uuid_16
from google.protobuf.message import Message

from proxyconn import UnsupportedError
from proxyconn_owner.serving.failure_codes import ATT_UNLIKELY, BUSY, NOT_CONNECTED
from proxyconn_owner.serving.served_link import ServedLink
from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .conftest import DEADLINE, until

NUMBER = 0xC40000000001
VALUE, CCCD, FORMAT = 11, 12, 13


def services() -> BleakGATTServiceCollection:
    """Return a table with one characteristic that has two descriptors."""
    table = BleakGATTServiceCollection()
    service = BleakGATTService(None, 10, normalize_uuid_16(0xFFF0))
    value = BleakGATTCharacteristic(
        None, VALUE, normalize_uuid_16(0xFFF1), ["read", "notify"], lambda: 20, service
    )
    table.add_service(service)
    table.add_characteristic(value)
    for handle, uuid in ((CCCD, 0x2902), (FORMAT, 0x2904)):
        table.add_descriptor(BleakGATTDescriptor(None, handle, normalize_uuid_16(uuid), value))
    return table


class Played:
    """A client on a radio that is played."""

    address = "C4:00:00:00:00:01"
    source = "hci0"
    mtu_size = 23

    def __init__(self) -> None:
        self.services = services()
        self.trouble: BaseException | None = None
        self.lost: Callable[[], None] | None = None
        self.disconnects = 0
        self.openable, self.closable = asyncio.Event(), asyncio.Event()
        self.openable.set()
        self.closable.set()

    def set_disconnected_callback(self, callback: Callable[[], None]) -> None:
        self.lost = callback

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        if self.trouble:
            raise self.trouble
        await self.openable.wait()

    async def disconnect(self) -> None:
        self.disconnects += 1
        if self.trouble:
            raise self.trouble
        await self.closable.wait()

    async def write_gatt_descriptor(self, descriptor: Any, data: bytes) -> None:
        raise UnsupportedError("this radio writes no descriptor")

    async def read_gatt_char(self, characteristic: Any) -> bytearray:
        if self.trouble:
            raise self.trouble
        return bytearray(b"hello")


class Told:
    """A client of the owner, which notes what it is told."""

    label, short_uuids = "the client", True

    def __init__(self) -> None:
        self.messages: list[Any] = []
        self.over = 0
        self.kept: list[asyncio.Task[None]] = []

    def send(self, message: Message) -> None:
        self.messages.append(message)

    def report_slots(self) -> None:
        """Told of slots."""

    def link_crowded(self, link: ServedLink) -> None:
        """Told to wait."""

    def link_clear(self, link: ServedLink) -> None:
        """Told to go on."""

    def link_over(self, link: ServedLink) -> None:
        self.over += 1

    def keep(self, task: asyncio.Task[None]) -> None:
        self.kept.append(task)

    def operated(self, operation: str, seconds: float) -> None:
        pass

    async def answer(self) -> Any:
        """Return the next message."""
        await until(lambda: bool(self.messages))
        return self.messages.pop(0)


@pytest.fixture
async def world() -> Any:
    """Return a link that is up, its client, and the radio's."""
    told, played = Told(), Played()
    link = ServedLink(told, NUMBER, played)  # type: ignore[arg-type]
    await link.open(cached=False)
    assert (await told.answer()).connected
    yield SimpleNamespace(link=link, told=told, played=played)
    played.trouble = None
    await link.close()


async def test_a_cccd_that_a_local_adapter_keeps_is_written(world: Any) -> None:
    """Clients of proxies write it themselves; it was written with the request to be notified."""
    world.link.write(CCCD, b"\1\0", response=True)
    assert await world.told.answer() == pb.BluetoothGATTWriteResponse(address=NUMBER, handle=CCCD)
    world.link.write(FORMAT, b"\1\0", response=True)
    assert await world.told.answer() == pb.BluetoothGATTErrorResponse(
        address=NUMBER, handle=FORMAT, error=ATT_UNLIKELY
    )


@pytest.mark.parametrize("trouble", [EOFError(), KeyError("bluez")])
async def test_a_failure_that_nobody_expects_is_answered(
    world: Any, trouble: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """So is what is asked later; a defect is logged."""
    world.played.trouble = trouble
    world.link.read(VALUE)
    assert await world.told.answer() == pb.BluetoothGATTErrorResponse(
        address=NUMBER, handle=VALUE, error=ATT_UNLIKELY
    )
    world.played.trouble = None
    world.link.read(VALUE)
    assert (await world.told.answer()).data == b"hello"
    logged = [record for record in caplog.records if record.exc_info]
    assert bool(logged) is isinstance(trouble, KeyError)


async def test_a_link_that_bluetoothd_takes_along_is_closed(world: Any) -> None:
    """The end of D-Bus is the end of the link, for the client too."""
    world.played.trouble = EOFError()
    async with asyncio.timeout(DEADLINE):
        await world.link.close()
    assert world.told.over == 1
    assert not (await world.told.answer()).connected


async def test_a_link_is_closed_once_however_often_that_is_asked_for(world: Any) -> None:
    """Whoever asks later waits for the first; one that gives up ends it for nobody else."""
    world.played.closable.clear()
    closing = [asyncio.create_task(world.link.close()) for _ in range(100)]
    await until(lambda: world.played.disconnects > 0)
    closing[0].cancel()
    world.played.closable.set()
    results = await asyncio.gather(*closing, return_exceptions=True)
    assert results[1:] == [None] * 99
    assert (world.played.disconnects, world.told.over, len(world.told.kept)) == (1, 1, 1)


async def test_connect_while_the_link_is_closed_is_answered_by_its_end(world: Any) -> None:
    """Never as connected, and as busy: the client comes again, and does not look for a slot."""
    world.played.closable.clear()
    closing = world.link.begin_closing()
    world.link.connect_again()
    await until(lambda: world.played.disconnects > 0)
    assert not world.link.is_up
    assert not world.told.messages
    world.played.closable.set()
    await closing
    answer = await world.told.answer()
    assert (answer.connected, answer.error) == (False, BUSY)
    assert not world.told.messages


async def test_link_that_comes_up_while_it_is_closed_is_never_up() -> None:
    """The client has asked for its end, and hears of that alone."""
    told, played = Told(), Played()
    played.openable.clear()
    played.closable.clear()
    link = ServedLink(told, NUMBER, played)  # type: ignore[arg-type]
    opening = link.open(cached=False)
    closing = link.begin_closing()
    await until(lambda: played.disconnects > 0)
    played.openable.set()
    await until(lambda: played.disconnects > 1)
    played.closable.set()
    await asyncio.gather(opening, closing)
    assert not link.is_up
    assert [message.connected for message in told.messages] == [False]


@pytest.mark.parametrize("trouble", [EOFError(), KeyError("no")])
async def test_a_connect_that_fails_as_none_should_is_answered(trouble: Exception) -> None:
    """The client does not wait for ever, and may try again."""
    told, played = Told(), Played()
    played.trouble = trouble
    link = ServedLink(told, NUMBER, played)  # type: ignore[arg-type]
    await asyncio.gather(link.open(cached=False), return_exceptions=True)
    answer = await told.answer()
    assert (answer.connected, told.over) == (False, 1)
    assert (answer.error == NOT_CONNECTED) is isinstance(trouble, KeyError)
