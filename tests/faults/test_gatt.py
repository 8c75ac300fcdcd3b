"""What a client makes of the faults of services, requests and answers."""

from __future__ import annotations

import asyncio

import pytest
from bleak.exc import BleakError

from proxyconn import ErrorKind, GATTError, LinkError, RadioState
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fault_catalogue import FaultName as Name
from tests.faults.conftest import (
    ECHO,
    OTHER,
    SECRET,
    VALUE,
    Home,
    OpenHome,
    connects,
    in_profiles,
    until,
)

pytestmark = pytest.mark.looptime


def asked_for_services(home: Home) -> int:
    """Return how often the first proxy was asked for services."""
    return home.near.snapshot().received.get("BluetoothGATTGetServicesRequest", 0)


@in_profiles(Name.FRAME_LOSS, connects)
async def test_frame_loss(open_home: OpenHome, profile: str) -> None:
    """A lost answer costs its request a time-out, no more: no wrong value, no lost slot."""
    home = await open_home(Name.FRAME_LOSS, profile)
    undo = home.strike(0.05, seed=1)
    client = await home.connect()
    lost = 0
    for _ in range(40):
        for uuid, expected in ((VALUE, b"value"), (OTHER, b"other")):
            started = home.now
            try:
                assert await client.read_gatt_char(uuid) == expected
            except TimeoutError:
                lost += 1
                assert home.now - started < 31.0
    assert lost
    undo()
    assert await client.read_gatt_char(VALUE) == b"value"
    home.record(f"{lost} of 80 reads timed out")
    assert client.is_connected
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.FRAME_LOSS, connects)
async def test_frame_loss_of_all(open_home: OpenHome, profile: str) -> None:
    """While every answer is lost each call ends by its time-out, and then all is well."""
    home = await open_home(Name.FRAME_LOSS, profile)
    client = await home.connect()
    undo = home.strike(1.0)
    with pytest.raises(TimeoutError):
        await client.read_gatt_char(VALUE)
    assert home.since < 31.0
    undo()
    assert await client.read_gatt_char(OTHER) == b"other"
    home.record("read again")
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.FRAME_LOSS)
async def test_frame_loss_while_scanning(open_home: OpenHome, profile: str) -> None:
    """Advertisements that get lost cost no more than themselves."""
    home = await open_home(Name.FRAME_LOSS, profile)
    undo = home.strike(0.5)
    for _ in range(20):
        async with asyncio.timeout(30.0):
            await home.hears()
        assert home.radio.state is RadioState.READY
    home.record("heard again")
    undo()
    await home.works()
    await home.all_free()


@in_profiles(Name.SERVICES_SHORT)
async def test_services_short(open_home: OpenHome, profile: str) -> None:
    """A table that lacks a service is forgotten when its user says so, and is whole then."""
    home = await open_home(Name.SERVICES_SHORT, profile)
    undo = home.strike()
    client = await home.connect()
    assert client.services.get_characteristic(SECRET) is None
    undo()
    await client.clear_cache()
    await client.disconnect()
    client = await home.connect()
    home.record("whole table after clear_cache()")
    assert client.services.get_characteristic(SECRET) is not None
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.NO_DONE)
async def test_no_done(open_home: OpenHome, profile: str) -> None:
    """A list without an end is given up, and asked for on a new link."""
    home = await open_home(Name.NO_DONE, profile)
    undo = home.strike()
    connecting = asyncio.create_task(home.connect())
    await until(lambda: asked_for_services(home) == 1, 5.0)
    await asyncio.sleep(1.0)
    undo()
    client = await connecting
    home.record("connected again")
    assert home.since < 50.0
    assert asked_for_services(home) == 2
    assert client.services.get_characteristic(SECRET) is not None
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.NO_DONE)
async def test_no_done_for_ever(open_home: OpenHome, profile: str) -> None:
    """Where no list ever ends, the attempts do, with a typed error."""
    home = await open_home(Name.NO_DONE, profile)
    undo = home.strike()
    with pytest.raises(BleakError) as caught:
        await home.connect()
    home.record(type(caught.value).__name__)
    assert home.since < 240.0
    undo()
    await home.works()
    await home.all_free()


