"""The simulated radio by itself, on a fake clock."""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxyconn_virtual.peripheral import CharacteristicSpec, Outcome, Properties, ServiceSpec
from proxyconn_virtual.radio import AttError, Heard, OpenError
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import FIRST, address, peripheral

pytestmark = pytest.mark.looptime

KITCHEN_AND_GARAGE = {"kitchen": -50, "garage": -80}


@asynccontextmanager
async def on_air(*devices: object, seed: int = 0) -> AsyncIterator[SimulatedAir]:
    """Run an air with peripherals."""
    air = SimulatedAir(devices, seed)  # type: ignore[arg-type]
    await air.start()
    try:
        yield air
    finally:
        await air.stop()


async def listen(seed: int) -> list[tuple[str, Heard]]:
    """Return what two radios hear in two seconds."""
    heard: list[tuple[str, Heard]] = []
    devices = [peripheral(n, rssi=KITCHEN_AND_GARAGE, interval=0.1, loss=0.3) for n in range(1, 6)]
    async with on_air(*devices, seed=seed) as air:
        for name in KITCHEN_AND_GARAGE:
            radio = air.radio(name)
            radio.start_scan(lambda h, name=name: heard.append((name, h)), active=False)  # type: ignore[misc]
        await asyncio.sleep(2)
    return heard


async def test_air_is_seeded() -> None:
    """The same seed gives the same reports in the same order; another seed gives others."""
    first = await listen(1)
    assert first == await listen(1)
    assert first != await listen(2)


async def test_air_interval_and_loss() -> None:
    """Reports come about once per interval, less what is lost, to each radio by its RSSI."""
    heard = await listen(1)
    kitchen = [h for name, h in heard if name == "kitchen"]
    assert 45 <= len(kitchen) <= 85
    assert {h.address for h in kitchen} == {FIRST + n for n in range(5)}
    assert all(-53 <= h.rssi <= -47 for h in kitchen)


async def test_air_only_reports_to_radios_in_reach() -> None:
    """A radio that a peripheral does not name hears nothing of it."""
    heard: list[Heard] = []
    async with on_air(peripheral(rssi={"garage": -50})) as air:
        air.radio("kitchen").start_scan(heard.append, active=True)
        await asyncio.sleep(1)
    assert not heard


async def test_stop_scan_is_silent() -> None:
    """After stop_scan nothing is reported, and start_scan reports again."""
    heard: list[Heard] = []
    async with on_air(peripheral()) as air:
        radio = air.radio("kitchen")
        radio.start_scan(heard.append, active=True)
        await asyncio.sleep(0.2)
        radio.stop_scan()
        count = len(heard)
        assert count > 5
        await asyncio.sleep(1)
        assert len(heard) == count
        radio.start_scan(heard.append, active=True)
        await asyncio.sleep(0.2)
        assert len(heard) > count


async def test_connected_peripheral_is_silent_and_busy() -> None:
    """A connected peripheral does not advertise, and a second connect waits until it is free."""
    heard: list[Heard] = []
    async with on_air(peripheral(rssi=KITCHEN_AND_GARAGE)) as air:
        link = await air.radio("kitchen").connect(FIRST, 1)
        assert air.is_connected(address(1))
        air.radio("garage").start_scan(heard.append, active=True)
        second = asyncio.create_task(air.radio("garage").connect(FIRST, 1))
        await asyncio.sleep(100)
        assert not heard
        assert not second.done()
        await link.close()
        other = await second
        assert not heard
        reasons: list[int] = []
        other.on_disconnect = reasons.append
        await other.close()
        await other.close()
        await asyncio.sleep(1)
        assert heard
        assert reasons == [0x16]


async def test_outcomes_in_order() -> None:
    """Outcomes are used up one by one, those of another proxy are left alone."""
    device = peripheral(
        rssi=KITCHEN_AND_GARAGE,
        latency=0.5,
        outcomes=[Outcome(62), Outcome(133, proxy="garage"), Outcome(8, after=3.0)],
    )
    async with on_air(device) as air:
        loop = asyncio.get_running_loop()
        radio = air.radio("kitchen")
        for reason, seconds in ((62, 0.5), (8, 3.0)):
            began = loop.time()
            with pytest.raises(OpenError) as caught:
                await radio.connect(FIRST, 1)
            assert caught.value.reason == reason
            assert loop.time() - began == pytest.approx(seconds)
        await (await radio.connect(FIRST, 1)).close()
        assert [outcome.reason for outcome in device.outcomes] == [133]


