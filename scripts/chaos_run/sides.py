"""Whose client has the sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

from bleak import BleakClient, BleakScanner

from proxyconn import (
    Alarm,
    Allocations,
    BleakClientWithServiceCache,
    Fleet,
    KeptConnection,
    Proxy,
    RadioState,
    establish_connection,
    install,
    keep_connected,
)
from proxyconn.programs.install import close_links
from proxyconn.radio import identity_of

ADDRESS_TYPE = 1
"""Random (Core Specification vol 4 E 7.8.12)."""

SILENCE = 20.0
"""Seconds without a notification after which a connection that is kept is made anew."""


class Way(NamedTuple):
    """Where a proxy is, and its key in base64."""

    host: str
    port: int
    key: str | None


Lost = Callable[[BleakClient], None]


class Side(Protocol):
    """One way to use proxies."""

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Connect to the proxies; the stack undoes it."""

    def ready(self) -> int:
        """Return how many proxies can be used."""
        ...

    def unready(self) -> str:
        """Say what is wrong with the other proxies."""
        ...

    def hears(self, address: str) -> bool:
        """Whether any proxy has heard a device."""
        ...

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect, as this side's users do; `lost` is told when the link is no more."""
        ...

    def keep(self, address: str, lost: Callable[[], None]) -> KeptConnection[Any] | None:
        """Return what keeps a device connected; None if this side has nothing of the kind."""
        ...

    def signals(self) -> list[tuple[str, str, int]]:
        """Return the proxy's MAC address, device and dBm of each path that this side knows."""
        ...

    def alarms(self) -> list[Alarm]:
        """Return what this side itself finds wrong."""
        ...

    def reported(self) -> dict[str, Allocations]:
        """Return the slots of each proxy, by its name, as this side knows them."""
        ...


class Ours:
    """A fleet, establish_connection and keep_connected.

    Attributes:
        fleet: the fleet, once it has started.
    """

    fleet: Fleet

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Connect to the proxies."""
        proxies = [Proxy(way.host, way.port, noise_psk=way.key) for way in ways]
        self.fleet = await stack.enter_async_context(
            Fleet(proxies, discover=False, state=None, owner=False)
        )

    def ready(self) -> int:
        """Return how many proxies can be used."""
        return sum(radio.state is RadioState.READY for radio in self.fleet.radios)

    def unready(self) -> str:
        """Say what is wrong with the other proxies."""
        return "; ".join(
            f"{radio.name} is {radio.state}: {radio.problem}"
            for radio in self.fleet.radios
            if radio.state is not RadioState.READY
        )

    def hears(self, address: str) -> bool:
        """Whether any proxy has heard a device."""
        return self.fleet.advertisement(address) is not None

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect."""
        return await establish_connection(
            BleakClientWithServiceCache,
            self.fleet.known_device(address, ADDRESS_TYPE),
            address,
            lost,
            deadline=deadline,
        )

    def keep(self, address: str, lost: Callable[[], None]) -> KeptConnection[Any] | None:
        """Keep a device connected."""
        return keep_connected(
            BleakClientWithServiceCache,
            self.fleet.known_device(address, ADDRESS_TYPE),
            address,
            on_lost=lost,
            silence_timeout=SILENCE,
        )

    async def elsewhere(self, stack: AsyncExitStack) -> Side:
        """Return the same fleet, for programs in another event loop."""
        stack.push_async_callback(close_links)
        stack.callback(install(self.fleet))
        return Elsewhere(self)

    def signals(self) -> list[tuple[str, str, int]]:
        """Return proxy, device and dBm of each path."""
        macs = {radio.name: identity_of(radio) for radio in self.fleet.radios}
        return [
            (macs[path.source], device.address, path.rssi)
            for device in self.fleet.devices
            for path in self.fleet.paths(device.address)
        ]

    def alarms(self) -> list[Alarm]:
        """Return what the fleet's monitor finds."""
        return self.fleet.alarms()

    def reported(self) -> dict[str, Allocations]:
        """Return the slots as the fleet knows them."""
        return {slots.adapter: slots for slots in self.fleet.allocations()}


class Elsewhere:
    """Plain BleakClients in another loop than the fleet's, which is installed.

    Args:
        ours: the fleet, used in its own loop.
    """

    def __init__(self, ours: Ours) -> None:
        self._ours = ours

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Nothing: the fleet runs."""

    def ready(self) -> int:
        """Return how many proxies can be used."""
        return self._ours.ready()

    def unready(self) -> str:
        """Say what is wrong with the other proxies."""
        return self._ours.unready()

    def hears(self, address: str) -> bool:
        """Whether any proxy has heard a device."""
        return self._ours.hears(address)

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect, knowing nothing of any fleet."""
        loop = asyncio.get_running_loop()
        end = loop.time() + deadline
        async with asyncio.timeout_at(end):
            device = await BleakScanner.find_device_by_address(address, timeout=deadline)
            if device is None:
                raise TimeoutError
            left = max(end - loop.time(), 0.0)
            return await establish_connection(BleakClient, device, address, lost, deadline=left)

    def keep(self, address: str, lost: Callable[[], None]) -> KeptConnection[Any] | None:
        """Keep nothing connected."""
        return None

    def signals(self) -> list[tuple[str, str, int]]:
        """Return none: the fleet's are looked at already."""
        return []

    def alarms(self) -> list[Alarm]:
        """Return none: the fleet's are looked at already."""
        return []

    def reported(self) -> dict[str, Allocations]:
        """Return none: the fleet's are looked at already."""
        return {}
