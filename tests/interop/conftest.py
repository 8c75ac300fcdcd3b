"""What the tests with other people's packages share: a virtual proxy, over TCP and Noise."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import pytest

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Outcome,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

DEADLINE = 5.0
"""Seconds within which anything that should happen has happened."""

TELLS_REASONS = "2026.7.0"
"""The last firmware that tells why a link did not open; newer ones say 133, whatever it was."""

SERVICE = "0000fff0-0000-1000-8000-00805f9b34fb"
READ = "0000fff1-0000-1000-8000-00805f9b34fb"
ECHO = "0000fff2-0000-1000-8000-00805f9b34fb"


def address(number: int) -> str:
    """Return the address of the numbered peripheral."""
    return f"C4:00:00:00:00:{number:02X}"


def peripheral(number: int = 1, outcomes: Sequence[Outcome] = ()) -> Peripheral:
    """Return a peripheral that says hello, and notifies what is written to it, reversed."""
    echo = Properties.READ | Properties.WRITE | Properties.NOTIFY
    return Peripheral(
        address(number),
        f"device {number}",
        services=[
            ServiceSpec(
                0xFFF0,
                [
                    CharacteristicSpec(0xFFF1, Properties.READ, b"hello"),
                    CharacteristicSpec(0xFFF2, echo, b"", on_write=lambda data: data[::-1]),
                ],
            )
        ],
        rssi={"kitchen": -50},
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
        outcomes=list(outcomes),
    )


OpenProxy = Callable[..., Awaitable[VirtualProxy]]


@pytest.fixture
async def open_proxy() -> AsyncIterator[OpenProxy]:
    """Return a maker of virtual proxies, each with a Noise key, among the given peripherals."""
    async with AsyncExitStack() as stack:

        async def make(*peripherals: Peripheral, **spec: Any) -> VirtualProxy:
            options: dict[str, Any] = {"name": "kitchen", "noise_psk": new_noise_psk(), **spec}
            fleet = VirtualFleet(
                [ProxySpec(**options)], peripherals or [peripheral()], announce=False
            )
            await stack.enter_async_context(fleet)
            return fleet.proxies["kitchen"]

        yield make
