"""A link of the Bumble radio by itself: real ATT and SMP between software controllers."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator

import pytest

from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    ServiceSpec,
    uuid128,
)
from proxyconn_virtual.radio import (
    AttError,
    LinkParameters,
    PairingError,
)
from tests.virtual.bumble_room import (
    ADDRESS,
    ALERTS,
    CCCD,
    COMMAND,
    INDICATE,
    LEVEL,
    OFF,
    ON,
    SECRET,
    TICKS,
    Room,
    characteristic,
    collect,
    thermometer,
    watch,
)


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """Return a room with the usual thermometer."""
    room = Room(thermometer())
    async with room.air:
        await room.kitchen.start()
        yield room


async def test_discover(room: Room) -> None:
    """Discovery finds the whole table with real handles, CCCDs included, in order."""
    services = await (await room.link()).discover()
    assert [one.uuid for one in services] == [uuid128(0x1800), uuid128(0x1801), uuid128(0x180F)]
    found = services[-1].characteristics
    assert [one.uuid for one in found] == [LEVEL, COMMAND, SECRET, TICKS, ALERTS]
    assert [one.properties for one in found] == [0x02, 0x1C, 0x0E, 0x10, 0x20]
    assert [[each.uuid for each in one.descriptors] for one in found] == [
        [],
        [CCCD],
        [],
        [CCCD],
        [CCCD],
    ]
    handles = [services[-1].handle]
    for one in found:
        handles += [one.handle, *(each.handle for each in one.descriptors)]
    assert handles == sorted(set(handles))
    assert found[1].descriptors[0].handle == found[1].handle + 1


async def test_read_computed() -> None:
    """A read asks `on_read` each time."""
    values = iter([b"one", b"two"])
    spec = CharacteristicSpec(0x2A19, on_read=lambda: next(values))
    room = Room(thermometer(services=[ServiceSpec(0x180F, [spec])]))
    async with room.air:
        await room.kitchen.start()
        link = await room.link()
        handle = (await characteristic(link, LEVEL)).handle
        assert [await link.read(handle), await link.read(handle)] == [b"one", b"two"]


async def test_read_errors(room: Room) -> None:
    """Reading a handle that does not exist, or a characteristic without read, fails as in ATT."""
    link = await room.link()
    ticks = await characteristic(link, TICKS)
    codes = []
    for handle in (0x1234, ticks.handle):
        with pytest.raises(AttError) as raised:
            await link.read(handle)
        codes.append(raised.value.code)
    assert codes == [0x01, 0x02]


async def test_read_application_error() -> None:
    """An AttError from the peripheral's own code crosses the air; other errors are 0x0e."""
    errors = iter([AttError(0x81), ValueError("a bug in the peripheral")])

    def refuse() -> bytes:
        raise next(errors)

    spec = CharacteristicSpec(0x2A19, on_read=refuse)
    room = Room(thermometer(services=[ServiceSpec(0x180F, [spec])]))
    async with room.air:
        await room.kitchen.start()
        link = await room.link()
        level = await characteristic(link, LEVEL)
        codes = []
        for _ in range(2):
            with pytest.raises(AttError) as raised:
                await link.read(level.handle)
            codes.append(raised.value.code)
    assert codes == [0x81, 0x0E]


async def test_read_cancelled(room: Room) -> None:
    """After a cancelled read the next one gets its own value, not the late response."""
    link = await room.link()
    level = await characteristic(link, LEVEL)
    for turns in range(20):
        reading = asyncio.create_task(link.read(3))
        for _ in range(turns):
            await asyncio.sleep(0)
        reading.cancel()
        assert await link.read(level.handle) == b"\x64"


async def test_write(room: Room) -> None:
    """Writes arrive in order, with response or without, and their answers are notified."""
    link = await room.link()
    await link.exchange_mtu()
    queue = collect(link)
    command = await characteristic(link, COMMAND)
    await link.write(command.descriptors[0].handle, ON, response=True)
    await link.write(command.handle, b"abc", response=True)
    await link.write(command.handle, b"xyz", response=False)
    async with asyncio.timeout(5):
        assert await queue.get() == (command.handle, b"cba")
        assert await queue.get() == (command.handle, b"zyx")


async def test_write_not_permitted(room: Room) -> None:
    """Writing a read-only characteristic fails with 3."""
    link = await room.link()
    level = await characteristic(link, LEVEL)
    with pytest.raises(AttError) as raised:
        await link.write(level.handle, b"\x00", response=True)
    assert raised.value.code == 0x03


