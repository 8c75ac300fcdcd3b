"""Owners of a cluster in this process, and the virtual proxies that they share out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.radio import Candidate
from proxyconn_cluster.membership import Membership, joined
from proxyconn_cluster.settings import ClusterSettings
from proxyconn_esphome.backend import ESPHomeRadio
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from tests.devices import READ as READ
from tests.devices import address as address

from .nats_server import NatsServer

KEY = new_noise_psk()
LEASE = 2.0
"""Seconds: the shortest lease there is."""

DEADLINE = 15.0


async def connect(fleet: Fleet, number: int = 1) -> BleakClientWithServiceCache:
    """Connect to a device through a fleet."""
    device = await fleet.find_device(address(number), DEADLINE)
    return await establish_connection(
        BleakClientWithServiceCache, device, f"device {number}", deadline=DEADLINE
    )


async def until(met: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


def peripheral(number: int, **rssi: int) -> Peripheral:
    """Return a peripheral with a value to read."""
    value = CharacteristicSpec(0xFFF1, Properties.READ, f"value {number}".encode())
    return Peripheral(
        address(number),
        f"device {number}",
        services=[ServiceSpec(0xFFF0, [value])],
        rssi=rssi,
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
    )


@dataclass
class Member:
    """An owner and its fleet.

    Attributes:
        membership, fleet: both.
        stack: ends them.
    """

    membership: Membership
    fleet: Fleet
    stack: AsyncExitStack

    @property
    def owner(self) -> str:
        """Its id."""
        return self.membership.owner

    @property
    def has(self) -> set[str]:
        """The names of the proxies that it has."""
        tenure = self.membership.tenure
        return {tenure.name_of(mac) for mac in tenure.held_leases.held if tenure.holds(mac)}

    @property
    def ready(self) -> set[str]:
        """The names of those that are ready."""
        radios = (radio for radio in self.fleet.radios if isinstance(radio, ESPHomeRadio))
        return {radio.name for radio in radios if radio.state == "ready"}


class Cluster:
    """Virtual proxies, a broker, and owners."""

    def __init__(self, stack: AsyncExitStack, server: NatsServer, folder: Path) -> None:
        self._stack = stack
        self._folder = folder
        self.server = server
        self.virtual: VirtualFleet
        self.members: list[Member] = []

    async def build(
        self, names: Sequence[str], peripherals: Sequence[Peripheral] = (), **spec: Any
    ) -> None:
        """Start the proxies."""
        specs = [ProxySpec(name=name, noise_psk=KEY, **spec) for name in names]
        self.virtual = VirtualFleet(specs, peripherals, announce=False)
        await self._stack.enter_async_context(self.virtual)

    def proxies(self, names: Sequence[str] | None = None) -> list[Proxy]:
        """Return the proxies as an owner is told of them."""
        return [
            Proxy(proxy.host, proxy.port, noise_psk=KEY)
            for proxy in self.all_proxies
            if names is None or proxy.spec.name in names
        ]

    @property
    def all_proxies(self) -> list[VirtualProxy]:
        """Every proxy."""
        return list(self.virtual.proxies.values())

    def proxy(self, name: str) -> VirtualProxy:
        """Return a proxy by its name."""
        return self.virtual.proxies[name]

    async def owner(
        self,
        name: str,
        site: str = "home",
        sees: Sequence[str] | None = None,
        server: NatsServer | None = None,
        *,
        finds: bool = False,
        url: str | None = None,
        **settings: Any,
    ) -> Member:
        """Start an owner.

        Args:
            name: what it is called.
            site: where it is.
            sees: the proxies that it is told of; None for all.
            server: where it connects to; None for the first.
            finds: whether it goes for one that has found them by itself.
            url: where it connects to instead of a server.
            settings: of `ClusterSettings`.
        """
        stack = AsyncExitStack()
        self._stack.push_async_callback(stack.aclose)
        options: dict[str, Any] = {"lease": LEASE, "name": name, **settings}
        wanted = ClusterSettings((url or (server or self.server).url,), site=site, **options)
        membership = await stack.enter_async_context(joined(wanted))
        if finds:
            offer = membership.tenure.offer
            membership.tenure.offer = lambda candidates: offer(  # type: ignore[method-assign]
                {mac: Candidate(one.name) for mac, one in candidates.items()}
            )
        fleet = Fleet(
            self.proxies(sees),
            discover=False,
            owner=False,
            state=self._folder / membership.owner,
            tenure=membership.tenure,
            cluster=membership.place,
        )
        await stack.enter_async_context(fleet)
        await stack.enter_async_context(membership.sharing(fleet))
        member = Member(membership, fleet, stack)
        self.members.append(member)
        return member

    async def leave(self, member: Member) -> None:
        """End an owner in order."""
        self.members.remove(member)
        await member.stack.aclose()

    def shared_out(self, names: Sequence[str]) -> bool:
        """Whether every proxy is ready at exactly one owner."""
        ready = [name for member in self.members for name in member.ready & member.has]
        return sorted(ready) == sorted(names)
