"""What virtual peripherals say on the air, and under which address."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from random import Random

import pytest
from bluetooth_data_tools import (
    get_cipher_for_irk,
    parse_advertisement_data_bytes,
    resolve_private_address,
)

from proxyconn_virtual.advertising import Advertisement, PrivateAddress, payload
from proxyconn_virtual.bumble import BumbleAir
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.radio import Air, Heard
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import FIRST, Bench, address, api, peripheral

BTHOME = "0000fcd2-0000-1000-8000-00805f9b34fb"
LONG = "6d1f0001-52a7-4f3c-9d0a-0a7c1f6e2b10"
IRK = bytes(range(16))
ONE, TWO = Advertisement(data=b"\x02\x01\x06"), Advertisement(data=b"\x02\x01\x04")
MakeAir = Callable[[list[Peripheral]], Air]

both_radios = pytest.mark.parametrize("make_air", [SimulatedAir, BumbleAir])


@asynccontextmanager
async def on_air(make_air: MakeAir, device: Peripheral) -> AsyncIterator[Air]:
    """Run an air with one peripheral."""
    air = make_air([device])
    await air.start()
    try:
        yield air
    finally:
        await air.stop()


async def hear(air: Air, count: int, *, active: bool = True) -> list[Heard]:
    """Return the next reports of the kitchen's radio."""
    radio = air.radio("kitchen")
    heard: asyncio.Queue[Heard] = asyncio.Queue()
    await radio.start()
    radio.start_scan(heard.put_nowait, active=active)
    async with asyncio.timeout(5):
        reports = [await heard.get() for _ in range(count)]
    radio.stop_scan()
    return reports


def test_payload_is_what_parsers_read() -> None:
    """Every part is found again by another package's parser."""
    data = payload(
        flags=6,
        name="Sensor",
        services=[0x180F, LONG, "181a"],
        service_data={0xFCD2: b"\x40", LONG: b"\x01"},
        manufacturer_data={0x004C: b"\x02\x15"},
        tx_power=-4,
    )
    name, uuids, service_data, manufacturer_data, power = parse_advertisement_data_bytes(data)
    short = ["0000180f-0000-1000-8000-00805f9b34fb", "0000181a-0000-1000-8000-00805f9b34fb"]
    assert (name, sorted(uuids)) == ("Sensor", [*short, LONG])
    assert service_data == {BTHOME: b"\x40", LONG: b"\x01"}
    assert (manufacturer_data, power) == ({0x004C: b"\x02\x15"}, -4)
    assert payload(appearance=0x0341) == b"\x03\x19\x41\x03"
    assert payload(services=[0x12345678]) == b"\x05\x05\x78\x56\x34\x12"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Advertisement(data=bytes(32)), "advertising data has 32 bytes, and 31 fit"),
        (lambda: Advertisement(data=b"", scan_response=bytes(40)), "scan response has 40 bytes"),
        (lambda: Advertisement(data=bytes(1651), extended=True), "and 1650 fit"),
        (lambda: Advertisement(data=b"", scan_response=b"x", extended=True), "no scan response"),
        (lambda: payload(manufacturer_data={1: bytes(300)}), "too many for one structure"),
        (lambda: PrivateAddress(irk=b"short"), "5 bytes instead of 16"),
        (lambda: PrivateAddress(every=0), "more than 0 s"),
        (lambda: SimulatedAir([peripheral(service_data={1: bytes(30)})]), "'device 1': the adv"),
        (lambda: SimulatedAir([peripheral(advertising=[])]), "no advertisement to send"),
        (
            lambda: BumbleAir([peripheral(private_address=PrivateAddress())]),
            "no private addresses; use simulated",
        ),
    ],
)
def test_what_cannot_be_said(make: Callable[[], object], words: str) -> None:
    """What does not fit, or does not exist, is refused when it is made."""
    with pytest.raises(ValueError, match=words):
        make()


@both_radios
async def test_service_data_needs_no_asking(make_air: MakeAir) -> None:
    """Service data is heard passively, manufacturer data only with the scan response."""
    device = peripheral(service_data={0xFCD2: b"\x40"}, manufacturer_data={0xFFFF: b"\x01"})
    async with on_air(make_air, device) as air:
        passive, *_ = await hear(air, 1, active=False)
        active, *_ = await hear(air, 1)
    assert parse_advertisement_data_bytes(passive.data)[2:4] == ({BTHOME: b"\x40"}, {})
    assert parse_advertisement_data_bytes(active.data)[2:4] == (
        {BTHOME: b"\x40"},
        {0xFFFF: b"\x01"},
    )


@both_radios
async def test_name_for_those_who_ask(make_air: MakeAir) -> None:
    """A name in the scan response is heard by active scans only."""
    async with on_air(make_air, peripheral(name_in_response=True)) as air:
        passive, *_ = await hear(air, 1, active=False)
        active, *_ = await hear(air, 1)
    assert parse_advertisement_data_bytes(passive.data)[0] is None
    assert parse_advertisement_data_bytes(active.data)[0] == "device 1"


