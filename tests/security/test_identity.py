"""Who a proxy is: not whoever says so, and never without the key that was given for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from proxyconn import Proxy, RadioState, RadioUnavailableError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import FleetOptions
from proxyconn_esphome import ProxySession
from proxyconn_esphome.backend import ESPHomeBackend
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_virtual.firmware.profiles import NEWEST, PLATFORMS
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.esphome.conftest import until

pytestmark = pytest.mark.looptime

KEY, OTHER_KEY = new_noise_psk(), new_noise_psk()
MAC, OTHER_MAC = "AA:BB:CC:00:00:01", "AA:BB:CC:00:00:02"


every_kind = pytest.mark.parametrize("profile", [NEWEST, *PLATFORMS])
"""With the newest firmware of every chip."""


@asynccontextmanager
async def proxies(profile: str, *specs: ProxySpec) -> AsyncIterator[list[VirtualProxy]]:
    """Run virtual proxies of one firmware among no devices."""
    own = [replace(spec, profile=profile) for spec in specs]
    async with VirtualFleet(own, [], announce=False) as fleet:
        yield list(fleet.proxies.values())


@asynccontextmanager
async def backend(options: FleetOptions) -> AsyncIterator[tuple[ESPHomeBackend, Hub]]:
    """Run a backend that nobody but the test tells what mDNS says."""
    hub = Hub(DeviceRoute, {})
    backend = ESPHomeBackend(options, hub)
    await backend.start()
    try:
        yield backend, hub
    finally:
        await backend.aclose()


def announced(proxy: VirtualProxy) -> FoundDevice:
    """Return what mDNS says of a proxy."""
    return FoundDevice(proxy.name, proxy.mac.replace(":", "").lower(), proxy.host, proxy.port)


def ready(hub: Hub) -> list[str]:
    """Return the names of the radios that can be used."""
    return [radio.name for radio in hub.radios if radio.state is RadioState.READY]


@every_kind
@pytest.mark.parametrize("key", [KEY, None], ids=["noise", "plaintext"])
async def test_another_mac_at_the_known_address_is_refused(profile: str, key: str | None) -> None:
    """A session goes on with the device that it began with, and with no other."""
    specs = (
        ProxySpec(name="kitchen", noise_psk=key, mac=MAC),
        ProxySpec(name="kitchen ", noise_psk=key, mac=OTHER_MAC),
    )
    async with proxies(profile, *specs) as [first, second]:
        second.name = first.name
        async with ProxySession(Proxy(first.host, first.port, key)) as session:
            await session.ready(30)
            await first.stop()
            second.port = first.port
            await second.stop()
            await second.start()
            await asyncio.sleep(200)
            assert session.state is RadioState.GONE
            assert "AA:BB:CC:00:00:02 instead of AA:BB:CC:00:00:01" in str(session.problem)
            assert "SubscribeBluetoothLEAdvertisementsRequest" not in second.snapshot().received


@every_kind
@pytest.mark.parametrize("key", [KEY, None], ids=["noise", "plaintext"])
async def test_another_name_at_the_known_address_is_refused(profile: str, key: str | None) -> None:
    """A proxy that was named is that one."""
    async with proxies(profile, ProxySpec(name="bedroom", noise_psk=key, mac=MAC)) as [proxy]:
        async with ProxySession(Proxy(proxy.host, proxy.port, key, name="kitchen")) as session:
            with pytest.raises(RadioUnavailableError, match="another device answers"):
                await session.ready(30)
        assert "SubscribeBluetoothLEAdvertisementsRequest" not in proxy.snapshot().received


@every_kind
async def test_announced_mac_must_be_that_of_the_device(profile: str) -> None:
    """A device that mDNS announced under one address and that says another is refused."""
    async with proxies(profile, ProxySpec(name="kitchen", noise_psk=KEY, mac=OTHER_MAC)) as [proxy]:
        options = FleetOptions(discover=False, noise_psk=KEY)
        async with backend(options) as (found_by, hub):
            mac = MAC.replace(":", "").lower()
            found_by.device_found(FoundDevice("kitchen", mac, proxy.host, proxy.port))
            await asyncio.sleep(100)
            assert not ready(hub)


@every_kind
async def test_device_without_key_does_not_keep_out_the_one_that_has_it(profile: str) -> None:
    """Anybody can announce the MAC address of a proxy that encrypts, and be there first."""
    specs = (
        ProxySpec(name="usurper", mac=MAC),
        ProxySpec(name="kitchen", noise_psk=KEY, mac=MAC),
    )
    async with proxies(profile, *specs) as [usurper, kitchen]:
        options = FleetOptions(discover=False, noise_psk={"kitchen": KEY})
        async with backend(options) as (found_by, hub):
            found_by.device_found(announced(usurper))
            await until(lambda: ready(hub) == ["usurper"], 30)
            found_by.device_found(announced(kitchen))
            await until(lambda: ready(hub) == ["kitchen"], 30)
            found_by.device_found(announced(usurper))
            await asyncio.sleep(60)
            assert ready(hub) == ["kitchen"]


@every_kind
async def test_device_without_key_does_not_displace_the_one_that_has_it(profile: str) -> None:
    """Nor may it take the place of a proxy with a key that is away for a while."""
    specs = (
        ProxySpec(name="usurper", mac=MAC),
        ProxySpec(name="kitchen", noise_psk=KEY, mac=MAC),
    )
    async with proxies(profile, *specs) as [usurper, kitchen]:
        await kitchen.stop()
        named = Proxy(kitchen.host, kitchen.port, KEY, name="kitchen")
        options = FleetOptions(proxies=(named,), discover=False)
        async with backend(options) as (found_by, hub):
            found_by.device_found(announced(usurper))
            await until(lambda: ready(hub) == ["usurper"], 30)
            await kitchen.start()
            await until(lambda: ready(hub) == ["kitchen"], 120)
            await kitchen.stop()
            found_by.device_found(announced(usurper))
            await asyncio.sleep(60)
            assert not ready(hub)
            await kitchen.start()
            await until(lambda: ready(hub) == ["kitchen"], 120)