@in_profiles(Name.SERVICES_EMPTY)
async def test_services_empty(open_home: OpenHome, profile: str) -> None:
    """An empty table is not believed, nor remembered."""
    home = await open_home(Name.SERVICES_EMPTY, profile)
    undo = home.strike()
    with pytest.raises(LinkError) as caught:
        await home.attempt()
    assert caught.value.kind is ErrorKind.TRANSIENT
    undo()
    client = await home.connect()
    home.record("connected by the next attempt")
    assert home.since < 10.0
    assert client.services.get_characteristic(SECRET) is not None
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.SECOND_GET_SERVICES)
async def test_second_get_services(open_home: OpenHome, profile: str) -> None:
    """Services that are not told are asked for once on each link, never twice."""
    home = await open_home(Name.SECOND_GET_SERVICES, profile)
    undo = home.strike()
    connecting = asyncio.create_task(home.connect())
    await until(lambda: asked_for_services(home) == 2, 60.0)
    undo()
    client = await connecting
    home.record("connected again")
    assert home.since < 100.0
    assert asked_for_services(home) == 3
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.REPLY_REORDER)
async def test_reply_reorder(open_home: OpenHome, profile: str) -> None:
    """Notifications that come first are taken; an answer to nothing answers nothing."""
    home = await open_home(Name.REPLY_REORDER, profile)
    client = await home.connect()
    home.strike()
    got: list[bytes] = []
    await client.start_notify(ECHO, lambda _, data: got.append(bytes(data)))
    await client.write_gatt_char(ECHO, b"12", response=True)
    assert got == [b"21"]
    for number in range(5):
        before = home.now
        await client.write_gatt_char(ECHO, b"0", response=False)
        await client.write_gatt_char(ECHO, bytes((number, 7)), response=True)
        # Each answer comes 0.11 s after its request: one to the first write would end this early.
        assert home.now - before > 0.25, "an answer to the first write was taken for the second's"
    assert await client.read_gatt_char(VALUE) == b"value"
    home.record("every answer went where it belongs")
    assert got[1:] == [x for n in range(5) for x in (b"0", bytes((7, n)))]
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.REPLY_REORDER)
async def test_reply_after_its_time_out(open_home: OpenHome, profile: str) -> None:
    """An answer that comes too late does not answer the next request for the same handle."""
    home = await open_home(Name.REPLY_REORDER, profile)
    client = await home.connect()
    undo = home.strike(31)
    await client.write_gatt_char(OTHER, b"new", response=False)
    with pytest.raises(TimeoutError):
        await client.read_gatt_char(OTHER)
    undo()
    await client.write_gatt_char(OTHER, b"newer", response=False)
    assert await client.read_gatt_char(OTHER) == b"newer"
    home.record("read again")
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.ERROR_MINUS_1_ON_LIVE_LINK)
async def test_error_minus_1_on_live_link(open_home: OpenHome, profile: str) -> None:
    """Congestion ends no link; at most it fails the request."""
    home = await open_home(Name.ERROR_MINUS_1_ON_LIVE_LINK, profile)
    client = await home.connect()
    home.strike(1)
    try:
        assert await client.read_gatt_char(VALUE) == b"value"
        home.record("repeated by itself")
    except LinkError:
        home.record("LinkError")
    assert [m.error for m in home.sent(pb.BluetoothGATTErrorResponse)] == [-1]
    await asyncio.sleep(5.0)
    assert client.is_connected
    assert not home.drops
    assert await client.read_gatt_char(VALUE) == b"value"
    await client.disconnect()
    await home.all_free()


@pytest.mark.parametrize("error", [1, 3, 10])
@in_profiles(Name.STALE_GATT_CACHE)
async def test_stale_gatt_cache(open_home: OpenHome, profile: str, error: int) -> None:
    """After an error of an old table the next connection clears it and learns the new one."""
    home = await open_home(Name.STALE_GATT_CACHE, profile)
    client = await home.connect()
    home.strike(error)
    with pytest.raises(GATTError) as caught:
        await client.read_gatt_char(VALUE)
    assert caught.value.code == error
    await client.disconnect()
    client = await home.connect()
    assert await client.read_gatt_char(VALUE) == b"value"
    home.record("read after the next connection")
    assert home.since < 5.0
    await client.disconnect()
    await home.all_free()


@in_profiles(Name.UNPAIR_85)
async def test_unpair_85(open_home: OpenHome, profile: str) -> None:
    """The answer of older firmware is understood."""
    home = await open_home(Name.UNPAIR_85, profile)
    home.strike()
    client = await home.connect()
    await client.pair()
    assert await client.read_gatt_char(SECRET) == b"secret"
    before = home.now
    await client.unpair()
    assert home.now - before < 1.0
    home.record("unpaired")
    assert len(home.sent(pb.BluetoothDevicePairingResponse)) == 2
    await client.disconnect()
    await home.all_free()
