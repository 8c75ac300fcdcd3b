"""Pairing, bonds, the cache and connection parameters through a proxy."""

from __future__ import annotations

import pytest

from proxyconn_virtual.events import Paired, PairingFailed, ParametersSet, ProxyEvent
from proxyconn_virtual.firmware.profiles import NEWEST
from proxyconn_virtual.radio import LinkParameters
from tests.virtual.conftest import (
    FIRST,
    SECRET,
    WITHOUT_CACHE,
    Bench,
    address,
    api,
    device,
    linked,
    read,
)

PAIR, UNPAIR, CLEAR_CACHE = 2, 3, 6


async def test_pair_opens_encrypted_values(bench: Bench) -> None:
    """Pairing is answered when it is done, at once when the link is paired already."""
    proxy, peer = await bench.pair(device())
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.ask(PAIR)
    peer.send(read(SECRET))
    peer.ask(PAIR)
    assert await peer.steps(3) == [
        ("BluetoothDevicePairingResponse", True),
        ("BluetoothGATTReadResponse", SECRET, b"\1"),
        ("BluetoothDevicePairingResponse", True),
    ]
    assert seen.count(Paired("kitchen", address(1))) == 1


async def test_pair_is_per_link(bench: Bench) -> None:
    """A reconnected device is not paired until it is asked for again."""
    peer = await linked(bench)
    peer.ask(PAIR)
    await peer.steps(1)
    await peer.reconnect()
    peer.send(read(SECRET))
    assert await peer.steps(1) == [("BluetoothGATTErrorResponse", SECRET, 5)]


async def test_pair_refused(bench: Bench) -> None:
    """A peripheral that does not pair makes pairing fail with its code."""
    proxy, peer = await bench.pair(device(pairable=False))
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.ask(PAIR)
    assert await peer.steps(1) == [("BluetoothDevicePairingResponse", 85)]
    assert PairingFailed("kitchen", address(1), 85) in seen


@pytest.mark.parametrize(
    ("profile", "answer"),
    [("2026.7.0", []), (NEWEST, [("BluetoothDevicePairingResponse", -1)])],
)
async def test_pair_without_slot(
    bench: Bench, profile: str, answer: list[tuple[object, ...]]
) -> None:
    """Pairing with a device that has no slot is not answered before 2026.8, and fails since."""
    _, peer = await bench.pair(device(), profile=profile)
    peer.ask(PAIR)
    assert await peer.quiet() == answer


@pytest.mark.parametrize(
    ("firmware", "name"),
    [
        ("2026.6.5", "BluetoothDevicePairingResponse"),
        (NEWEST, "BluetoothDeviceUnpairingResponse"),
    ],
)
async def test_unpair(bench: Bench, firmware: str, name: str) -> None:
    """UNPAIR needs no link, and before 2026.8 it is answered with the wrong message."""
    peer = await linked(bench, profile=firmware)
    peer.ask(PAIR)
    await peer.steps(1)
    peer.ask(UNPAIR)
    peer.ask(UNPAIR)
    assert await peer.steps(2) == [(name, True), (name, -1)]


async def test_clear_cache_needs_no_link(bench: Bench) -> None:
    """CLEAR_CACHE is answered by 88."""
    _, peer = await bench.pair(device())
    peer.ask(CLEAR_CACHE)
    assert await peer.steps(1) == [("BluetoothDeviceClearCacheResponse", True)]


@pytest.mark.parametrize(
    ("values", "error"),
    [
        ((24, 40, 0, 500), 0),
        ((6, 3200, 0, 3200), 0),
        ((5, 40, 0, 500), 258),
        ((40, 24, 0, 500), 258),
        ((24, 40, 500, 3200), 258),
        ((800, 800, 4, 1000), 258),
        ((24, 40, 0, 70000), 258),
    ],
)
async def test_connection_parameters(
    bench: Bench, values: tuple[int, int, int, int], error: int
) -> None:
    """Parameters that the stack takes are remembered; others are refused with a code."""
    proxy, peer = await bench.pair(device())
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    names = ("min_interval", "max_interval", "latency", "timeout")
    request = dict(zip(names, values, strict=True))
    peer.send(api.BluetoothSetConnectionParamsRequest(address=FIRST, **request))
    answer = await peer.next()
    assert isinstance(answer, api.BluetoothSetConnectionParamsResponse)
    assert answer.error == error
    wanted = LinkParameters(*values)
    assert proxy.snapshot().parameters == ({} if error else {address(1): wanted})
    assert (ParametersSet("kitchen", address(1), wanted) in seen) is (error == 0)


@pytest.mark.parametrize(
    ("firmware", "answered"), [(NEWEST, True), ("2026.6.5", True), ("2026.1", False)]
)
async def test_connection_parameters_without_link(
    bench: Bench, firmware: str, answered: bool
) -> None:
    """Without a link the answer is -1; older firmware does not know the message."""
    _, peer = await bench.pair(device(), profile=firmware)
    peer.send(api.BluetoothSetConnectionParamsRequest(address=FIRST, min_interval=24))
    expected = [("BluetoothSetConnectionParamsResponse", -1)] if answered else []
    assert await peer.quiet() == expected
