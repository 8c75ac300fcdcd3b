"""Calls into the loop of a fleet, from another one."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from proxyconn import Fleet
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.programs.loop_crossing import FleetAccess
from proxyconn.programs.program_client import ProgramClient

from .conftest import DEADLINE, LAMP, elsewhere


async def test_a_cancelled_call_has_ended(fleet: Fleet) -> None:
    """Whoever cancels a call goes on when it has left nothing behind, not before."""
    access = FleetAccess(fleet, fleet.ready)
    mine = asyncio.get_running_loop()
    steps: list[str] = []

    async def work() -> None:
        assert asyncio.get_running_loop() is mine
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            await asyncio.sleep(0.1)
            steps.append("tidied up")

    async def program() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await access.call(work)
        steps.append("went on")

    await elsewhere(program())
    assert steps == ["tidied up", "went on"]


async def test_a_call_that_is_cancelled_at_once(fleet: Fleet) -> None:
    """It is cancelled before or while it runs, and nothing waits for it."""
    access = FleetAccess(fleet, fleet.ready)

    async def work() -> None:
        await asyncio.sleep(DEADLINE)

    async def program() -> float:
        started = time.monotonic()
        calls = [asyncio.create_task(access.call(work)) for _ in range(50)]
        await asyncio.sleep(0)
        for call in calls:
            call.cancel()
        await asyncio.wait(calls)
        assert all(call.cancelled() for call in calls)
        return time.monotonic() - started

    assert await elsewhere(program()) < 1


async def test_results_and_errors_come_back(fleet: Fleet) -> None:
    """A call returns and raises what was called."""
    access = FleetAccess(fleet, fleet.ready)

    async def divide(by: int) -> float:
        return 1 / by

    async def program() -> float:
        with pytest.raises(ZeroDivisionError):
            await access.call(lambda: divide(0))
        return await access.call(lambda: divide(2))

    assert await elsewhere(program()) == 0.5
    assert await program() == 0.5


async def test_a_cancelled_connect_waits_no_longer_than_it_says(
    fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that takes its time to end does so when the program has gone on already."""
    monkeypatch.setattr("proxyconn.programs.program_client.CLOSE_TIME", 0.01)
    access = FleetAccess(fleet, fleet.ready)
    begun, may_end, ended = asyncio.Event(), asyncio.Event(), asyncio.Event()
    steps: list[str] = []

    async def connect(client: RoutedClient, pair: bool, **kwargs: Any) -> None:
        begun.set()
        await asyncio.sleep(DEADLINE)

    async def disconnect(client: RoutedClient) -> None:
        try:
            await asyncio.sleep(DEADLINE)
        finally:
            access.loop.call_later(5.0, may_end.set)
            await may_end.wait()
            steps.append("ended")
            ended.set()

    monkeypatch.setattr(access.backend, "connect", connect)
    monkeypatch.setattr(access.backend, "disconnect", disconnect)

    class Client(ProgramClient):
        """A client of this fleet."""

    Client.access = access

    async def program() -> None:
        connecting = asyncio.create_task(Client(LAMP).connect(False))
        await access.call(begun.wait)
        connecting.cancel()
        await asyncio.wait([connecting], timeout=DEADLINE)
        assert connecting.cancelled()
        steps.append("went on")
        access.ask(may_end.set)

    await elsewhere(program())
    await ended.wait()
    assert steps == ["went on", "ended"]