async def test_outcome_that_never_comes() -> None:
    """An infinite outcome hangs until it is cancelled, and holds nothing then."""
    async with on_air(peripheral(outcomes=[Outcome(after=math.inf)])) as air:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1000):
                await air.radio("kitchen").connect(FIRST, 1)
        await air.radio("kitchen").connect(FIRST, 1)


async def test_cancelled_connect_holds_nothing() -> None:
    """A connect that is cancelled while it waits leaves the peripheral free."""
    async with on_air(peripheral(latency=1.0)) as air:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.5):
                await air.radio("kitchen").connect(FIRST, 1)
        await asyncio.sleep(5)
        assert not air.is_connected(address(1))


async def test_periodic_notifications() -> None:
    """A subscribed characteristic notifies on time, many at a tick, until unsubscribed."""
    fast = CharacteristicSpec(0x2A37, Properties.NOTIFY, notify_every=0.0005)
    slow = CharacteristicSpec(0x2A1C, Properties.INDICATE, notify_every=0.1)
    device = peripheral(services=(ServiceSpec(0x180D, (fast, slow)),))
    async with on_air(device) as air:
        link = await air.radio("kitchen").connect(FIRST, 1)
        got: list[tuple[int, bytes]] = []
        link.on_notify = lambda handle, value: got.append((handle, value))
        found = (await link.discover())[-1].characteristics
        for characteristic in found:
            await link.write(characteristic.descriptors[0].handle, b"\2\0", response=True)
        await asyncio.sleep(1.0)
        counts = {c.uuid[4:8]: sum(h == c.handle for h, _ in got) for c in found}
        assert 1900 <= counts["2a37"] <= 2001
        assert 9 <= counts["2a1c"] <= 10
        for characteristic in found:
            await link.write(characteristic.descriptors[0].handle, b"\0\0", response=True)
        got.clear()
        await asyncio.sleep(1.0)
        assert not got


async def test_resubscribing_does_not_double() -> None:
    """Unsubscribing and subscribing again within one period notifies at the same rate."""
    slow = CharacteristicSpec(0x2A1C, Properties.NOTIFY, notify_every=1.0)
    async with on_air(peripheral(services=(ServiceSpec(0x1809, (slow,)),))) as air:
        link = await air.radio("kitchen").connect(FIRST, 1)
        got: list[bytes] = []
        link.on_notify = lambda handle, value: got.append(value)
        cccd = (await link.discover())[-1].characteristics[0].descriptors[0].handle
        for value in (b"\1\0", b"\0\0", b"\1\0"):
            await link.write(cccd, value, response=True)
        await asyncio.sleep(3.5)
        assert len(got) == 3


async def test_write_without_response_cannot_fail() -> None:
    """The peripheral has no way to refuse a write without response."""
    async with on_air(peripheral()) as air:
        link = await air.radio("kitchen").connect(FIRST, 1)
        await link.write(99, b"x", response=False)
        with pytest.raises(AttError) as caught:
            await link.write(99, b"x", response=True)
        assert caught.value.code == 1


async def test_stop_drops_links() -> None:
    """Stopping the air drops every link, once."""
    reasons: list[int] = []
    async with on_air(peripheral()) as air:
        link = await air.radio("kitchen").connect(FIRST, 1)
        link.on_disconnect = reasons.append
    assert reasons == [8]
    assert not air.is_connected(address(1))


def test_addresses_must_differ() -> None:
    """Two peripherals of one address are refused."""
    with pytest.raises(ValueError, match="same address"):
        SimulatedAir([peripheral(), peripheral()])


def test_advertising_must_fit() -> None:
    """Manufacturer data that do not fit the scan response are refused."""
    with pytest.raises(ValueError, match="34 bytes, and 31 fit"):
        SimulatedAir([peripheral(manufacturer_data={0xFFFF: bytes(30)})])
