"""The Bumble radio by itself: real LL, ATT and SMP between software controllers."""

from __future__ import annotations

import asyncio
import struct
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from proxyconn_virtual.bumble import BumbleAir
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Outcome,
    Peripheral,
    Properties,
    ServiceSpec,
    uuid128,
)
from proxyconn_virtual.radio import (
    AttError,
    Characteristic,
    Heard,
    LinkParameters,
    OpenError,
    PairingError,
    Radio,
    RadioLink,
)

ADDRESS = "C4:00:00:00:00:01"
LEVEL = uuid128(0x2A19)
COMMAND = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
SECRET = uuid128(0x2A9F)
TICKS = uuid128(0x2A37)
ALERTS = uuid128(0x2A46)
CCCD = uuid128(0x2902)
ON, INDICATE, OFF = b"\x01\x00", b"\x02\x00", b"\x00\x00"


def thermometer(address: str = ADDRESS, **changes: object) -> Peripheral:
    """Return a peripheral with one characteristic of each manner."""
    write = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
    characteristics = (
        CharacteristicSpec(0x2A19, value=b"\x64"),
        CharacteristicSpec(COMMAND, write | Properties.NOTIFY, on_write=lambda value: value[::-1]),
        CharacteristicSpec("2a9f", Properties.READ | write, value=b"hidden", encrypted=True),
        CharacteristicSpec(0x2A37, Properties.NOTIFY, notify_every=0.01),
        CharacteristicSpec(0x2A46, Properties.INDICATE, notify_every=0.01),
    )
    peripheral = Peripheral(
        address,
        "Thermometer",
        services=(ServiceSpec(0x180F, characteristics),),
        rssi={"kitchen": -48, "attic": -77},
        interval=0.01,
        manufacturer_data={0x0059: b"\x01\x02"},
        latency=0.0,
    )
    for name, value in changes.items():
        setattr(peripheral, name, value)
    return peripheral


class Room:
    """An air with one thermometer and a started radio in the kitchen."""

    def __init__(self, peripheral: Peripheral) -> None:
        self.peripheral = peripheral
        self.air = BumbleAir([peripheral])
        self.kitchen: Radio = self.air.radio("kitchen")

    async def link(self) -> RadioLink:
        """Open a link from the kitchen."""
        async with asyncio.timeout(5):
            return await self.kitchen.connect(
                self.peripheral.address_int, self.peripheral.address_type
            )


@pytest.fixture
async def room() -> AsyncIterator[Room]:
    """Return a room with the usual thermometer."""
    room = Room(thermometer())
    async with room.air:
        await room.kitchen.start()
        yield room


async def first_heard(radio: Radio, *, active: bool) -> Heard:
    """Scan until one advertisement is heard."""
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    radio.start_scan(heard.put_nowait, active=active)
    async with asyncio.timeout(5):
        result = await heard.get()
    radio.stop_scan()
    return result


async def characteristic(link: RadioLink, uuid: str) -> Characteristic:
    """Discover, and return the characteristic with a UUID."""
    services = await link.discover()
    return next(one for service in services for one in service.characteristics if one.uuid == uuid)


def collect(link: RadioLink) -> asyncio.Queue[tuple[int, bytes]]:
    """Return a queue that takes every value that the peripheral sends."""
    queue: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
    link.on_notify = lambda handle, value: queue.put_nowait((handle, value))
    return queue


def watch(link: RadioLink) -> asyncio.Future[int]:
    """Return a future for the reason of the disconnection; a second report fails it."""
    lost: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    link.on_disconnect = lost.set_result
    return lost


async def test_scan_active(room: Room) -> None:
    """An active scan reports the name, then the manufacturer data, at the strength of the path."""
    heard = await first_heard(room.kitchen, active=True)
    name = bytes([12, 0x09]) + b"Thermometer"
    manufacturer = bytes([5, 0xFF, 0x59, 0x00, 1, 2])
    assert heard == Heard(0xC40000000001, 1, -48, bytes([2, 0x01, 0x06]) + name + manufacturer)


async def test_scan_passive(room: Room) -> None:
    """A passive scan brings no scan response."""
    heard = await first_heard(room.kitchen, active=False)
    assert heard.data == bytes([2, 0x01, 0x06, 12, 0x09]) + b"Thermometer"


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


def test_import_without_bumble() -> None:
    """Without Bumble the import error says what to install."""
    program = "import sys; sys.modules['bumble'] = None; import proxyconn_virtual.bumble"
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=30
    )
    assert run.returncode == 1
    assert "pip install proxyconn[virtual]" in run.stderr
