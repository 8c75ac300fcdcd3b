"""Fleets: start, announcement, failure and the ready household."""

from __future__ import annotations

import asyncio
import socket

import pytest
from zeroconf import IPVersion, ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from proxyconn_virtual.catalogue import (
    HEART_RATE_MEASUREMENT,
    LAMP_STATE,
    LOCK_STATE,
    household,
)
from proxyconn_virtual.firmware.profiles import PROFILES, Feature, profile
from proxyconn_virtual.fleet import VirtualFleet, run_fleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import WITHOUT_CACHE, Bench, api, peripheral

ROOMS = ["kitchen", "bedroom", "garage"]
SERVICE = "_esphomelib._tcp.local."


async def test_fleet_announces(bench: Bench) -> None:
    """A browser finds each proxy, with the firmware's keys and its port."""
    specs = [
        ProxySpec(name="proxy-plain", friendly_name="Plain"),
        ProxySpec(name="proxy-noise", noise_psk=new_noise_psk()),
    ]
    found: dict[str, AsyncServiceInfo] = {}
    done = asyncio.Event()

    def changed(
        zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Added and name.startswith("proxy-"):
            found[name.split(".")[0]] = AsyncServiceInfo(service_type, name)
            if len(found) == 2:
                done.set()

    async with VirtualFleet(specs, []) as fleet:
        browser_zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only)
        browser = AsyncServiceBrowser(browser_zeroconf.zeroconf, SERVICE, handlers=[changed])
        await asyncio.wait_for(done.wait(), 10)
        for name, info in found.items():
            assert await info.async_request(browser_zeroconf.zeroconf, 3000)
            assert info.port == fleet.proxies[name].port
            assert info.parsed_addresses() == ["127.0.0.1"]
            assert info.server == f"{name}.local."
        await browser.async_cancel()
        await browser_zeroconf.async_close()
        plain = found["proxy-plain"].decoded_properties
        noise = found["proxy-noise"].decoded_properties
        name = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"
        assert plain["mac"] == fleet.proxies["proxy-plain"].mac.replace(":", "").lower()
        assert plain["friendly_name"] == "Plain"
        assert plain["version"] == "2026.10.0"
        assert plain["platform"] == "ESP32"
        assert plain["api_encryption_supported"] == noise["api_encryption"] == name
        assert "api_encryption" not in plain
        assert "api_encryption_supported" not in noise
        assert "friendly_name" not in noise
        assert not any("bluetooth" in key for key in plain)


async def test_fleet_household(bench: Bench) -> None:
    """Three proxies among ten peripherals: what one hears it can connect to."""
    fleet = await bench.fleet([ProxySpec(name=room) for room in ROOMS], household(ROOMS))
    assert sorted(fleet.proxies) == sorted(ROOMS)
    assert len({proxy.mac for proxy in fleet.proxies.values()}) == 3
    peer = await bench.peer(fleet.proxies["bedroom"], subscribe=True)
    lamp = next(p for p in fleet.peripherals if p.name == "Lamp")
    peer.ask(WITHOUT_CACHE, lamp.address_int)
    await peer.steps(3)
    peer.send(api.BluetoothGATTGetServicesRequest(address=lamp.address_int))
    services = (await peer.wait_for(api.BluetoothGATTGetServicesResponse)).services
    assert {service.short_uuid for service in services} == {0x1800, 0x1801, 0x180A, 0}


async def test_fleet_cleans_up_when_a_port_is_taken() -> None:
    """A fleet that cannot start stops what it had started."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        specs = [ProxySpec(name="first"), ProxySpec(name="second", port=port)]
        fleet = VirtualFleet(specs, [], announce=False)
        with pytest.raises(OSError, match="in use"):
            async with fleet:
                pass
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", fleet.proxies["first"].port)


def test_fleet_names_must_differ() -> None:
    """Two proxies of one name are refused."""
    with pytest.raises(ValueError, match="same name"):
        VirtualFleet([ProxySpec(name="a"), ProxySpec(name="a")], [], announce=False)


async def test_run_fleet_until_cancelled() -> None:
    """run_fleet tells when it is ready, and stops everything when it is cancelled."""
    ready: asyncio.Future[VirtualFleet] = asyncio.get_running_loop().create_future()
    task = asyncio.create_task(
        run_fleet(
            [ProxySpec(name="kitchen")],
            [peripheral()],
            on_ready=ready.set_result,
            announce=False,
        )
    )
    fleet = await asyncio.wait_for(ready, 5)
    port = fleet.proxies["kitchen"].port
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.close()
    await writer.wait_closed()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    with pytest.raises(OSError, match="Connect call failed"):
        await asyncio.open_connection("127.0.0.1", port)


def test_household_is_seeded_and_spread() -> None:
    """The same seed gives the same house; every device is heard, strongest in its own room."""
    first, again, other = household(ROOMS, 1), household(ROOMS, 1), household(ROOMS, 2)
    assert [p.rssi for p in first] == [p.rssi for p in again] != [p.rssi for p in other]
    assert len({p.address for p in first}) == len(first) == 10
    assert all(p.rssi and max(p.rssi.values()) > -60 for p in first)
    assert {max(p.rssi, key=lambda room: p.rssi[room]) for p in first} == set(ROOMS)
    uuids = {c.uuid for p in first for s in p.services for c in s.characteristics}
    assert {LAMP_STATE, LOCK_STATE, HEART_RATE_MEASUREMENT} <= uuids
    SimulatedAir(first)


@pytest.mark.parametrize("rooms", [["one"], ["one", "two"], [f"room-{n}" for n in range(12)]])
def test_household_of_any_size(rooms: list[str]) -> None:
    """Any number of proxies hears every device somewhere."""
    assert all(p.rssi for p in household(rooms))


def test_household_needs_a_proxy() -> None:
    """Without proxies there is no household."""
    with pytest.raises(ValueError, match="at least one"):
        household([])


@pytest.mark.parametrize(
    ("name", "flags"),
    [
        ("2024.11", 63),
        ("2025.5", 127),
        ("2025.9", 127),
        ("2026.1", 127),
        ("2026.6.5", 255),
        ("2026.7.0", 255),
        ("2026.8", 255),
        ("2026.9", 255),
        ("2026.10", 255),
    ],
)
def test_profile_features(name: str, flags: int) -> None:
    """Each profile is known by name and has the flags of its version."""
    assert profile(name).features(active=True) == flags
    assert profile(name).features(active=False) == flags & (
        Feature.PASSIVE_SCAN | Feature.RAW_ADVERTISEMENTS | Feature.STATE_AND_MODE
    )
    assert profile(PROFILES[name]) is PROFILES[name]
