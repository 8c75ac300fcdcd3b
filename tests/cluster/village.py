"""Virtual proxies, a broker, owners that share the proxies, and programs that own none."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any

from proxyconn import Fleet, Proxy
from proxyconn_cluster.bus.connection import Bus, opened
from proxyconn_cluster.joined import Place
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.serving import Serving, shared
from proxyconn_cluster.settings import ClusterSettings
from proxyconn_virtual.events import Connecting, ProxyEvent
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
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

from .nats_server import NatsServer

LEASE = 3.0
"""Seconds of silence after which an owner has gone."""

KEY = new_noise_psk()


def peripheral(number: int = 1, **rssi: int) -> Peripheral:
    """Return a peripheral that the named proxies hear; without any, north and south."""
    return device(number, rssi or {"north": -50, "south": -60}, interval=0.05)


@dataclass(eq=False)
class VillageOwner:
    """An owner of some of the proxies, in this process."""

    bus: Bus
    members: Members
    fleet: Fleet
    serving: Serving
    stack: AsyncExitStack = field(repr=False)

    async def leave(self) -> None:
        """End it in order."""
        await self.stack.aclose()


class Village:
    """Everything of one test.

    Attributes:
        virtual: the proxies and the devices.
        owners: by name.
        double_holds: device, and the two proxies, whenever a device was held twice.
    """

    def __init__(self, stack: AsyncExitStack, server: NatsServer) -> None:
        self._stack = stack
        self.server = server
        self.owners: dict[str, VillageOwner] = {}
        self.double_holds: list[tuple[str, str, str]] = []
        self.virtual: VirtualFleet

    async def build(
        self, peripherals: Iterable[Peripheral], names: Iterable[str], **spec: Any
    ) -> None:
        """Start the proxies among their devices."""
        specs = [ProxySpec(name=name, noise_psk=KEY, **spec) for name in names]
        self.virtual = VirtualFleet(specs, list(peripherals), announce=False)
        await self._stack.enter_async_context(self.virtual)

        for proxy in self.virtual.proxies.values():
            self._stack.callback(proxy.add_observer(self._witness))

    def _witness(self, event: ProxyEvent) -> None:
        """Note every link that is begun while another proxy has a slot for the device."""
        if not isinstance(event, Connecting):
            return
        for name, proxy in self.virtual.proxies.items():
            held = [one for one, _ in proxy.snapshot().slots]
            if name != event.proxy and event.address in held:
                self.double_holds.append((event.address, name, event.proxy))

    def proxy(self, name: str) -> VirtualProxy:
        """Return a proxy."""
        return self.virtual.proxies[name]

    def settings(self, url: str | None = None, **settings: Any) -> ClusterSettings:
        """Return what is said about the cluster; `url` is where its server is, if elsewhere."""
        return ClusterSettings((url or self.server.url,), **{"lease": LEASE, **settings})

    async def own(
        self, name: str, *proxies: str, url: str | None = None, **options: Any
    ) -> VillageOwner:
        """Start an owner of some proxies; without any, of the one that is called like it."""
        stack = AsyncExitStack()
        self._stack.push_async_callback(stack.aclose)
        settings = self.settings(url, site=options.pop("site", "home"))
        bus = await stack.enter_async_context(opened(settings, name))
        members = Members(bus)
        place = Place(settings, always=options.pop("always", False), members=members)
        mine = [self.proxy(one) for one in proxies or (name,)]
        fleet = Fleet(
            [Proxy("127.0.0.1", one.port, noise_psk=KEY, name=one.name) for one in mine],
            discover=False,
            state=None,
            owner=False,
            cluster=place,
            **options,
        )
        await stack.enter_async_context(fleet)
        serving = await stack.enter_async_context(shared(fleet, members))
        await until(lambda: {one.name for one in mine} <= ready(fleet))
        owner = self.owners[name] = VillageOwner(bus, members, fleet, serving, stack)
        return owner

    async def program(self, **options: Any) -> Fleet:
        """Start a program that owns nothing."""
        options.setdefault("cluster", self.server.url)
        fleet = Fleet(state=None, owner=False, **options)
        return await self._stack.enter_async_context(fleet)

    def slots(self) -> dict[str, list[str]]:
        """Return which proxy has a slot for which devices now, of those that have any."""
        taken = {
            name: [one for one, _ in proxy.snapshot().slots]
            for name, proxy in self.virtual.proxies.items()
        }
        return {name: addresses for name, addresses in taken.items() if addresses}

    async def is_tidy(self) -> None:
        """Fail if a device was held twice, or a slot stays taken."""
        assert self.double_holds == []
        await until(lambda: self.slots() == {}, 2 * DEADLINE)


def ready(fleet: Fleet) -> set[str]:
    """Return the names of radios that are ready."""
    return {radio.name for radio in fleet.radios if radio.state == "ready"}
