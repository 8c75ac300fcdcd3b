"""Short stories of the fleet, played on the real code."""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final

from proxyconn import BleakClientWithServiceCache, Retry, establish_connection
from scripts.firmware.build import build

from .house import SLOTS, VALUE, RealHouse, address_text

LIMIT: Final = 60.0
"""Seconds until a story is given up."""

_PROGRAM: Final = Path(__file__).with_name("reading_program.py")


async def _connect(
    house: RealHouse, address: int, **options: object
) -> BleakClientWithServiceCache:
    device = await house.fleet.find_device(address_text(address), timeout=10)
    return await establish_connection(
        BleakClientWithServiceCache,
        device,
        address_text(address),
        deadline=30.0,
        **options,  # type: ignore[arg-type]
    )


async def queue(binary: Path) -> str | None:
    """Eight devices want three slots: each has its turn, in the order of asking, at once."""
    async with RealHouse(binary, proxies=1, devices=8) as house:
        served: list[int] = []

        async def use(address: int) -> None:
            client = await _connect(house, address, max_attempts=1)
            served.append(address)
            value = await client.read_gatt_char(VALUE)
            assert value == address.to_bytes(6, "big"), value
            await asyncio.sleep(0.3)
            await client.disconnect()

        for address in house.addresses:
            await house.fleet.find_device(address_text(address), timeout=10)
        tasks = []
        for address in house.addresses:
            tasks.append(asyncio.ensure_future(use(address)))
            await asyncio.sleep(0.02)
        await asyncio.gather(*tasks)
        if sorted(served[:SLOTS]) + served[SLOTS:] != house.addresses:
            return f"served in the order {[address & 0xFF for address in served]}"
        return _kept(await house.held())


async def broken_radio(binary: Path) -> str | None:
    """The nearest proxy fails at once, so the next attempt goes through the other one."""
    async with RealHouse(binary, proxies=2, devices=1) as house:
        (address,) = house.addresses
        near, far = house.proxies
        await near.device(address, (), open=0x85)
        await house.fleet.find_device(address_text(address), timeout=10)
        await asyncio.sleep(1.0)
        retries: list[Retry] = []
        client = await _connect(house, address, on_retry=retries.append)
        if [retry.source for retry in retries] != [near.name]:
            return f"retries of {[retry.source for retry in retries]}"
        if await house.links(far) != [address]:
            return "not linked through the other proxy"
        await client.disconnect()
        return _kept(await house.held())


async def unanswered(binary: Path) -> str | None:
    """Who gives a device up that does not answer leaves the turn to the next one at once."""
    async with RealHouse(binary, proxies=1, devices=2) as house:
        away, here = house.addresses
        await house.proxies[0].device(away, (), open="never")
        for address in house.addresses:
            await house.fleet.find_device(address_text(address), timeout=10)
        waiting = asyncio.ensure_future(_connect(house, away))
        await asyncio.sleep(1.5)
        behind = asyncio.ensure_future(_connect(house, here))
        await asyncio.sleep(0.5)
        began = asyncio.get_running_loop().time()
        waiting.cancel()
        client = await behind
        took = asyncio.get_running_loop().time() - began
        await client.disconnect()
        if took > 2.0:
            return f"the next one had to wait for {took:.1f} s"
        return _kept(await house.held())


async def run(binary: Path) -> str | None:
    """A program that knows nothing of proxies, under `proxyconn run`."""
    async with RealHouse(binary, proxies=1, devices=1) as house:
        (address,) = house.addresses
        await house.fleet.aclose()
        with tempfile.TemporaryDirectory() as folder:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "proxyconn", "run", "--no-discover", "--no-owner"),
                *("--proxy", f"127.0.0.1:{house.proxies[0].port}"),
                *("--", str(_PROGRAM), address_text(address), VALUE),
                env=os.environ | {"XDG_STATE_HOME": folder, "XDG_CONFIG_HOME": folder},
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            said, _ = await process.communicate()
        if said.decode().split() != [f"{address:012x}"]:
            return f"exit status {process.returncode}: {said.decode()}"
        return _kept(await house.held())


def _kept(held: Sequence[str]) -> str | None:
    return f"still held: {', '.join(held)}" if held else None


Story = Callable[[Path], Awaitable[str | None]]

STORIES: Final[Sequence[Story]] = (queue, broken_radio, unanswered, run)
"""Each returns what went wrong."""

CANCELS_FROM: Final = (2026, 10)
"""Release from which on the firmware cancels an open; before, it ends at the stack's own limit."""


def _stories_of(release: str) -> list[Story]:
    year, month = map(int, release.split(".")[:2])
    cancels = (year, month) >= CANCELS_FROM
    return [story for story in STORIES if cancels or story is not unanswered]


async def _tell(stories: Sequence[Story], binary: Path) -> dict[str, str | None]:
    found: dict[str, str | None] = {}
    for story in stories:
        async with asyncio.timeout(LIMIT):
            found[story.__name__] = await story(binary)
    return found


def tell(release: str) -> int:
    """Play every story on a release, print what went wrong, and return the status."""
    found = asyncio.run(_tell(_stories_of(release), build(release)))
    failed = {name: what for name, what in found.items() if what}
    for name, what in failed.items():
        print(f"story {name}: {what}")
    print(f"{release}: {len(found) - len(failed)} of {len(found)} stories of the fleet end well")
    return int(bool(failed))
