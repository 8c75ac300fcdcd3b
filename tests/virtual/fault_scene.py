"""A proxy with a fault, and a peer that sees what is on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from proxyconn_virtual.fault_catalogue import CATALOGUE, FaultName
from proxyconn_virtual.firmware.profiles import PROFILES
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir
from tests.virtual.conftest import WITHOUT_CACHE, Bench, Peer, address, api, device

UP = ("conn", True, 247, 0)
WROTE = "BluetoothGATTWriteResponse"
NOTIFIED = "BluetoothGATTNotifyDataResponse"


def down(reason: int = 0) -> tuple[object, ...]:
    """Return connected=false in brief."""
    return ("conn", False, 0, reason)


@dataclass
class Scene:
    """One proxy among two devices, and its subscriber."""

    bench: Bench
    fleet: VirtualFleet
    proxy: VirtualProxy
    peer: Peer

    def slots(self, free: int, *octets: int) -> tuple[object, ...]:
        """Return a slot report in brief, as the firmware sends it."""
        return ("slots", free, *(octets if self.proxy.profile.allocated else ()))

    async def sees(self, *expected: tuple[object, ...]) -> None:
        """Check the next messages."""
        assert await self.peer.steps(len(expected)) == list(expected)

    async def sees_nothing(self, seconds: float = 0.0) -> None:
        """Check that nothing comes for a while."""
        await asyncio.sleep(seconds)
        assert await self.peer.quiet() == []

    async def link(self) -> None:
        """Have the first device connected without cache."""
        self.peer.ask(WITHOUT_CACHE)
        await self.sees(self.slots(2, 1), UP, self.slots(2, 1))

    def drop_link(self, reason: int) -> None:
        """Let the first device drop its link."""
        assert isinstance(self.fleet.air, SimulatedAir)
        assert self.fleet.air.drop_link(address(1), reason)

    async def services(self) -> list[Any]:
        """Ask for the services; return what comes of it in 10 s."""
        self.peer.send(api.BluetoothGATTGetServicesRequest(address=0xC40000000001))
        return await self.within(10.0)

    async def within(self, seconds: float) -> list[Any]:
        """Return every message of some seconds but advertisements and scanner states."""
        await asyncio.sleep(seconds)
        unwanted = (api.BluetoothLERawAdvertisementsResponse, api.BluetoothScannerStateResponse)
        got: list[Any] = []
        while not self.peer.inbox.empty():
            if not isinstance(message := self.peer.inbox.get_nowait(), unwanted):
                got.append(message)
        return got


async def scene(bench: Bench, profile: str, **spec: Any) -> Scene:
    """Start a proxy with a firmware, and its subscriber."""
    values: dict[str, Any] = {"name": "kitchen", "profile": profile, "noise_psk": new_noise_psk()}
    around = [device(number, interval=1.0) for number in (1, 2)]
    fleet = await bench.fleet([ProxySpec(**values | spec)], around)
    proxy = fleet.proxies["kitchen"]
    return Scene(bench, fleet, proxy, await bench.peer(proxy, subscribe=True))


Check = Callable[[Scene], Awaitable[None]]


def cases(checks: dict[FaultName, Check]) -> pytest.MarkDecorator:
    """Run each check in every firmware of an ESP32 that has its fault."""
    return pytest.mark.parametrize(
        ("name", "profile"),
        [(name, one) for name in checks for one in CATALOGUE[name].profiles if one in PROFILES],
    )