@both_radios
async def test_raw_payloads_in_turns(make_air: MakeAir) -> None:
    """Raw payloads are heard as they are, one after the other."""
    with_response = Advertisement(data=b"\x03\xff\x01\x02", scan_response=payload(name="N"))
    async with on_air(make_air, peripheral(advertising=[ONE, with_response])) as air:
        active = {heard.data for heard in await hear(air, 3)}
        passive = {heard.data for heard in await hear(air, 3, active=False)}
    assert passive == {ONE.data, with_response.data}
    assert active == {ONE.data, with_response.data + b"\x02\x09N"}


@both_radios
async def test_payloads_that_change(make_air: MakeAir) -> None:
    """A function says something else each time; `advertise` replaces what is said."""

    def count(number: int) -> Advertisement:
        return Advertisement(data=payload(manufacturer_data={0xFFFF: bytes((number,))}))

    async with on_air(make_air, peripheral(advertising=count)) as air:
        numbers = [heard.data[-1] for heard in await hear(air, 3)]
        assert numbers == list(range(numbers[0], numbers[0] + 3))
        air.advertise(address(1), TWO)
        assert (await hear(air, 2))[-1].data == TWO.data
        with pytest.raises(KeyError):
            air.advertise(address(9), TWO)


@both_radios
async def test_a_function_that_fails(make_air: MakeAir, caplog: pytest.LogCaptureFixture) -> None:
    """A function that raises is logged with the peripheral's name, and the next time is heard."""

    def fail_first(number: int) -> Advertisement:
        if number == 0:
            raise ZeroDivisionError
        return TWO

    async with on_air(make_air, peripheral(advertising=fail_first)) as air:
        assert (await hear(air, 1))[0].data == TWO.data
    assert [record.levelno for record in caplog.records] == [logging.ERROR]
    assert "what device 1 advertises" in caplog.text


@pytest.mark.parametrize("hears_extended", [False, True])
async def test_extended_payloads(bench: Bench, hears_extended: bool) -> None:
    """A long payload reaches the client of a proxy that hears it, and of no other."""
    long = payload(manufacturer_data={0xFFFF: bytes(200)})
    says = Advertisement(data=long, extended=True)
    proxy = await bench.proxy(
        peripheral(advertising=says), peripheral(2), hears_extended=hears_extended
    )
    peer = await bench.peer(proxy, subscribe=True)
    heard: dict[int, bytes] = {}
    for _ in range(3):
        batch = await peer.wait_for(api.BluetoothLERawAdvertisementsResponse)
        heard |= {one.address: one.data for one in batch.advertisements}
    assert heard.get(FIRST) == (long if hears_extended else None)
    assert FIRST + 1 in heard


def test_private_addresses_are_of_their_kind() -> None:
    """Resolvable ones are resolved by their key only; the others begin with two zero bits."""
    rng = Random(1)
    right, wrong = get_cipher_for_irk(IRK), get_cipher_for_irk(bytes(16))
    for _ in range(50):
        text = PrivateAddress(irk=IRK).next_address(rng).to_bytes(6, "big").hex(":")
        assert resolve_private_address(right, text)
        assert not resolve_private_address(wrong, text)
        assert PrivateAddress().next_address(rng) >> 46 == 0b00
    assert IRK.hex() not in repr(PrivateAddress(irk=IRK))


@pytest.mark.looptime
async def test_private_address_rotates() -> None:
    """It is heard under one address at a time, a random one, and under another afterwards."""
    device = peripheral(address_type=0, private_address=PrivateAddress(irk=IRK, every=10.0))
    async with on_air(SimulatedAir, device) as air:
        first = {heard.address for heard in await hear(air, 20)}
        assert {heard.address_type for heard in await hear(air, 1)} == {1}
        now = int(air.address_now(address(1)).replace(":", ""), 16)
        assert first == {now}
        assert now != FIRST
        await asyncio.sleep(10)
        second = {heard.address for heard in await hear(air, 20)}
        assert len(second) == 1
        assert second.isdisjoint(first)


@pytest.mark.looptime
async def test_private_address_connects_while_it_lasts() -> None:
    """The address of the moment opens a link; an old one, and the hidden one, open none."""
    device = peripheral(private_address=PrivateAddress(every=10.0))
    async with on_air(SimulatedAir, device) as air:
        radio = air.radio("kitchen")
        old = int(air.address_now(address(1)).replace(":", ""), 16)
        link = await radio.connect(old, 1)
        await link.pair()
        await link.close()
        assert await radio.remove_bond(old)
        await asyncio.sleep(10)
        for gone in (old, FIRST):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(radio.connect(gone, 1), 5)
        assert not air.is_connected(address(1))
