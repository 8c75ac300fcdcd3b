"""What a client makes of the faults of connecting."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import (
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    LinkError,
)
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fault_catalogue import CATALOGUE
from proxyconn_virtual.fault_catalogue import FaultName as Name
from proxyconn_virtual.faults import Drop
from tests.faults.conftest import VALUE, OpenHome, address, in_profiles, until

pytestmark = pytest.mark.looptime


@in_profiles(Name.LOST_DISCONNECT)
async def test_lost_disconnect(open_home: OpenHome, profile: str) -> None:
    """A link whose end nobody told is given up when the slot report lacks it, once."""
    home = await open_home(Name.LOST_DISCONNECT, profile)
    client = await home.connect()
    undo = home.strike()
    home.drop_link(8)
    await until(lambda: not client.is_connected, 5.0)
    await until(lambda: home.drops == [address(1)], 1.0)
    assert not home.notices()
    home.record("told by the slot report")
    undo()
    await home.works()
    await home.all_free()
    assert len(home.drops) == 2


@in_profiles(Name.LOST_DISCONNECT)
async def test_lost_disconnect_without_report(open_home: OpenHome, profile: str) -> None:
    """A link of whose end nothing at all was told is found out by asking, though it is idle."""
    home = await open_home(Name.LOST_DISCONNECT, profile)
    client = await home.connect()
    undo = home.strike()
    home.near.injectors.append(Drop(pb.BluetoothConnectionsFreeResponse, count=1))
    home.drop_link(8)
    await until(lambda: not client.is_connected, 60.0)
    assert home.since > 1.0
    home.record("found out by asking for a slot report")
    undo()
    await home.works()
    await home.all_free()
    assert len(home.drops) == 2


@in_profiles(Name.CONNECT_SILENT)
async def test_connect_silent(open_home: OpenHome, profile: str) -> None:
    """A proxy that does not answer costs one attempt; the other proxy connects."""
    home = await open_home(Name.CONNECT_SILENT, profile, "kitchen bedroom")
    home.strike()
    client = await home.connect()
    home.record("connected through another proxy")
    assert 19.0 < home.since < 45.0
    assert not home.notices()
    assert await client.read_gatt_char(VALUE) == b"value"
    await client.disconnect()
    await home.all_free()
    assert home.drops == [address(1)]


@in_profiles(Name.CONNECT_SILENT)
async def test_connect_silent_alone(open_home: OpenHome, profile: str) -> None:
    """Without another proxy the attempts end with a typed error, and the proxy is used again."""
    home = await open_home(Name.CONNECT_SILENT, profile)
    undo = home.strike()
    with pytest.raises(BleakNotFoundError) as caught:
        await home.connect()
    home.record("BleakNotFoundError")
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert home.since < 180.0
    undo()
    await home.works()
    await home.all_free()


@in_profiles(Name.CONNECTED_NEVER)
async def test_connected_never(open_home: OpenHome, profile: str) -> None:
    """A link that is never reported is let go, and made through the other proxy."""
    home = await open_home(Name.CONNECTED_NEVER, profile, "kitchen bedroom")
    home.strike()
    client = await home.connect()
    home.record("connected through another proxy")
    assert 19.0 < home.since < 45.0
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.LATE_CONNECTED)
async def test_late_connected(open_home: OpenHome, profile: str) -> None:
    """News of a link that was given up does not bring it back, nor leave it on the proxy."""
    home = await open_home(Name.LATE_CONNECTED, profile)
    undo = home.strike(25)
    client = await home.connect()
    home.record("connected by a later attempt")
    assert 19.0 < home.since < 60.0
    undo()
    assert await client.read_gatt_char(VALUE) == b"value"
    await client.disconnect()
    await asyncio.sleep(60.0)
    assert not client.is_connected
    await home.all_free()
    assert home.drops == [address(1)]
    await home.works()


@in_profiles(Name.LATE_CONNECTED)
async def test_late_connected_and_nobody_there(open_home: OpenHome, profile: str) -> None:
    """A link that comes up when nobody wants it any more is ended."""
    home = await open_home(Name.LATE_CONNECTED, profile)
    undo = home.strike(25)
    with pytest.raises(BleakNotFoundError):
        await home.connect(deadline=10.0)
    undo()
    home.record("BleakNotFoundError at the deadline")
    asked = home.near.snapshot().received["BluetoothDeviceRequest"]
    await asyncio.sleep(30.0)
    assert home.near.snapshot().received["BluetoothDeviceRequest"] == asked + 1
    assert not home.drops
    await home.all_free()
    await home.works()


@in_profiles(Name.TRUE_THEN_FALSE)
async def test_true_then_false(open_home: OpenHome, profile: str) -> None:
    """A link that ends as soon as it is up is made again; the callback is for links in use."""
    home = await open_home(Name.TRUE_THEN_FALSE, profile)
    home.strike(1)
    client = await home.connect()
    home.record("connected by the next attempt")
    assert home.since < 10.0
    assert [connected for connected, _, _ in home.notices()] == [True, False, True]
    assert client.is_connected
    assert not home.drops
    await client.disconnect()
    await home.all_free()
    assert home.drops == [address(1)]


@in_profiles(Name.DOUBLE_FALSE)
async def test_double_false(open_home: OpenHome, profile: str) -> None:
    """A link that is told twice to be down has one callback, and can be made again at once."""
    home = await open_home(Name.DOUBLE_FALSE, profile)
    client = await home.connect()
    undo = home.strike()
    undo()
    await until(lambda: not client.is_connected, 1.0)
    again = await home.connect()
    home.record("connected again")
    assert home.since < 5.0
    await asyncio.sleep(5.0)
    assert home.drops == [address(1)]
    assert again.is_connected
    await again.disconnect()
    await home.all_free()


@in_profiles(Name.EARLY_FALSE_SLOT_HELD)
async def test_early_false_slot_held(open_home: OpenHome, profile: str) -> None:
    """The slot of a link that is down is waited for: by its device, and by another one."""
    home = await open_home(Name.EARLY_FALSE_SLOT_HELD, profile, devices=2, slots=1)
    client = await home.connect()
    home.strike(8)
    home.drop_link(8)
    await until(lambda: not client.is_connected, 1.0)
    other = await home.connect(2, deadline=30.0)
    home.record("connected once the slot was free")
    assert 8.0 < home.since < 12.0
    assert home.drops == [address(1)]
    await other.disconnect()
    again = await home.connect(1, deadline=30.0)
    await again.disconnect()
    await home.all_free()


@in_profiles(Name.FALSE_133_AFTER_REASON)
async def test_false_133_after_reason(open_home: OpenHome, profile: str) -> None:
    """The first reason is the one that is told, and the second notice fails no other attempt."""
    home = await open_home(Name.FALSE_133_AFTER_REASON, profile)
    undo = home.strike(2)
    with pytest.raises(LinkError) as caught:
        await home.attempt()
    assert caught.value.code == 0x3E
    undo()
    failed: list[object] = []
    again = await home.connect(on_retry=lambda retry: failed.append(retry.error))
    assert not [error for error in failed if getattr(error, "code", None) == 133]
    home.record("connected again")
    # Where reports name no addresses, a connect meets the slot still held, and silence.
    assert home.since < (10.0 if home.near.profile.allocated else 45.0)
    await again.disconnect()
    await home.all_free()


@in_profiles(Name.OUT_OF_SLOTS_ZERO)
async def test_out_of_slots_zero(open_home: OpenHome, profile: str) -> None:
    """A refusal while slots are free is waited out, with the controller's four seconds."""
    home = await open_home(Name.OUT_OF_SLOTS_ZERO, profile)
    home.strike(2)
    client = await home.connect()
    home.record("connected by a later attempt")
    assert home.since < 15.0
    assert home.notices()[:3] == [(False, 0, 0), (False, 0, 0), (True, 247, 0)]
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.OUT_OF_SLOTS_ZERO)
async def test_out_of_slots_zero_for_ever(open_home: OpenHome, profile: str) -> None:
    """A proxy that refuses every time is given up with its own error."""
    home = await open_home(Name.OUT_OF_SLOTS_ZERO, profile)
    home.strike()
    with pytest.raises(BleakOutOfConnectionSlotsError) as caught:
        await home.connect()
    home.record("BleakOutOfConnectionSlotsError")
    assert caught.value.kind is ErrorKind.OUT_OF_SLOTS
    assert home.since < 60.0
    await home.all_free()


