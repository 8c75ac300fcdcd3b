"""What a client makes of the faults of the slots."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import BleakOutOfConnectionSlotsError, RadioState, Retry
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fault_catalogue import FaultName as Name
from proxyconn_virtual.faults import Drop
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from tests.faults.conftest import VALUE, OpenHome, address, in_profiles, until

pytestmark = pytest.mark.looptime

SETTLED = 60.0
"""Seconds in which a client frees what it does not use."""


def names_several(firmware: FirmwareProfile) -> bool:
    """Whether one of several slots can be told to be nobody's, by the addresses in reports."""
    return firmware.allocated and firmware.max_slots > 1


@in_profiles(Name.DUPLICATE_SLOT)
async def test_duplicate_slot(open_home: OpenHome, profile: str) -> None:
    """A device that stands in the list twice is as usable as ever, and both slots are freed."""
    home = await open_home(Name.DUPLICATE_SLOT, profile, devices=2)
    undo = home.strike()
    client = await home.connect()
    assert await client.read_gatt_char(VALUE) == b"value"
    await asyncio.sleep(5.0)
    assert client.is_connected
    assert [held for held, _ in home.near.snapshot().slots] == [address(1)] * 2
    assert not home.drops
    await client.disconnect()
    await asyncio.sleep(SETTLED if home.near.profile.allocated else 0.0)
    assert home.near.snapshot().free == (3 if home.near.profile.allocated else 2)
    home.record("both slots free" if home.near.profile.allocated else "one slot free")
    if not home.near.profile.allocated:
        undo()
    again = await home.connect()
    other = await home.connect(2, max_attempts=1)
    await again.disconnect()
    await other.disconnect()
    await home.all_free(SETTLED)


@pytest.mark.parametrize("how", ["short", "absent", "zeros"])
@in_profiles(Name.SLOT_MISMATCH)
async def test_slot_mismatch(open_home: OpenHome, profile: str, how: str) -> None:
    """A list that does not go with its numbers ends no link."""
    home = await open_home(Name.SLOT_MISMATCH, profile, devices=3)
    clients = await home.links(home.slots - 1)
    home.strike(how)
    clients.append(await home.connect(len(clients) + 1))
    await asyncio.sleep(5.0)
    for client in clients:
        assert await client.read_gatt_char(VALUE) == b"value"
    assert not home.drops
    report = home.sent(pb.BluetoothConnectionsFreeResponse)[-1]
    short = len(clients) - 1 if home.near.profile.allocated else 0
    listed = {"zeros": home.slots, "absent": 0, "short": short}[how]
    assert (report.free, len(report.allocated)) == (home.slots - len(clients), listed)
    for client in clients:
        await client.disconnect()
    await home.works()
    home.record("links kept")
    await home.all_free()
    assert len(home.drops) == len(clients) + 1


@in_profiles(Name.SLOT_LEAK)
async def test_slot_leak(open_home: OpenHome, profile: str) -> None:
    """Slots held for addresses that nobody uses are freed by disconnecting those."""
    home = await open_home(Name.SLOT_LEAK, profile)
    undo = home.strike(home.slots)
    assert home.near.snapshot().free == 0
    if not home.near.profile.allocated:
        # Nobody can know whom to disconnect.
        with pytest.raises(BleakOutOfConnectionSlotsError):
            await home.connect()
        home.record("BleakOutOfConnectionSlotsError")
        undo()
        await home.works()
        return
    client = await home.connect()
    home.record("connected once a slot was freed")
    assert home.since < SETTLED
    await client.disconnect()
    await home.all_free(SETTLED)


@in_profiles(Name.SLOT_LEAK)
async def test_no_slot_until_the_deadline(open_home: OpenHome, profile: str) -> None:
    """Whoever waits for a slot until a deadline does nothing meanwhile but wait."""
    home = await open_home(Name.SLOT_LEAK, profile)
    home.strike(home.slots)
    home.near.injectors.append(Drop(pb.BluetoothDeviceRequest))
    attempts = 0

    def count(retry: Retry) -> None:
        nonlocal attempts
        attempts += 1
        assert attempts < 100, "attempts without a pause"

    with pytest.raises(BleakOutOfConnectionSlotsError):
        await home.connect(deadline=45.0, on_retry=count)
    home.record("BleakOutOfConnectionSlotsError at the deadline")
    assert 44.0 < home.since < 46.5
    home.near.reboot(1.0)
    await asyncio.sleep(5.0)
    home.near.injectors.clear()
    await home.ready(60.0)
    await home.works()
    await home.all_free()


@in_profiles(Name.SLOT_LEAK, names_several)
async def test_slot_leak_beside_a_link(open_home: OpenHome, profile: str) -> None:
    """Tidying up leaves links in use alone."""
    home = await open_home(Name.SLOT_LEAK, profile)
    client = await home.connect()
    home.strike(2)
    assert home.near.snapshot().free == 0
    await until(lambda: home.near.snapshot().free == 2, SETTLED)
    home.record("slots free")
    assert client.is_connected
    assert await client.read_gatt_char(VALUE) == b"value"
    assert not home.drops
    await client.disconnect()
    await home.all_free(SETTLED)


@in_profiles(Name.WEDGED_CONNECTING)
async def test_wedged_connecting(open_home: OpenHome, profile: str) -> None:
    """Devices of a wedged proxy are reached through another one; a restart brings it back."""
    home = await open_home(Name.WEDGED_CONNECTING, profile, "kitchen bedroom", devices=2)
    undo = home.strike(address(1))
    client = await home.connect(1)
    home.record("connected through another proxy")
    if not home.near.profile.backend:
        assert home.near.snapshot().slots[0] == (address(1), "connecting")
    assert home.since < 60.0
    before = home.now
    other = await home.connect(2)
    assert home.now - before < 45.0
    for one in (client, other):
        assert await one.read_gatt_char(VALUE) == b"value"
        await one.disconnect()
    undo()
    home.near.reboot(20.0)
    await asyncio.sleep(25.0)
    await home.ready(60.0)
    await home.works()
    await home.all_free()


@in_profiles(Name.WEDGED_CONNECTING)
async def test_wedged_connecting_is_told(open_home: OpenHome, profile: str) -> None:
    """A proxy that is wedged, alone, is not called ready for ever, and every call ends."""
    home = await open_home(Name.WEDGED_CONNECTING, profile)
    undo = home.strike()
    with pytest.raises(Exception, match="device 1"):
        await home.connect(deadline=120.0)
    if home.near.profile.backend:
        # Told to give the attempt up, the proxy does so: it is not wedged.
        undo()
        await home.works(within=60.0)
        home.record("connected once the attempt was given up")
        await home.all_free()
        return
    await until(lambda: home.radio.state is not RadioState.READY, 240.0)
    home.record("told to be unhealthy")
    home.near.reboot(20.0)
    home.near.injectors.clear()
    await asyncio.sleep(25.0)
    await home.ready(60.0)
    await home.works()
    await home.all_free()
