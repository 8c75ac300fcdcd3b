"""Two hundred sessions while proxies die and come back."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

from bleak.exc import BleakError

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection
from proxyconn.errors import ProxyconnError
from proxyconn_virtual.fleet import VirtualFleet

from .conftest import VALUE, Real, Virtual, address, peripheral, until

SESSIONS = 200
DEVICES = 40
SESSION_DEADLINE = 20.0
"""Seconds for one session to be connected or to say why not."""

HOLD = 0.2
"""Seconds between two reads of a session."""

NAMES = "kitchen bedroom garage attic"


async def session(fleet: Fleet, number: int) -> str:
    """Connect, read, disconnect; return how it ended."""
    device = fleet.known_device(address(number))
    try:
        async with asyncio.timeout(SESSION_DEADLINE + 1):
            client = await establish_connection(
                BleakClientWithServiceCache, device, f"device {number}", deadline=SESSION_DEADLINE
            )
    except ProxyconnError as exc:
        return type(exc).__name__
    try:
        await client.read_gatt_char(VALUE)
        await asyncio.sleep(HOLD)
        await client.read_gatt_char(VALUE)
    except BleakError:
        return "lost in session"
    finally:
        await client.disconnect()
    return "read"


async def sessions_of(fleet: Fleet, number: int, outcomes: Counter[str]) -> None:
    """Hold one session after the other with one device."""
    for _ in range(SESSIONS // DEVICES):
        outcomes[await session(fleet, number)] += 1


async def churn(house: VirtualFleet, chance: random.Random, killed: list[str]) -> None:
    """Kill a proxy at a time, and start it again."""
    while True:
        await asyncio.sleep(chance.uniform(0.1, 0.3))
        proxy = house.proxies[chance.choice(list(house.proxies))]
        killed.append(proxy.name)
        await proxy.kill()
        await asyncio.sleep(chance.uniform(0.05, 0.3))
        await proxy.start()


async def test_every_session_ends_and_nothing_is_left(virtual: Virtual, real: Real) -> None:
    """Success or an error of the taxonomy before the deadline; no slot is held at the end."""
    chance = random.Random(7)
    devices = [
        peripheral(number, None, **{name: chance.randint(-80, -50) for name in NAMES.split()})
        for number in range(DEVICES)
    ]
    house = await virtual(NAMES, *devices)
    fleet = await real()
    await fleet.ready(4)
    await until(lambda: len(fleet.devices) == DEVICES)
    outcomes: Counter[str] = Counter()
    killed: list[str] = []
    killer = asyncio.create_task(churn(house, chance, killed))
    async with asyncio.TaskGroup() as group:
        for number in range(DEVICES):
            group.create_task(sessions_of(fleet, number, outcomes))
    killer.cancel()
    await asyncio.wait([killer])
    assert outcomes.total() == SESSIONS
    assert set(killed) == set(house.proxies)
    assert outcomes["read"] > SESSIONS / 2, outcomes
    for proxy in house.proxies.values():
        await proxy.start()
    await until(lambda: all(not proxy.snapshot().slots for proxy in house.proxies.values()))