@in_profiles(Name.OUT_OF_SLOTS_ZERO)
async def test_out_of_slots_zero_elsewhere(open_home: OpenHome, profile: str) -> None:
    """Another proxy is taken before the four seconds are over."""
    home = await open_home(Name.OUT_OF_SLOTS_ZERO, profile, "kitchen bedroom")
    home.strike()
    client = await home.connect()
    home.record("connected through another proxy")
    assert home.since < 6.0
    assert (False, 0, 0) in home.notices()
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.DUPLICATE_CONNECT_MTU0)
async def test_duplicate_connect_mtu0(open_home: OpenHome, profile: str) -> None:
    """Without an MTU the smallest one counts, and later the one that is known."""
    home = await open_home(Name.DUPLICATE_CONNECT_MTU0, profile)
    undo = home.strike()
    client = await home.connect()
    home.record("connected")
    assert client.mtu_size == 23
    await client.disconnect()
    undo()
    client = await home.connect(use_services_cache=False)
    assert client.mtu_size == 247
    await client.disconnect()
    home.strike()
    client = await home.connect(use_services_cache=False)
    assert client.mtu_size == 247
    await client.disconnect()
    await home.all_free()


@pytest.mark.parametrize(
    ("name", "profile"),
    [(name, one) for name in [Name.STALE_MTU, Name.MTU_23] for one in CATALOGUE[name].profiles],
)
async def test_mtu_with_cache(open_home: OpenHome, name: Name, profile: str) -> None:
    """The MTU that a connect with cache reports is not believed."""
    home = await open_home(name, profile)
    client = await home.connect()
    assert client.mtu_size == 247
    await client.disconnect()
    home.strike()
    client = await home.connect()
    home.record("connected")
    assert home.near.snapshot().received["BluetoothGATTGetServicesRequest"] == 1
    assert home.notices() == [(True, 517 if name is Name.STALE_MTU else 23, 0)]
    assert client.mtu_size == 247
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.QUEUED_BEHIND)
async def test_queued_behind(open_home: OpenHome, profile: str) -> None:
    """An attempt behind a stranger's is not given up for the time that it waited."""
    home = await open_home(Name.QUEUED_BEHIND, profile)
    await home.fleet.find_device(address(1), timeout=60.0)
    undo = home.strike(19.5)
    client = await home.connect(max_attempts=2)
    home.record("connected")
    undo()
    firmware = home.near.profile
    # A stranger that nobody here has asked for is disconnected at once. Before 2026.8 its attempt
    # goes on all the same, then it is over after 10 s, and 2026.10 cancels it.
    soonest, latest = (19.0, 45.0) if not firmware.backend else (9.0, 12.0)
    if firmware.cancels_open:
        soonest, latest = 0.0, 1.0
    assert soonest < home.since < latest
    assert home.reasons() == ([] if firmware.backend else [256])
    assert await client.read_gatt_char(VALUE) == b"value"
    await client.disconnect()
    await home.all_free()
    assert home.drops == [address(1)]


