"""The Bumble radio by itself: what it hears, and how links open."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from proxyconn_virtual.bumble import BumbleAir
from proxyconn_virtual.peripheral import (
    Outcome,
)
from proxyconn_virtual.radio import (
    Heard,
    OpenError,
)
from tests.virtual.bumble_room import (
    ADDRESS,
    LEVEL,
    ON,
    TICKS,
    Room,
    characteristic,
    first_heard,
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


async def test_scan_active(room: Room) -> None:
    """An active scan reports the name, then the manufacturer data, at the strength of the path."""
    heard = await first_heard(room.kitchen, active=True)
    name = bytes([12, 0x09]) + b"Thermometer" + bytes([3, 0x02, 0x0F, 0x18])
    manufacturer = bytes([5, 0xFF, 0x59, 0x00, 1, 2])
    assert heard == Heard(0xC40000000001, 1, -48, bytes([2, 0x01, 0x06]) + name + manufacturer)


async def test_scan_passive(room: Room) -> None:
    """A passive scan brings no scan response."""
    heard = await first_heard(room.kitchen, active=False)
    assert heard.data == bytes([2, 0x01, 0x06, 12, 0x09]) + b"Thermometer" + bytes(
        [3, 0x02, 0x0F, 0x18]
    )


async def test_scan_rssi_of_each_proxy(room: Room) -> None:
    """Another proxy hears the same peripheral at its own strength."""
    attic = room.air.radio("attic")
    await attic.start()
    assert (await first_heard(attic, active=False)).rssi == -77


async def test_scan_out_of_range(room: Room) -> None:
    """A proxy that the peripheral does not name hears nothing while another hears it."""
    cellar = room.air.radio("cellar")
    await cellar.start()
    heard: list[Heard] = []
    cellar.start_scan(heard.append, active=True)
    for _ in range(3):
        await first_heard(room.kitchen, active=True)
    assert heard == []


async def test_scan_public_address() -> None:
    """A peripheral with a public address is heard, and connected to, under it."""
    room = Room(thermometer("00:11:22:33:44:55", address_type=0))
    async with room.air:
        await room.kitchen.start()
        heard = await first_heard(room.kitchen, active=False)
        assert (heard.address, heard.address_type) == (0x001122334455, 0)
        link = await room.link()
        assert await link.read((await characteristic(link, LEVEL)).handle) == b"\x64"
        await link.pair()


async def test_scan_loss() -> None:
    """A peripheral whose every advertisement is lost is not heard."""
    lossy, clear = thermometer(loss=1.0), thermometer("C4:00:00:00:00:02")
    async with BumbleAir([lossy, clear]) as air:
        radio = air.radio("kitchen")
        await radio.start()
        addresses = {(await first_heard(radio, active=False)).address for _ in range(5)}
    assert addresses == {clear.address_int}


async def test_connect_mtu(room: Room) -> None:
    """The MTU is negotiated to the 517 bytes that both ends offer."""
    assert await (await room.link()).exchange_mtu() == 517


async def test_connect_stops_advertising(room: Room) -> None:
    """A peripheral with a link cannot be connected to again until the link is gone."""
    link = await room.link()
    attic = room.air.radio("attic")
    await attic.start()
    second = asyncio.create_task(attic.connect(room.peripheral.address_int, 1))
    _, pending = await asyncio.wait({second}, timeout=0.1)
    assert pending == {second}
    await link.close()
    async with asyncio.timeout(5):
        assert await (await second).exchange_mtu() == 517


async def test_connect_race() -> None:
    """Two proxies that race for one peripheral get one link after the other, never both."""
    room = Room(thermometer())
    async with room.air:
        radios = [room.kitchen, room.air.radio("attic")]
        attempts = []
        for radio in radios:
            await radio.start()
            attempts.append(asyncio.create_task(radio.connect(room.peripheral.address_int, 1)))
        async with asyncio.timeout(5):
            done, pending = await asyncio.wait(attempts, return_when=asyncio.FIRST_COMPLETED)
            assert (len(done), len(pending)) == (1, 1)
            await done.pop().result().close()
            assert await (await pending.pop()).exchange_mtu() == 517


async def test_connect_many() -> None:
    """Three proxies hold nine links to nine peripherals at the same time."""
    peripherals = [
        thermometer(f"C4:00:00:00:01:{number:02X}", rssi={f"proxy {number % 3}": -60})
        for number in range(9)
    ]
    async with BumbleAir(peripherals) as air, asyncio.timeout(20):
        for number in range(3):
            await air.radio(f"proxy {number}").start()
        links = await asyncio.gather(
            *(
                air.radio(f"proxy {number % 3}").connect(one.address_int, 1)
                for number, one in enumerate(peripherals)
            )
        )
        handle = (await characteristic(links[0], LEVEL)).handle
        assert await asyncio.gather(*(link.read(handle) for link in links)) == [b"\x64"] * 9


async def test_connect_outcomes() -> None:
    """Scripted outcomes come in order, each for its proxy, and are then used up."""
    script = [Outcome(0x3E), Outcome(133, proxy="attic"), Outcome(256, after=0.01)]
    room = Room(thermometer(outcomes=script))
    async with room.air:
        await room.kitchen.start()
        reasons = []
        for _ in range(2):
            with pytest.raises(OpenError) as raised:
                await room.link()
            reasons.append(raised.value.reason)
        assert reasons == [0x3E, 256]
        assert await (await room.link()).exchange_mtu() == 517
        assert [one.proxy for one in script] == ["attic"]


async def test_connect_cancelled(room: Room) -> None:
    """A cancelled attempt to an absent device leaves the controller free for the next one."""
    for _ in range(2):
        attempt = asyncio.create_task(room.kitchen.connect(0xC40000000099, 1))
        _, pending = await asyncio.wait({attempt}, timeout=0.05)
        assert pending == {attempt}
        attempt.cancel()
        with pytest.raises(asyncio.CancelledError):
            await attempt
    assert await (await room.link()).exchange_mtu() == 517


async def test_connect_cancelled_at_any_moment(room: Room) -> None:
    """Wherever an attempt is cancelled, the peripheral is without a link afterwards."""
    for turns in range(40):
        attempt = asyncio.create_task(room.kitchen.connect(room.peripheral.address_int, 1))
        for _ in range(turns):
            await asyncio.sleep(0)
        if attempt.done():
            await attempt.result().close()
        attempt.cancel()
        await asyncio.wait({attempt})
    async with asyncio.timeout(5):
        assert (await first_heard(room.kitchen, active=True)).address == 0xC40000000001
    assert not room.air.peripheral(ADDRESS).connected


async def test_connect_cancelled_as_the_link_opens(room: Room) -> None:
    """A link that opens while its attempt is being cancelled is closed again."""
    attempt = asyncio.create_task(room.kitchen.connect(room.peripheral.address_int, 1))

    def cancel(_: Heard) -> None:
        attempt.cancel()

    room.kitchen.start_scan(cancel, active=False)
    async with asyncio.timeout(5):
        await asyncio.wait({attempt})
    assert attempt.cancelled()
    assert not room.air.peripheral(ADDRESS).connected


async def test_stop_leaves_no_tasks() -> None:
    """Stopping the air in the middle of everything drops links, attempts and scans."""
    before = asyncio.all_tasks()
    room = Room(thermometer())
    await room.air.start()
    await room.kitchen.start()
    room.kitchen.start_scan(lambda _: None, active=True)
    link = await room.link()
    lost = watch(link)
    ticks = await characteristic(link, TICKS)
    await link.write(ticks.descriptors[0].handle, ON, response=True)
    absent = asyncio.create_task(room.kitchen.connect(0xC40000000099, 1))
    await asyncio.sleep(0)
    await room.air.stop()
    await room.air.stop()
    assert lost.result() == 0x16
    with pytest.raises(OpenError):
        await absent
    assert asyncio.all_tasks() == before


async def test_radio_restart(room: Room) -> None:
    """A radio that is power-cycled loses its links, hears and connects again."""
    lost = watch(await room.link())
    await room.kitchen.stop()
    assert lost.result() == 0x16
    await room.kitchen.start()
    assert (await first_heard(room.kitchen, active=True)).rssi == -48
    assert await (await room.link()).exchange_mtu() == 517


def test_same_address_twice() -> None:
    """Two peripherals cannot share an address."""
    with pytest.raises(ValueError, match="same address"):
        BumbleAir([thermometer(), thermometer()])


def test_import_without_bumble() -> None:
    """Without Bumble the import error says what to install."""
    program = "import sys; sys.modules['bumble'] = None; import proxyconn_virtual.bumble"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert run.returncode == 1
    assert "pip install proxyconn[virtual]" in run.stderr
