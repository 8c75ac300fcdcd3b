"""One virtual proxy that hears the guide's device, and a fleet that has found both."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import pytest
from bleak.backends.device import BLEDevice

from proxyconn import Fleet
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome, ServiceSpec
from proxyconn_virtual.proxy import VirtualProxy
from tests.fleet.conftest import DEADLINE, KITCHEN, Real, Virtual, peripheral, real, stack, virtual
from tests.guide.device import ADDRESS, switch

__all__ = ["real", "stack", "virtual"]  # the fixtures of the fleet's tests


@dataclass(frozen=True)
class House:
    """A device, the proxy that hears it, and how a program sees the two.

    Attributes:
        virtual: the proxy's end.
        fleet: the program's end.
        device: the device as the fleet found it.
    """

    virtual: VirtualFleet
    fleet: Fleet
    device: BLEDevice

    @property
    def proxy(self) -> VirtualProxy:
        """The proxy."""
        return self.virtual.proxies[KITCHEN]

    @property
    def free(self) -> int:
        """How many of the proxy's slots are free."""
        return self.proxy.snapshot().free


Open = Callable[..., Awaitable[House]]


@pytest.fixture
def open_house(virtual: Virtual, real: Real) -> Open:
    """Return a maker of houses: services of the device, what its attempts do, other devices."""

    async def make(
        *services: ServiceSpec, outcomes: tuple[Outcome, ...] = (), others: int = 0, **spec: object
    ) -> House:
        device = switch(*services, **{KITCHEN: -50})
        device.outcomes = list(outcomes)
        neighbours = [peripheral(number, kitchen=-50) for number in range(1, others + 1)]
        fleet_of_proxies = await virtual("kitchen", device, *neighbours, **spec)
        fleet = await real()
        await fleet.ready(1, DEADLINE)
        return House(fleet_of_proxies, fleet, await fleet.find_device(ADDRESS, DEADLINE))

    return make


@pytest.fixture
async def house(open_house: Open) -> House:
    """Return a house in which everything works."""
    return await open_house()