@in_profiles(Name.QUEUED_BEHIND)
async def test_several_at_once(open_home: OpenHome, profile: str) -> None:
    """Attempts of one fleet are made one after another, and none is charged for the wait."""
    home = await open_home(Name.QUEUED_BEHIND, profile, devices=3)
    for number in (1, 2):
        await home.fleet.find_device(address(number), timeout=60.0)
    undo = home.strike(8)
    clients = await asyncio.gather(*(home.connect(n, max_attempts=1) for n in (1, 2)))
    home.record("two connected")
    undo()
    soonest, latest = (0.0, 1.0) if home.near.profile.cancels_open else (16.0, 40.0)
    assert soonest < home.since < latest
    for client in clients:
        await client.disconnect()
    await home.all_free(60.0)


@in_profiles(Name.DISCONNECT_IGNORED)
async def test_disconnect_ignored(open_home: OpenHome, profile: str) -> None:
    """While the proxy goes on with an attempt that was given up, its slot counts as held."""
    home = await open_home(Name.DISCONNECT_IGNORED, profile, devices=2)
    undo = home.strike(40)
    with pytest.raises(BleakNotFoundError):
        await home.connect(1, deadline=10.0)
    undo()
    assert home.since < 12.0
    home.begin()
    cancelled = home.near.profile.cancels_open
    assert home.near.snapshot().free == home.slots - (0 if cancelled else 1)
    client = await home.connect(2, deadline=60.0)
    home.record("another device connected")
    assert home.since < (1.0 if cancelled else 40.0)
    await client.disconnect()
    await home.works(1, within=60.0)
    await home.all_free()
