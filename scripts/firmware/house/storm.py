"""A storm over the real code: few slots, links lost, proxies killed, calls cancelled."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, TypeVar

from proxyconn import (
    BleakAbortedError,
    BleakClientWithServiceCache,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    LinkError,
    NotConnectedError,
    RadioUnavailableError,
    establish_connection,
)
from scripts.firmware.build import build

from .house import ECHO, VALUE, RealHouse, address_text

T = TypeVar("T")

PROXIES: Final = 2
DEVICES: Final = 30

DEADLINE: Final = 45.0
"""Seconds for a connect, waiting for a slot included."""

OPERATION: Final = 35.0
"""Seconds after which a read, a write or a disconnect counts as hung; a read may last for 30 s."""

SPARE: Final = 10.0
"""Seconds by which a call may miss its deadline on a busy machine."""

CALM: Final = 30
"""Seconds, about, for the last links to end."""

CANCELLED: Final = 0.2
"""Share of the calls that are cancelled within 3 s."""

REASONS: Final = (0x08, 0x13, 0x22, 0x3D)
"""Why links are lost."""

EXPECTED: Final = (
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    BleakAbortedError,
    BleakConnectionError,
    LinkError,
    NotConnectedError,
    RadioUnavailableError,
)
"""What callers may be told: of connecting, the four of `establish_connection`."""


@dataclass
class Record:
    """What came of it.

    Attributes:
        counts: what was done, and how often each error was raised.
        wrong: errors that nobody should see.
        hung: calls that did not end in time.
        twice: devices that were linked through two proxies at a time.
        left: links and slots that were held when all was over.
        slowest: the longest connect that succeeded, seconds.
    """

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    hung: list[str] = field(default_factory=list)
    twice: list[str] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    slowest: float = 0.0

    def failed(self, text: str, error: BaseException) -> None:
        """Count an error."""
        self.counts[type(error).__name__] += 1
        if not isinstance(error, EXPECTED):
            self.wrong.append(f"{text}: {error!r}")


class Storm:
    """One storm over one house."""

    def __init__(self, house: RealHouse, seed: int, seconds: float) -> None:
        self.record = Record()
        self._house = house
        self._rng = random.Random(seed)
        self._loop = asyncio.get_running_loop()
        self._end = self._loop.time() + seconds

    async def run(self) -> None:
        """Rage until the end, and let everybody finish."""
        weather = [self._lose_links(), self._kill_proxies(), self._watch()]
        async with asyncio.TaskGroup() as group:
            for work in (*weather, *(self._program(one) for one in self._house.addresses)):
                group.create_task(work)

    @property
    def _rages(self) -> bool:
        return self._loop.time() < self._end

    async def _program(self, address: int) -> None:
        """Use one device again and again."""
        text = address_text(address)
        await asyncio.sleep(self._rng.uniform(0.0, 2.0))
        while self._rages:
            call = asyncio.ensure_future(self._use(address))
            cancel = self._rng.random() < CANCELLED
            patience = self._rng.uniform(0.0, 3.0) if cancel else DEADLINE + 8 * OPERATION
            await asyncio.wait([call], timeout=patience)
            if cancel and not call.done():
                self.record.counts["calls cancelled"] += 1
                call.cancel()
                await asyncio.wait([call], timeout=SPARE)
            if not call.done():
                self.record.hung.append(f"{text}: {call!r}")
                return
            if not call.cancelled() and (error := call.exception()):
                self.record.failed(text, error)
            await asyncio.sleep(self._rng.uniform(0.0, 0.5))

    async def _use(self, address: int) -> None:
        text, began = address_text(address), self._loop.time()
        client = await self._in_time(
            text,
            DEADLINE + SPARE,
            establish_connection(
                BleakClientWithServiceCache,
                self._house.fleet.known_device(text, 0),
                text,
                deadline=DEADLINE,
            ),
        )
        self.record.slowest = max(self.record.slowest, self._loop.time() - began)
        self.record.counts["links made"] += 1
        try:
            for turn in range(self._rng.randint(1, 4)):
                value = await self._in_time(text, OPERATION, client.read_gatt_char(VALUE))
                if value != address.to_bytes(6, "big"):
                    self.record.wrong.append(f"{text}: read {value.hex()}")
                said = bytes((turn, address & 0xFF))
                await self._in_time(text, OPERATION, client.write_gatt_char(ECHO, said, True))
                self.record.counts["reads and writes"] += 2
                await asyncio.sleep(self._rng.uniform(0.0, 0.6))
        finally:
            await self._in_time(text, OPERATION, client.disconnect())

    async def _in_time(self, text: str, seconds: float, call: Coroutine[Any, Any, T]) -> T:
        try:
            async with asyncio.timeout(seconds) as scope:
                return await call
        except TimeoutError:
            if scope.expired():
                self.record.hung.append(f"{text}: {call!r} for {seconds:g} s")
            raise

    async def _lose_links(self) -> None:
        while self._rages:
            await asyncio.sleep(self._rng.uniform(0.1, 0.6))
            proxy = self._rng.choice(self._house.proxies)
            if not (linked := await self._house.links(proxy)):
                continue
            self.record.counts["links lost"] += 1
            reason, gap = self._rng.choice(REASONS), self._rng.choice((2, 30, 200))
            await self._house.drop(proxy, self._rng.choice(linked), reason, gap)

    async def _kill_proxies(self) -> None:
        while self._rages:
            await asyncio.sleep(self._rng.uniform(6.0, 12.0))
            self.record.counts["proxies killed"] += 1
            await self._house.reboot(
                self._rng.choice(self._house.proxies), off=self._rng.uniform(0.5, 4.0)
            )

    async def _watch(self) -> None:
        """Look for devices with two links."""
        while self._rages:
            await asyncio.sleep(0.05)
            linked = [set(await self._house.links(proxy)) for proxy in self._house.proxies]
            self.record.twice += map(address_text, set.intersection(*linked))


async def rage(binary: Path, seconds: float, seed: int) -> Record:
    """Let a storm rage over a new house; its record also has what was left behind."""
    async with RealHouse(binary, PROXIES, DEVICES) as house:
        storm = Storm(house, seed, seconds)
        await storm.run()
        storm.record.left = await _left(house)
        return storm.record


async def _left(house: RealHouse) -> list[str]:
    """Return what is still held after some time of calm."""
    left: list[str] = []
    for _ in range(CALM):
        left = await house.held()
        if not left:
            break
        await asyncio.sleep(1.0)
    return left


def storm(release: str, seconds: float, seed: int = 0) -> int:
    """Let a storm rage over the code of a release, print what came of it; return the status."""
    record = asyncio.run(rage(build(release), seconds, seed))
    done = ", ".join(f"{what}: {count}" for what, count in sorted(record.counts.items()))
    print(f"{release}: {DEVICES} devices, {PROXIES} proxies, {seconds:g} s, seed {seed}: {done}")
    print(f"the slowest link took {record.slowest:.1f} s")
    failures = {
        "of the wrong class": record.wrong,
        "hung": record.hung,
        "linked twice": record.twice,
        "left behind": record.left,
    }
    for what, found in failures.items():
        print(f"{what}: {len(found)}")
        for line in found[:20]:
            print(f"    {line}")
    return int(any(failures.values()))
