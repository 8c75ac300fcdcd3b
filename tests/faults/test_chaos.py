"""A household under every fault at once, at random: bounded while it lasts, whole afterwards."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import AsyncExitStack

import pytest
from bleak.exc import BleakError

from proxyconn_virtual.chaos import ChaosFaults
from proxyconn_virtual.fault_catalogue import FaultName as Name
from tests.faults.conftest import VALUE, Home, OpenHome, until

pytestmark = pytest.mark.looptime

DEVICES = 4
STORM = 900.0
"""Seconds of faults."""

LONGEST_CALL = 300.0
"""Seconds in which every call ends, one way or the other."""

CALM = 2400.0
"""Seconds after the faults in which all is well again: a rival may be given way to for 1800."""


class Users:
    """Programs that connect a device, read it, and let it go, over and over.

    Attributes:
        links: how many connections each device had.
        errors: how often what was raised.
    """

    def __init__(self, home: Home) -> None:
        self._home = home
        self.links: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()

    async def run(self, number: int) -> None:
        """Use one device until cancelled."""
        while True:
            try:
                async with asyncio.timeout(LONGEST_CALL) as limit:
                    await self._use(number)
            except (BleakError, TimeoutError) as error:
                assert not limit.expired(), f"device {number}: a call takes {LONGEST_CALL:g} s"
                self.errors[type(error).__name__] += 1
            await asyncio.sleep(5.0)

    async def _use(self, number: int) -> None:
        client = await self._home.connect(number)
        self.links[number] += 1
        try:
            for _ in range(3):
                assert await client.read_gatt_char(VALUE) == b"value"
                await asyncio.sleep(2.0)
        finally:
            await client.disconnect()


@pytest.mark.parametrize(
    ("profile", "seed"), [("2025.5", 0), ("2026.6.5", 1), ("2026.8", 2), ("2026.10", 3), ("rp2", 4)]
)
async def test_chaos(open_home: OpenHome, profile: str, seed: int) -> None:
    """No call hangs, no error is untyped, each link ends once, and every slot comes back."""
    home = await open_home(Name.REPLY_REORDER, profile, "kitchen bedroom", DEVICES)
    users = Users(home)
    tasks = [asyncio.create_task(users.run(number)) for number in range(1, DEVICES + 1)]
    async with AsyncExitStack() as stack:
        for proxy in home.virtual.proxies.values():
            await stack.enter_async_context(ChaosFaults(proxy, seed=seed, rate=0.05))
        await asyncio.wait(tasks, timeout=STORM)
    calm = home.now
    during = users.links.total()
    for proxy in home.virtual.proxies.values():
        assert not proxy.injectors
    await asyncio.wait(tasks, timeout=LONGEST_CALL)
    failed = [task for task in tasks if task.done()]
    for task in tasks:
        task.cancel()
    results = await asyncio.gather(*tasks, return_exceptions=True)
    assert not failed, results
    assert users.links.total() - during > 2 * DEVICES, (users.links, users.errors)
    for number in range(1, DEVICES + 1):
        await home.works(number, within=CALM)
    await until(lambda: len(home.drops) == users.links.total() + DEVICES, 60.0)
    home.recovered_at(calm, f"{during} links and {users.errors.total()} errors during the faults")
    await home.all_free(120.0)
