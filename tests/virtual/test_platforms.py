"""Proxies that are no ESP32, and what every proxy of today answers."""

from __future__ import annotations

import pytest

from proxyconn_virtual.chaos import possible_faults
from proxyconn_virtual.firmware.profiles import NEWEST, PROFILES
from proxyconn_virtual.peripheral import Outcome
from tests.virtual.conftest import (
    DISCONNECT,
    FIRST,
    WITH_CACHE,
    WITHOUT_CACHE,
    Bench,
    api,
    peripheral,
)

CLEAR_CACHE = api.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE
PAIR = api.BLUETOOTH_DEVICE_REQUEST_TYPE_PAIR


async def test_pico_w(bench: Bench) -> None:
    """A Pico W has one slot, tells the true MTU with cache too, and clears no cache."""
    proxy = await bench.proxy(peripheral(), peripheral(2), profile="rp2")
    peer = await bench.peer(proxy, subscribe=True)
    peer.ask(WITH_CACHE)
    slots = ("slots", 0, FIRST & 0xFF)
    assert await peer.steps(3) == [slots, ("conn", True, 247, 0), slots]
    peer.ask(WITHOUT_CACHE, FIRST + 1)
    assert await peer.steps(1) == [("conn", False, 0, 0)]
    peer.ask(PAIR)
    assert (await peer.next()).paired
    peer.ask(CLEAR_CACHE)
    cleared = await peer.next()
    assert (cleared.success, cleared.error) == (False, -1)
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [("conn", False, 0, 0), ("slots", 1)]


async def test_pico_w_says_why(bench: Bench) -> None:
    """A Pico W tells the reason of the radio for a failed open, where an ESP32 says 133."""
    device = peripheral(outcomes=[Outcome(0x3E)])
    peer = await bench.peer(await bench.proxy(device, profile="rp2"), subscribe=True)
    peer.ask(WITHOUT_CACHE)
    assert (await peer.steps(2))[1] == ("conn", False, 0, 0x3E)


async def test_bk72xx(bench: Bench) -> None:
    """A BK72xx hears advertisements, and takes no request to connect."""
    proxy = await bench.proxy(peripheral(), profile="bk72xx")
    peer = await bench.peer(proxy, subscribe=True)
    peer.send(api.SubscribeBluetoothConnectionsFreeRequest())
    peer.ask(WITHOUT_CACHE)
    assert await peer.quiet() == []
    found = possible_faults(proxy)
    assert "subscriber_stolen" in found
    assert "connected_never" not in found


@pytest.mark.parametrize(
    ("profile", "flags"), [(NEWEST, 255), ("rp2", 239), ("bk72xx", 97), ("2026.8", 255)]
)
async def test_capabilities(bench: Bench, profile: str, flags: int) -> None:
    """The capabilities are told since API 1.15, and are those of DeviceInfo."""
    proxy = await bench.proxy(peripheral(), profile=profile)
    peer = await bench.peer(proxy)
    peer.send(api.DeviceCapabilitiesRequest())
    answer = await peer.next()
    assert answer.bluetooth_proxy.feature_flags == flags
    assert answer.bluetooth_proxy.mac_address == proxy.device_info().bluetooth_mac_address
    assert proxy.device_info().bluetooth_proxy_feature_flags == flags


def test_newest() -> None:
    """The newest profile is the last one."""
    assert list(PROFILES)[-1] == NEWEST
