"""A virtual fleet on loopback, and a real one that finds it by mDNS."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack

import pytest
from zeroconf.asyncio import AsyncZeroconf

from proxyconn import Fleet
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Outcome,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

DEADLINE = 5.0
"""Seconds within which anything that should happen has happened."""

VALUE = "0000fff1-0000-1000-8000-00805f9b34fb"
KEY = new_noise_psk()


def unique(name: str) -> str:
    """Return a proxy name that no other process announces on this machine's loopback."""
    return f"{name}-{os.getpid():x}"


KITCHEN, BEDROOM = unique("kitchen"), unique("bedroom")


def address(number: int) -> str:
    """Return the address of the numbered peripheral."""
    return f"C4:00:00:00:00:{number:02X}"


def peripheral(number: int, outcomes: list[Outcome] | None = None, **rssi: int) -> Peripheral:
    """Return a peripheral that the named proxies hear."""
    return Peripheral(
        address(number),
        f"device {number}",
        services=[
            ServiceSpec(
                0xFFF0, [CharacteristicSpec(0xFFF1, Properties.READ, f"value {number}".encode())]
            )
        ],
        rssi={unique(name): strength for name, strength in rssi.items()},
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
        outcomes=outcomes or [],
    )


async def until(condition: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # the condition is not ours to signal


Virtual = Callable[..., Awaitable[VirtualFleet]]
Real = Callable[..., Awaitable[Fleet]]


@pytest.fixture
async def stack() -> AsyncIterator[AsyncExitStack]:
    """Return a stack that is unwound at the end of the test."""
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def virtual(stack: AsyncExitStack) -> Virtual:
    """Return a maker of virtual fleets: names of proxies, then peripherals."""

    async def make(
        names: str, *peripherals: Peripheral, announce: bool = True, **spec: object
    ) -> VirtualFleet:
        options: dict[str, object] = {"noise_psk": KEY, **spec}
        specs = [ProxySpec(name=name, **options) for name in map(unique, names.split())]  # type: ignore[arg-type]
        fleet = VirtualFleet(specs, peripherals, announce=announce)
        return await stack.enter_async_context(fleet)

    return make


@pytest.fixture
def real(stack: AsyncExitStack) -> Real:
    """Return a maker of fleets that look for proxies on loopback only."""

    async def make(**options: object) -> Fleet:
        zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
        stack.push_async_callback(zeroconf.async_close)
        fleet = Fleet(zeroconf=zeroconf, **{"noise_psk": KEY, **options})  # type: ignore[arg-type]
        return await stack.enter_async_context(fleet)

    return make
