"""Whose client has the sessions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any, NamedTuple, Protocol

from bleak import BleakClient

from proxyconn import (
    Alarm,
    Allocations,
    BleakClientWithServiceCache,
    Fleet,
    KeptConnection,
    Proxy,
    RadioState,
    establish_connection,
    keep_connected,
)

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

    def alarms(self) -> list[Alarm]:
        """Return what this side itself finds wrong."""
        ...

    def reported(self) -> dict[str, Allocations]:
        """Return the slots of each proxy, by its name, as this side knows them."""
        ...


class Ours:
    """A fleet, establish_connection and keep_connected."""

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Connect to the proxies."""
        proxies = [Proxy(way.host, way.port, noise_psk=way.key) for way in ways]
        self._fleet = await stack.enter_async_context(Fleet(proxies, discover=False))

    def ready(self) -> int:
        """Return how many proxies can be used."""
        return sum(radio.state is RadioState.READY for radio in self._fleet.radios)

    def unready(self) -> str:
        """Say what is wrong with the other proxies."""
        return "; ".join(
            f"{radio.name} is {radio.state}: {radio.problem}"
            for radio in self._fleet.radios
            if radio.state is not RadioState.READY
        )

    def hears(self, address: str) -> bool:
        """Whether any proxy has heard a device."""
        return self._fleet.advertisement(address) is not None

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect."""
        return await establish_connection(
            BleakClientWithServiceCache,
            self._fleet.known_device(address, ADDRESS_TYPE),
            address,
            lost,
            deadline=deadline,
        )

    def keep(self, address: str, lost: Callable[[], None]) -> KeptConnection[Any] | None:
        """Keep a device connected."""
        return keep_connected(
            BleakClientWithServiceCache,
            self._fleet.known_device(address, ADDRESS_TYPE),
            address,
            on_lost=lost,
            silence_timeout=SILENCE,
        )

    def alarms(self) -> list[Alarm]:
        """Return what the fleet's monitor finds."""
        return self._fleet.alarms()

    def reported(self) -> dict[str, Allocations]:
        """Return the slots as the fleet knows them."""
        return {slots.adapter: slots for slots in self._fleet.allocations()}
