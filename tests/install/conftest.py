"""A fleet of one virtual proxy, installed, and programs in its loop or in one of their own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from typing import Any, TypeVar

import bleak
import pytest

from proxyconn import Fleet, Proxy, install
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir

DEADLINE = 10.0
"""Seconds within which anything that should happen has happened."""

LAMP, CLOCK, STRANGER = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 9))
STATE, TICKS, LOCKED = (f"0000fff{number}-0000-1000-8000-00805f9b34fb" for number in (1, 3, 5))
LAMP_SERVICE, CLOCK_SERVICE = (f"0000fff{one}-0000-1000-8000-00805f9b34fb" for one in (0, 2))
COMPANY = 0xFFFF

T = TypeVar("T")


def lamp() -> Peripheral:
    """Return a lamp, which can be read and written, and echoes what is written."""
    state = CharacteristicSpec(
        0xFFF1,
        Properties.READ | Properties.WRITE | Properties.NOTIFY,
        b"off",
        on_write=lambda value: value,
    )
    locked = CharacteristicSpec(0xFFF5, Properties.READ, b"secret", encrypted=True)
    return _peripheral(LAMP, "Lamp", ServiceSpec(0xFFF0, (state, locked)))


def clock() -> Peripheral:
    """Return a clock, which counts."""
    ticks = CharacteristicSpec(
        0xFFF3, Properties.NOTIFY, notify_every=0.005, notify_value=lambda count: bytes((count,))
    )
    return _peripheral(CLOCK, "Clock", ServiceSpec(0xFFF2, (ticks,)))


def _peripheral(address: str, name: str, service: ServiceSpec) -> Peripheral:
    return Peripheral(
        address,
        name,
        services=(service,),
        rssi={"kitchen": -50},
        manufacturer_data={COMPANY: name.encode()},
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
    )


@pytest.fixture(autouse=True)
def nothing_installed() -> Iterator[None]:
    """Fail the test that leaves something of bleak replaced, and put it back."""
    before = dict(vars(bleak))
    yield
    left = {name for name, value in before.items() if vars(bleak)[name] is not value}
    vars(bleak).update(before)
    assert not left


@pytest.fixture
def peripherals() -> list[Peripheral]:
    """Return the lamp and the clock, to meddle with."""
    return [lamp(), clock()]


@pytest.fixture
async def house(peripherals: list[Peripheral]) -> AsyncIterator[VirtualFleet]:
    """Return a proxy that hears the lamp and the clock."""
    spec = ProxySpec(name="kitchen", noise_psk=new_noise_psk(), slots=2)
    async with VirtualFleet([spec], peripherals, announce=False) as house:
        yield house


@pytest.fixture
def kitchen(house: VirtualFleet) -> VirtualProxy:
    """Return the proxy."""
    return house.proxies["kitchen"]


@pytest.fixture
def air(house: VirtualFleet) -> SimulatedAir:
    """Return the air, to meddle with."""
    assert isinstance(house.air, SimulatedAir)
    return house.air


@pytest.fixture
async def fleet(kitchen: VirtualProxy) -> AsyncIterator[Fleet]:
    """Return a fleet of that proxy; not installed."""
    proxy = Proxy(kitchen.host, kitchen.port, noise_psk=kitchen.noise_psk)
    async with Fleet([proxy], discover=False) as fleet:
        yield fleet


@pytest.fixture
async def installed(fleet: Fleet) -> AsyncIterator[Fleet]:
    """Return the fleet, installed."""
    uninstall = install(fleet)
    yield fleet
    uninstall()


Run = Callable[[Coroutine[Any, Any, T]], Awaitable[T]]


async def _here(program: Coroutine[Any, Any, T]) -> T:
    async with asyncio.timeout(DEADLINE):
        return await program


async def elsewhere(program: Coroutine[Any, Any, T]) -> T:
    """Run a program in another thread, with a loop of its own."""

    async def limited() -> T:
        async with asyncio.timeout(DEADLINE):
            return await program

    return await asyncio.to_thread(asyncio.run, limited())


@pytest.fixture(params=[_here, elsewhere], ids=["its loop", "another loop"])
def run(request: pytest.FixtureRequest) -> Run[Any]:
    """Return what runs a program: once in the loop of the fleet, once in another thread."""
    runner: Run[Any] = request.param
    return runner


async def all_free(kitchen: VirtualProxy) -> None:
    """Wait until the proxy holds no slot; it notices by itself."""
    async with asyncio.timeout(DEADLINE):
        while kitchen.snapshot().slots:  # noqa: ASYNC110
            await asyncio.sleep(0.005)  # there is no event for it
