"""What ends though a library has swallowed that it was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from proxyconn_cluster.bus.cancelling import CANCEL_AGAIN, cancelled
from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.device_locks import DeviceLocks
from proxyconn_cluster.members import Members
from proxyconn_cluster.ownership.heartbeats import Heartbeats
from proxyconn_cluster.ownership.lease_keeper import LeaseKeeper
from proxyconn_cluster.ownership.lease_store import UnreachableError

from .village import DEADLINE


class Library:
    """Awaits an answer, which comes once in the moment in which whoever asks is cancelled."""

    def __init__(self) -> None:
        self.asked = asyncio.Event()
        self._swallowed = False

    async def ask(self, *_: object) -> None:
        self.asked.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if self._swallowed:
                raise
            self._swallowed = True
            raise UnreachableError("an answer, and no word of the cancelling") from None


@pytest.fixture
async def library() -> Library:
    """Return a library that swallows what it should not."""
    return Library()


async def again_and_again(work: Callable[[], Awaitable[None]]) -> None:
    """Do it, whatever comes of it, and rest for long."""
    while True:
        try:
            await work()
        except UnreachableError:
            await asyncio.sleep(3600.0)


@pytest.mark.looptime
async def test_a_task_that_goes_on_is_cancelled_again(library: Library) -> None:
    task = asyncio.create_task(again_and_again(library.ask))
    await library.asked.wait()
    began = asyncio.get_running_loop().time()
    await cancelled([task, asyncio.create_task(asyncio.sleep(1.0))])
    assert task.cancelled()
    assert asyncio.get_running_loop().time() - began == CANCEL_AGAIN
    await cancelled([task])
    await cancelled([])


async def test_an_owner_ends_all_the_same(
    bus: Bus, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Heartbeats, "beat", library.ask)
    keeper = LeaseKeeper(bus, "owner")
    await keeper.start()
    async with asyncio.timeout(DEADLINE):
        await library.asked.wait()
        await keeper.aclose()


async def test_who_holds_devices_ends_all_the_same(
    bus: Bus, library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxyconn_cluster.device_locks.RENEWED_EVERY", 0.0)

    async def check(holds: DeviceLocks) -> None:
        try:
            await library.ask()
        except UnreachableError:
            monkeypatch.setattr("proxyconn_cluster.device_locks.RENEWED_EVERY", 3600.0)

    monkeypatch.setattr(DeviceLocks, "check", check)

    async def lose(address: str) -> None:
        """Nothing is held."""

    holds = DeviceLocks(Members(bus), lose, lambda radio, address: None)
    holds.start()
    async with asyncio.timeout(DEADLINE):
        await library.asked.wait()
        await holds.aclose()
