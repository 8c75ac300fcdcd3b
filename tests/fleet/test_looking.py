"""A fleet that only looks: radios and slots, no devices, no links."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioState,
    Subscribe,
    UnsupportedError,
    install,
)
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.fleet.conftest import KEY, KITCHEN, address, peripheral


@asynccontextmanager
async def kitchen() -> AsyncIterator[VirtualProxy]:
    """Run a proxy that hears a device."""
    spec = ProxySpec(name=KITCHEN, noise_psk=KEY)
    async with VirtualFleet([spec], [peripheral(1, kitchen=-50)], announce=False) as fleet:
        yield fleet.proxies[KITCHEN]


def looking(proxy: VirtualProxy) -> Fleet:
    """Return a fleet that only looks at a proxy."""
    known = Proxy(proxy.host, proxy.port, noise_psk=proxy.noise_psk)
    return Fleet([known], discover=False, subscribe=Subscribe.NEVER)


@pytest.mark.looptime
async def test_looking_fleet_hears_and_connects_nothing() -> None:
    """Each call that would need the subscription says at once that there is none."""
    async with kitchen() as proxy, looking(proxy) as fleet:
        (radio,) = await fleet.ready()
        assert radio.state is RadioState.READY
        assert radio.allocations() is not None
        await asyncio.sleep(5)
        assert fleet.devices == []
        async with asyncio.timeout(1):
            with pytest.raises(UnsupportedError, match="only looks"):
                await fleet.find_device(address(1))
            with pytest.raises(UnsupportedError, match="only looks"):
                await anext(fleet.advertisements())
            with pytest.raises(UnsupportedError, match="only looks"):
                await BleakClientWithServiceCache(fleet.known_device(address(1), 1)).connect()
            with pytest.raises(UnsupportedError, match="only looks"):
                install(fleet)
        assert radio.diagnostics()["subscription"] == {
            "held": False,
            "subscribe": "never",
            "newest_wins": True,
            "held_by_other": False,
            "holder": None,
        }
        received = proxy.snapshot().received
        assert "SubscribeBluetoothLEAdvertisementsRequest" not in received
        assert "BluetoothDeviceRequest" not in received


@pytest.mark.looptime
async def test_slots_of_others_are_no_alarm() -> None:
    """Whoever holds a slot is another client's, however long that lasts."""
    async with kitchen() as proxy, looking(proxy) as fleet:
        await fleet.ready()
        proxy.inject("slot_leak")
        await asyncio.sleep(200)
        (slots,) = fleet.allocations()
        assert slots.free == slots.slots - 1
        assert fleet.alarms() == []


@pytest.mark.parametrize(
    ("subscribe", "take"),
    [(Subscribe.NEVER, True), (Subscribe.NEVER, False), (Subscribe.IF_FREE, True)],
)
def test_what_is_to_be_taken_is_said_once(subscribe: Subscribe, take: bool) -> None:
    """Who says both, and contradicts himself, is told so."""
    with pytest.raises(ValueError, match="contradict each other"):
        Fleet(subscribe=subscribe, take=take)