@pytest.mark.parametrize(("uuid", "value"), [(TICKS, ON), (ALERTS, INDICATE)])
async def test_notify(room: Room, uuid: str, value: bytes) -> None:
    """Writing the CCCD starts the periodic values, from 0 each time, and writing 0 ends them."""
    link = await room.link()
    queue = collect(link)
    found = await characteristic(link, uuid)
    cccd = found.descriptors[0].handle
    async with asyncio.timeout(5):
        for _ in range(2):
            await link.write(cccd, value, response=True)
            got = [await queue.get() for _ in range(3)]
            assert got == [(found.handle, struct.pack("<I", count)) for count in range(3)]
            await link.write(cccd, OFF, response=True)
            while not queue.empty():
                queue.get_nowait()
    assert await link.read(cccd) == OFF


async def test_pair(room: Room) -> None:
    """An encrypted characteristic answers 5 until the link is paired."""
    link = await room.link()
    secret = await characteristic(link, SECRET)
    with pytest.raises(AttError) as read:
        await link.read(secret.handle)
    with pytest.raises(AttError) as written:
        await link.write(secret.handle, b"new", response=True)
    assert (read.value.code, written.value.code) == (5, 5)
    await link.pair()
    assert await link.read(secret.handle) == b"hidden"


async def test_pair_again_with_the_bond(room: Room) -> None:
    """A later link uses the keys of the first pairing, until they are forgotten."""
    first = await room.link()
    await first.pair()
    await first.close()
    second = await room.link()
    secret = await characteristic(second, SECRET)
    await second.pair()
    assert await second.read(secret.handle) == b"hidden"
    address = room.peripheral.address_int
    assert [await room.kitchen.remove_bond(address) for _ in range(2)] == [True, False]


async def test_pair_refused() -> None:
    """A peripheral that cannot be paired makes pairing fail with 85, and keeps the link."""
    room = Room(thermometer(pairable=False))
    async with room.air:
        await room.kitchen.start()
        link = await room.link()
        with pytest.raises(PairingError) as raised:
            await link.pair()
        assert raised.value.code == 85
        assert await link.exchange_mtu() == 517


async def test_update_parameters(room: Room) -> None:
    """The peripheral sees the connection parameters that the central sets."""
    seen: asyncio.Future[LinkParameters] = asyncio.get_running_loop().create_future()
    room.air.peripheral(ADDRESS).on_parameters = seen.set_result
    link = await room.link()
    await link.update_parameters(LinkParameters(24, 40, 4, 600))
    async with asyncio.timeout(5):
        assert await seen == LinkParameters(40, 40, 4, 600)


async def test_close(room: Room) -> None:
    """Closing reports 0x16 once, is idempotent, and the peripheral can be connected to again."""
    link = await room.link()
    lost = watch(link)
    await link.close()
    await link.close()
    assert lost.result() == 0x16
    with pytest.raises(AttError):
        await link.read(3)
    assert await (await room.link()).exchange_mtu() == 517


async def test_disconnected_by_the_peripheral(room: Room) -> None:
    """A link that the peripheral drops reports 0x13, and ends the operation under way."""
    link = await room.link()
    lost = watch(link)
    secret = await characteristic(link, SECRET)
    await link.pair()
    peripheral = room.air.peripheral(ADDRESS)
    reading = asyncio.create_task(link.read(secret.handle))
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        await peripheral.disconnect()
        assert await lost == 0x13
        await asyncio.wait({reading})
    assert reading.exception() is None or isinstance(reading.exception(), AttError)
    assert not peripheral.connected
    await link.close()
    assert await (await room.link()).exchange_mtu() == 517


async def test_drop_link(room: Room) -> None:
    """The air drops a peripheral's link with the reason asked for, and says if there was none."""
    lost = watch(await room.link())
    assert room.air.is_connected(ADDRESS)
    assert room.air.drop_link(ADDRESS, 0x08)
    async with asyncio.timeout(5):
        assert await lost == 0x08
    assert not room.air.is_connected(ADDRESS)
    assert not room.air.drop_link(ADDRESS)


async def test_notify_from_outside(room: Room) -> None:
    """The air notifies a value of the user's, once a client has subscribed."""
    link = await room.link()
    queue = collect(link)
    command = await characteristic(link, COMMAND)
    assert not room.air.notify(ADDRESS, COMMAND, b"early")
    await link.write(command.descriptors[0].handle, ON, response=True)
    assert room.air.notify(ADDRESS, COMMAND, b"now")
    async with asyncio.timeout(5):
        assert await queue.get() == (command.handle, b"now")
    await link.close()
    assert not room.air.notify(ADDRESS, COMMAND, b"late")
