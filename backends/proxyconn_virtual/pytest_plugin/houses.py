"""What the fixtures are made of: a running virtual fleet, a fleet on it, faults, what is left."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager

import pytest

from proxyconn import Fleet, Proxy
from proxyconn_virtual.fault_catalogue import find_fault
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.named_faults.model import FOREIGN
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.peripheral_files.loading import place_among
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

ROOMS = ("kitchen", "bedroom")

READY_WITHIN = 10.0
"""Seconds in which a fleet joins its proxies."""

SLOTS_FREE_WITHIN = 2.0
"""Seconds in which a disconnection that has begun frees its slot."""

_LOOK_AGAIN = 0.02
_NOBODYS = FOREIGN.to_bytes(6, "big")[:3].hex(":").upper()


def usual_proxies() -> list[ProxySpec]:
    """Return two proxies with one key."""
    key = new_noise_psk()
    return [ProxySpec(name=room, noise_psk=key) for room in ROOMS]


class House(VirtualFleet):
    """The virtual fleet of one test.

    Attributes:
        broken: names of the proxies with a fault that outlives it, whose slots prove nothing.
    """

    def __init__(self, proxies: Sequence[ProxySpec], peripherals: Sequence[Peripheral]) -> None:
        super().__init__(proxies, peripherals, announce=False)
        self.broken: set[str] = set()


@asynccontextmanager
async def running(
    proxies: Sequence[ProxySpec], peripherals: Sequence[Peripheral]
) -> AsyncIterator[House]:
    """Run proxies among peripherals; fail the test at the end if one of their slots is taken.

    Raises ConfigError if a peripheral names a proxy that there is not.
    """
    places = [spec.place or spec.name for spec in proxies]
    place_among(places, peripherals, "virtual_peripherals")
    async with House(proxies, peripherals) as fleet:
        yield fleet
        await fail_if_slots_are_left(fleet)


@asynccontextmanager
async def joined(virtual: House) -> AsyncIterator[Fleet]:
    """Join every proxy of a virtual fleet; fail the test at the end if a device is connected."""
    there = virtual.proxies.values()
    proxies = [Proxy(proxy.host, port=proxy.port, noise_psk=proxy.noise_psk) for proxy in there]
    async with Fleet(proxies, discover=False, state=None, owner=False) as fleet:
        await fleet.ready(len(proxies), timeout=READY_WITHIN)
        yield fleet
        # Closing the fleet would free them.
        await fail_if_slots_are_left(virtual)


async def fail_if_slots_are_left(fleet: House) -> None:
    """Fail the test that leaves a connection slot taken, and say which."""
    tries = round(SLOTS_FREE_WITHIN / _LOOK_AGAIN)
    while (left := tuple(_left(fleet))) and tries:
        await asyncio.sleep(_LOOK_AGAIN)
        tries -= 1
    if left:
        pytest.fail(
            f"connection slots left: {'; '.join(left)}. Disconnect every client before the test "
            "ends, also when it fails: `finally: await client.disconnect()`",
            pytrace=False,
        )


def _left(fleet: House) -> Iterator[str]:
    names = {fleet.air.address_now(one.address): one.name for one in fleet.peripherals}
    for proxy in fleet.proxies.values():
        for address, state in proxy.snapshot().slots:
            # Faults take slots too, for devices that are nobody's.
            if proxy.name in fleet.broken or address.startswith(_NOBODYS):
                continue
            yield f"{proxy.name} holds {address} ({names.get(address, 'unknown')}), {state}"


class Faults:
    """Switches faults of virtual proxies on, by name; see `docs/faults.md` for all of them."""

    def __init__(self, fleet: House) -> None:
        self._fleet = fleet
        self._undo: list[Callable[[], None]] = []

    def __call__(
        self, name: str, argument: str | float | None = None, *, proxy: str | None = None
    ) -> Callable[[], None]:
        """Switch a fault on; return what switches it off (idempotent).

        Args:
            name: of the fault.
            argument: what it takes; None for its default.
            proxy: name of the one that has it; None for every one.

        Raises:
            FaultError: there is no such fault, it takes something else, or no such proxy has it.
            KeyError: there is no such proxy.
        """
        proxies = self._fleet.proxies
        chosen: Sequence[VirtualProxy] = tuple(proxies.values())
        if proxy is not None:
            if proxy not in proxies:
                raise KeyError(f"no proxy {proxy!r}; there are: {', '.join(proxies)}")
            chosen = (proxies[proxy],)
        undo = [one.inject(name, argument) for one in chosen]
        if find_fault(name).lasting:
            self._fleet.broken.update(one.name for one in chosen)
        self._undo += undo

        def off() -> None:
            for one in undo:
                one()

        return off

    def end(self) -> None:
        """Switch off those that are on."""
        while self._undo:
            self._undo.pop()()
