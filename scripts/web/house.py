"""What is looked at: virtual proxies, an owner of them, and a program that uses it."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec

NAMES = ("kitchen", "cellar", "attic")
EVIL = "<img onerror=alert(1)>"
FIRST, SECOND, THIRD = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3))

PATIENCE = 60.0
"""Seconds for what takes a moment on a machine that has nothing else to do."""


class Quiet:
    """Takes what an owner tells."""

    def served(self, owner: Owner) -> None:
        """Nothing to say."""

    def client_came(self, proxy: str, client: str) -> None:
        """Nothing to say."""

    def client_went(self, proxy: str, client: str) -> None:
        """Nothing to say."""


def peripheral(number: int) -> Peripheral:
    """Return a device with a service; the first one has a name that would be markup."""
    return Peripheral(
        f"C4:00:00:00:00:{number:02X}",
        EVIL if number == 1 else f"sensor {number}",
        services=[ServiceSpec(0x180F, [CharacteristicSpec(0x2A19, Properties.READ, b"\x55")])],
        rssi={"kitchen": -45 - number, "cellar": -90 + number, "attic": -70},
        interval=0.3,
    )


def alone(proxies: Sequence[Proxy]) -> Fleet:
    """Return a fleet of these proxies, that remembers nothing."""
    return Fleet(proxies, discover=False, state=False, owner=False)


@asynccontextmanager
async def owner_with_links(key: str) -> AsyncIterator[tuple[VirtualFleet, Owner, Fleet]]:
    """Run virtual proxies, an owner of them, and a program that can connect through it."""
    specs = [
        # Only older firmware leaks slots and is wedged; only newer firmware can be robbed.
        ProxySpec(name=name, noise_psk=key, profile="2026.8" if name == "attic" else "2026.6.5")
        for name in NAMES
    ]
    devices = [peripheral(number) for number in range(1, 40)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        async with VirtualFleet(specs, devices, announce=False) as virtual:
            proxies = [
                Proxy("127.0.0.1", one.port, noise_psk=key) for one in virtual.proxies.values()
            ]
            local = Listen("127.0.0.1", 0)
            settings = ServeSettings(api=local, announce=False, noise_psk=key, web=local)
            async with (
                alone(proxies) as fleet,
                serving(fleet, settings, path, path, Quiet()) as owner,
            ):
                await fleet.ready(len(NAMES), PATIENCE)
                served = Proxy("127.0.0.1", owner.proxies[None].port, noise_psk=key)
                async with alone([served]) as program:
                    yield virtual, owner, program


async def connected(program: Fleet, address: str) -> BleakClientWithServiceCache:
    """Connect to a device through the owner."""
    device = await program.find_device(address, PATIENCE)
    return await establish_connection(
        BleakClientWithServiceCache, device, address, deadline=PATIENCE
    )
