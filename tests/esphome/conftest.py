"""What the tests of the ESPHome backend share: virtual proxies, sessions, devices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

import pytest
from bleak.backends.device import BLEDevice

from proxyconn import Proxy
from proxyconn.radio import ROUTE
from proxyconn_esphome import ESPHomeClient, ProxySession
from proxyconn_esphome.session_route import SessionRoute
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Outcome,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir

DEADLINE = 5.0
"""Seconds within which anything that should happen has happened."""

SERVICE = "0000fff0-0000-1000-8000-00805f9b34fb"
READ = "0000fff1-0000-1000-8000-00805f9b34fb"
ECHO = "0000fff2-0000-1000-8000-00805f9b34fb"
NOTIFY = "0000fff3-0000-1000-8000-00805f9b34fb"
SECRET = "0000fff4-0000-1000-8000-00805f9b34fb"
INDICATE = "0000fff5-0000-1000-8000-00805f9b34fb"
COMMAND = "0000fff6-0000-1000-8000-00805f9b34fb"


def address(number: int) -> str:
    """Return the address of the numbered peripheral."""
    return f"C4:00:00:00:00:{number:02X}"


def peripheral(
    number: int = 1, outcomes: list[Outcome] | None = None, interval: float = 0.02
) -> Peripheral:
    """Return a peripheral with one characteristic of every kind."""
    value = Properties.READ | Properties.WRITE | Properties.NOTIFY
    return Peripheral(
        address(number),
        f"device {number}",
        services=[
            ServiceSpec(
                0xFFF0,
                [
                    CharacteristicSpec(0xFFF1, Properties.READ, b"hello"),
                    CharacteristicSpec(0xFFF2, value, b"", on_write=lambda data: data[::-1]),
                    CharacteristicSpec(0xFFF3, Properties.NOTIFY, notify_every=0.01),
                    CharacteristicSpec(
                        0xFFF4, Properties.READ | Properties.WRITE, b"secret", encrypted=True
                    ),
                    CharacteristicSpec(0xFFF5, Properties.INDICATE, notify_every=0.01),
                    CharacteristicSpec(
                        0xFFF6, Properties.WRITE_WITHOUT_RESPONSE | Properties.WRITE, b""
                    ),
                ],
            )
        ],
        rssi={"kitchen": -50},
        interval=interval,
        latency=0.005,
        att_latency=0.001,
        outcomes=outcomes or [],
    )


@dataclass
class House:
    """One virtual proxy, one session with it, and the devices around."""

    fleet: VirtualFleet
    proxy: VirtualProxy
    session: ProxySession
    slots_before: int = field(init=False)

    def __post_init__(self) -> None:
        self.slots_before = self.proxy.snapshot().free

    def device(self, number: int = 1) -> BLEDevice:
        """Return the numbered device as the proxy would report it."""
        details = {
            "source": self.session.name,
            "address_type": 1,
            ROUTE: SessionRoute(self.session, -50, ESPHomeClient),
        }
        return BLEDevice(address(number), f"device {number}", details)

    def client(self, number: int = 1, **kwargs: object) -> ESPHomeClient:
        """Return a client for the numbered device."""
        return ESPHomeClient(self.device(number), **kwargs)  # type: ignore[arg-type]

    def drop_link(self, number: int, reason: int) -> None:
        """Let the numbered device drop its link with an HCI reason."""
        assert isinstance(self.fleet.air, SimulatedAir)
        assert self.fleet.air.drop_link(address(number), reason)

    async def all_free(self) -> None:
        """Wait until proxy and session agree that every slot is free."""
        await until(
            lambda: (
                self.proxy.snapshot().free == self.slots_before
                and self.session.ledger.available == self.slots_before
                and not self.session.dispatcher.links
            )
        )


async def until(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # the condition is not ours to signal


Open = Callable[..., Awaitable[House]]


@asynccontextmanager
async def houses() -> AsyncIterator[Open]:
    """Yield a maker of houses: a virtual proxy among peripherals, and a session with it."""
    async with AsyncExitStack() as stack:

        async def make(*peripherals: Peripheral, ready: bool = True, **spec: object) -> House:
            options: dict[str, object] = {"name": "kitchen", "noise_psk": new_noise_psk(), **spec}
            radio = options.pop("radio", "simulated")
            fleet = VirtualFleet(
                [ProxySpec(**options)],  # type: ignore[arg-type]
                peripherals or [peripheral()],
                radio=radio,  # type: ignore[arg-type]
                announce=False,
            )
            await stack.enter_async_context(fleet)
            proxy = fleet.proxies["kitchen"]
            session = ProxySession(Proxy(proxy.host, proxy.port, noise_psk=proxy.noise_psk))
            await stack.enter_async_context(session)
            if ready:
                await session.ready(DEADLINE)
            return House(fleet, proxy, session)

        yield make


@pytest.fixture
async def open_house() -> AsyncIterator[Open]:
    """Return a maker of houses."""
    async with houses() as make:
        yield make
