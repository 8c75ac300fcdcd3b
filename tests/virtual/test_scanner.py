"""The scanner of a proxy: states, mode and batches."""

from __future__ import annotations

import asyncio
import math

import pytest

from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.peripheral import Outcome
from tests.virtual.conftest import (
    DEADLINE,
    FIRST,
    QUICK,
    WITHOUT_CACHE,
    Bench,
    Peer,
    api,
    peripheral,
)

IDLE, STARTING, RUNNING, STOPPING = 0, 1, 2, 4
PASSIVE, ACTIVE = 0, 1


async def states(peer: Peer, count: int) -> list[int]:
    """Return the next scanner states."""
    return [(await peer.wait_for(api.BluetoothScannerStateResponse)).state for _ in range(count)]


async def test_scanner_stops_for_an_attempt(bench: Bench) -> None:
    """The scan stops for an attempt, and starts again once the link is up."""
    proxy, peer = await bench.pair(peripheral(latency=0.05))
    peer.ask(WITHOUT_CACHE)
    assert await states(peer, 2) == [STOPPING, IDLE]
    assert not proxy.snapshot().scanning
    assert await states(peer, 2) == [STARTING, RUNNING]
    assert proxy.snapshot().scanning


async def test_scanner_is_silent_during_an_attempt(bench: Bench) -> None:
    """No advertisement is heard while an attempt is under way."""
    proxy, peer = await bench.pair(
        peripheral(outcomes=[Outcome(after=math.inf)]), peripheral(2), establish_limit=0.15
    )
    peer.ask(WITHOUT_CACHE)
    await states(peer, 2)
    while not peer.inbox.empty():
        peer.inbox.get_nowait()
    seen = []
    while not isinstance(
        message := await asyncio.wait_for(peer.inbox.get(), DEADLINE),
        api.BluetoothDeviceConnectionResponse,
    ):
        seen.append(type(message).__name__)
    assert "BluetoothLERawAdvertisementsResponse" not in seen[1:]
    assert proxy.snapshot().free == 3


async def test_scanner_mode(bench: Bench) -> None:
    """Another mode restarts the scan; the configured mode stays; the same mode does nothing."""
    _, peer = await bench.pair(peripheral(manufacturer_data={0xFFFF: b"\1"}))
    peer.send(api.BluetoothScannerSetModeRequest(mode=ACTIVE))
    peer.send(api.BluetoothScannerSetModeRequest(mode=PASSIVE))
    got = [await peer.wait_for(api.BluetoothScannerStateResponse) for _ in range(4)]
    assert [message.state for message in got] == [STOPPING, IDLE, STARTING, RUNNING]
    assert {message.mode for message in got} == {PASSIVE}
    assert {message.configured_mode for message in got} == {ACTIVE}


async def test_scan_response_needs_active_mode(bench: Bench) -> None:
    """The scan response follows the advertising data only in active mode."""
    _, peer = await bench.pair(peripheral(manufacturer_data={0xFFFF: b"\1"}))
    adverts = api.BluetoothLERawAdvertisementsResponse
    response = b"\x04\xff\xff\xff\x01"
    assert (await peer.wait_for(adverts)).advertisements[0].data.endswith(response)
    peer.send(api.BluetoothScannerSetModeRequest(mode=PASSIVE))
    await states(peer, 4)
    await peer.wait_for(adverts)
    assert not (await peer.wait_for(adverts)).advertisements[0].data.endswith(response)


async def test_scan_cycle(bench: Bench) -> None:
    """The scan ends and begins again after its cycle."""
    _, peer = await bench.pair(peripheral(), timings=Timings(scan_cycle=0.1, advert_flush=0.01))
    assert await states(peer, 4) == [STOPPING, IDLE, STARTING, RUNNING]


async def test_advertisements_in_batches(bench: Bench) -> None:
    """At most 16 go in one message, and a full batch does not wait."""
    devices = [peripheral(number, interval=0.01) for number in range(1, 41)]
    _, peer = await bench.pair(*devices, timings=Timings(advert_flush=60.0))
    for _ in range(5):
        batch = await peer.wait_for(api.BluetoothLERawAdvertisementsResponse)
        assert len(batch.advertisements) == 16


async def test_partial_batch_is_flushed(bench: Bench) -> None:
    """A batch that is not full goes out after the flush time."""
    _, peer = await bench.pair(peripheral(interval=10.0), peripheral(2, interval=0.02))
    batch = await peer.wait_for(api.BluetoothLERawAdvertisementsResponse)
    assert 0 < len(batch.advertisements) < 16
    first = batch.advertisements[0]
    assert (first.address, first.address_type) == (FIRST + 1, 1)
    assert -64 <= first.rssi <= -56
    assert first.data == b"\x02\x01\x06\x09\x09device 2\x03\x02\x0f\x18"


@pytest.mark.parametrize("mode", [PASSIVE, ACTIVE])
async def test_mode_on_old_firmware_is_ignored(bench: Bench, mode: int) -> None:
    """Firmware without scanner state does not know mode requests."""
    _, peer = await bench.pair(peripheral(), profile="2024.11", timings=QUICK)
    peer.send(api.BluetoothScannerSetModeRequest(mode=mode))
    peer.send(api.ListEntitiesRequest())
    while not isinstance(got := await peer.inbox.get(), api.ListEntitiesDoneResponse):
        assert not isinstance(got, api.BluetoothScannerStateResponse)
