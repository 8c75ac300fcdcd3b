"""What the tests of the owner share: virtual proxies, an owner of them, and its clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from proxyconn import Fleet, Proxy
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.devices import COMMAND as COMMAND
from tests.devices import DEADLINE as DEADLINE
from tests.devices import ECHO as ECHO
from tests.devices import READ as READ
from tests.devices import SECRET as SECRET
from tests.devices import TICK as TICK
from tests.devices import VALUE as VALUE
from tests.devices import address as address
from tests.devices import connect as connect
from tests.devices import device
from tests.devices import until as until

from .process import Serve, configure

KEY, OWNER_KEY = new_noise_psk(), new_noise_psk()


def peripheral(number: int = 1, **rssi: int) -> Peripheral:
    """Return a peripheral that the named proxies hear; without any, kitchen and cellar."""
    return device(number, rssi or {"kitchen": -50, "cellar": -60}, interval=0.02)


@dataclass
class Noted:
    """Notes what the owner tells."""

    lines: list[tuple[str, ...]] = field(default_factory=list)

    def served(self, owner: Owner) -> None:
        self.lines.append(("served", *(proxy.name for proxy in owner.proxies.values())))

    def client_came(self, proxy: str, client: str) -> None:
        self.lines.append(("came", proxy, client))

    def client_went(self, proxy: str, client: str) -> None:
        self.lines.append(("went", proxy, client))


class House:
    """Virtual proxies, an owner, and clients of it."""

    def __init__(self, stack: AsyncExitStack, folder: Path) -> None:
        self._stack = stack
        self.folder = folder
        self.noted = Noted()
        self.virtual: VirtualFleet
        self.fleet: Fleet
        self.owner: Owner

    async def build(
        self,
        peripherals: Sequence[Peripheral],
        names: Sequence[str],
        serve: dict[str, Any],
        spec: dict[str, Any],
    ) -> None:
        """Start everything."""
        specs = [ProxySpec(name=name, noise_psk=KEY, **spec) for name in names]
        self.virtual = VirtualFleet(specs, peripherals, announce=False)
        await self._stack.enter_async_context(self.virtual)
        proxies = self.proxies()
        self.fleet = await self._stack.enter_async_context(Fleet(proxies, discover=False))
        await self.fleet.ready(len(proxies), DEADLINE)
        options: dict[str, Any] = {"api": Listen("127.0.0.1", 0), "announce": False, **serve}
        settings = ServeSettings(noise_psk=OWNER_KEY, **options)
        self.owner = await self._stack.enter_async_context(
            serving(self.fleet, settings, self.folder, self.folder, self.noted)
        )

    def proxies(self) -> list[Proxy]:
        """Return the proxies that the owner is told of."""
        return [
            Proxy("127.0.0.1", one.port, noise_psk=KEY, name=one.name)
            for one in self.virtual.proxies.values()
        ]

    def real(self, name: str = "kitchen") -> VirtualProxy:
        """Return a proxy that the owner has."""
        return self.virtual.proxies[name]

    def port(self, radio: str | None = None) -> int:
        """Return the port of a served proxy."""
        return self.owner.proxies[radio].port

    async def client(self, *radios: str | None, **options: Any) -> Fleet:
        """Open a program's fleet of served proxies."""
        proxies = [
            Proxy("127.0.0.1", self.port(radio), noise_psk=OWNER_KEY) for radio in radios or (None,)
        ]
        fleet = Fleet(proxies, discover=False, **options)
        await self._stack.enter_async_context(fleet)
        await fleet.ready(len(proxies), DEADLINE)
        return fleet


MakeHouse = Callable[..., Any]


@pytest.fixture
async def make_house(tmp_path: Path) -> AsyncIterator[MakeHouse]:
    """Return a maker of houses."""
    houses: list[House] = []
    async with AsyncExitStack() as stack:

        async def make(
            *peripherals: Peripheral,
            names: Sequence[str] = ("kitchen", "cellar"),
            serve: dict[str, Any] | None = None,
            **spec: Any,
        ) -> House:
            folder = tmp_path / f"house {len(houses)}"
            await asyncio.to_thread(folder.mkdir)
            house = House(stack, folder)
            houses.append(house)
            await house.build(peripherals or [peripheral()], names, serve or {}, spec)
            return house

        yield make


@pytest.fixture
async def virtual() -> AsyncIterator[VirtualFleet]:
    """Run two virtual proxies."""
    specs = [ProxySpec(name=name, noise_psk=KEY) for name in ("kitchen", "cellar")]
    async with VirtualFleet(specs, [peripheral(1), peripheral(2)], announce=False) as fleet:
        yield fleet


@pytest.fixture
async def serve(tmp_path: Path, virtual: VirtualFleet) -> Serve:
    """Return an owner of both, not started."""
    serve = Serve(tmp_path)
    await configure(serve, virtual)
    return serve
