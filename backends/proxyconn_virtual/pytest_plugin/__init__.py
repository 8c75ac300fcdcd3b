"""The pytest plugin: virtual proxies, devices and faults for the tests of whoever uses proxyconn.

pytest loads it by itself (entry point `pytest11`); what it needs is loaded when a fixture is used.
Its fixtures are coroutines of pytest-asyncio: `pip install "proxyconn[pytest]"`.
Begin with `virtual_fleet`; what stands behind it is in `houses.py`.
May import: everything of `proxyconn_virtual` but its commands, and the core.
"""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from proxyconn import Fleet
    from proxyconn_virtual.peripheral import Peripheral
    from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
    from proxyconn_virtual.pytest_plugin.houses import Faults, House

try:
    from pytest_asyncio import fixture as async_fixture
except ImportError:  # a test that uses these fixtures says so
    async_fixture = pytest.fixture  # type: ignore[assignment]

__all__ = (
    "bleak_through_proxies",
    "proxyconn_fleet",
    "virtual_fault",
    "virtual_fleet",
    "virtual_peripherals",
    "virtual_proxies",
    "virtual_proxy",
)

SKIP_WAITING = "skip_waiting"


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        f"{SKIP_WAITING}: run the test on a clock that goes on to the next timer whenever nothing "
        "is left to do (by looptime), beginning at the time at which fixtures were made.",
    )


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have looptime run a marked test. Raises pytest.UsageError for a plugin that is missing."""
    if "virtual_fleet" in getattr(item, "fixturenames", ()):
        _need(item, "asyncio", "virtual_fleet needs pytest-asyncio")
    if item.get_closest_marker(SKIP_WAITING) is not None:
        _need(item, "looptime_plugin", f"{SKIP_WAITING} needs looptime")
        # Fixtures have timers by the real clock: from there on, time goes forward.
        item.add_marker(pytest.mark.looptime(start=time.monotonic))


def _need(item: pytest.Item, plugin: str, what: str) -> None:
    if not item.config.pluginmanager.hasplugin(plugin):
        raise pytest.UsageError(f'{item.nodeid}: {what}: pip install "proxyconn[pytest]"')


@pytest.fixture
def virtual_proxies() -> Sequence[ProxySpec]:
    """The proxies of `virtual_fleet`: kitchen and bedroom. Define your own to have others."""
    from proxyconn_virtual.pytest_plugin.houses import usual_proxies

    return usual_proxies()


@pytest.fixture
def virtual_peripherals(virtual_proxies: Sequence[ProxySpec]) -> Sequence[Peripheral]:
    """The devices around the proxies: a household of ten. Define your own to have others.

    One that does not say which proxies hear it (`rssi`) is heard by each, at -60 dBm.
    """
    from proxyconn_virtual.catalogue import household

    return household([spec.place or spec.name for spec in virtual_proxies])


@async_fixture
async def virtual_fleet(
    virtual_proxies: Sequence[ProxySpec], virtual_peripherals: Sequence[Peripheral]
) -> AsyncIterator[House]:
    """Virtual proxies that run on 127.0.0.1 for one test, among virtual devices.

    The test fails if a connection slot is still taken at its end.
    """
    from proxyconn_virtual.pytest_plugin.houses import running

    async with running(virtual_proxies, virtual_peripherals) as fleet:
        yield fleet


@pytest.fixture
def virtual_proxy(virtual_fleet: House) -> VirtualProxy:
    """The first proxy of `virtual_fleet`."""
    return next(iter(virtual_fleet.proxies.values()))


@pytest.fixture
def virtual_fault(virtual_fleet: House) -> Iterator[Faults]:
    """Switches faults on by name: `virtual_fault("slot_leak")`, for one proxy with `proxy=`.

    It returns what switches the fault off again; at the end of the test all are.
    """
    from proxyconn_virtual.pytest_plugin.houses import Faults

    faults = Faults(virtual_fleet)
    yield faults
    faults.end()


@async_fixture
async def proxyconn_fleet(virtual_fleet: House) -> AsyncIterator[Fleet]:
    """A `Fleet` that has joined every proxy of `virtual_fleet`, and learns and finds nothing else.

    The test fails if a device is still connected at its end.
    """
    from proxyconn_virtual.pytest_plugin.houses import joined

    async with joined(virtual_fleet) as fleet:
        yield fleet


@pytest.fixture
def bleak_through_proxies(proxyconn_fleet: Fleet) -> Iterator[Fleet]:
    """Every plain `BleakScanner` and `BleakClient` of the test goes through `proxyconn_fleet`."""
    from proxyconn import install

    uninstall = install(proxyconn_fleet)
    yield proxyconn_fleet
    uninstall()
