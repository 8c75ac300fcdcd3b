"""Cancelling a connect or a disconnect at every await of it leaves nothing behind."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections.abc import Coroutine, Generator
from typing import Any

import pytest

from proxyconn import BleakClientWithServiceCache
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.conftest import READ, Open, peripheral, until


class CancelledAt:
    """Runs a coroutine and cancels its task at the given suspension, counted from 1.

    The cancellation comes while it waits, or in the very turn in which its wait ends.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, None], step: int, *, late: bool) -> None:
        self.reached = False
        self._coroutine = coroutine
        self._step = step
        self._late = late

    async def run(self) -> None:
        """Run the coroutine in this task."""
        await self

    def __await__(self) -> Generator[Any, Any, None]:
        inner = self._coroutine.__await__()
        task = asyncio.current_task()
        assert task is not None
        count = 0
        error: BaseException | None = None
        while True:
            try:
                waited = inner.throw(error) if error else inner.send(None)
            except StopIteration:
                return
            count += 1
            if count == self._step:
                self.reached = True
                if self._late and isinstance(waited, asyncio.Future):
                    waited.add_done_callback(lambda _: task.cancel())
                else:
                    asyncio.get_running_loop().call_soon(task.cancel)
            error = None
            try:
                yield waited
            except BaseException as exc:  # noqa: BLE001 - it is handed on, like a task does
                error = exc


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "resuming"])
@pytest.mark.parametrize("pair", [False, True], ids=["plain", "pairing"])
async def test_connect_cancelled_at_every_await(pair: bool, late: bool, open_house: Open) -> None:
    """Whichever await a cancellation hits, the slot comes back and the next connect works."""
    house = await open_house()
    step = 0
    while True:
        step += 1
        assert step < 200
        client = BleakClientWithServiceCache(house.device(), pair=pair)
        connecting = CancelledAt(client.connect(), step, late=late)
        try:
            await asyncio.ensure_future(connecting.run())
        except asyncio.CancelledError:
            assert connecting.reached
            assert not client.is_connected
            await house.all_free()
            continue
        assert not connecting.reached
        break
    assert step == (4 if pair else 3)
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()
    await house.all_free()


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "resuming"])
async def test_connect_cancelled_while_it_queues(late: bool, open_house: Open) -> None:
    """A cancellation in the wait for a slot, or for a turn, leaves the queue as it was."""
    never = Outcome(after=math.inf)
    house = await open_house(
        peripheral(1, [never]), peripheral(2), peripheral(3), slots=2, establish_limit=1.0
    )
    stuck = asyncio.ensure_future(house.client(1).connect(False))
    await until(lambda: house.proxy.snapshot().free == 1)
    for_turn = CancelledAt(house.client(2).connect(False), 1, late=False)
    task = asyncio.ensure_future(for_turn.run())
    with pytest.raises(asyncio.CancelledError):
        await task
    assert house.session.ledger.available == 1
    holder = asyncio.ensure_future(house.client(2).connect(False))
    await asyncio.sleep(0)
    for_slot = CancelledAt(house.client(3).connect(False), 1, late=late)
    queued = asyncio.ensure_future(for_slot.run())
    await asyncio.sleep(0)
    stuck.cancel()
    with pytest.raises(asyncio.CancelledError):
        await queued
    assert house.session.queue.waiting <= 1
    holder.cancel()
    await asyncio.wait([stuck, holder])
    await house.all_free()


@pytest.mark.parametrize("late", [False, True], ids=["waiting", "resuming"])
async def test_disconnect_cancelled_at_every_await(late: bool, open_house: Open) -> None:
    """A cancelled disconnect still disconnects, and tells so once."""
    house = await open_house()
    step = 0
    while True:
        step += 1
        assert step < 50
        dropped: list[object] = []
        client = BleakClientWithServiceCache(house.device(), disconnected_callback=dropped.append)
        await client.connect()
        disconnecting = CancelledAt(client.disconnect(), step, late=late)
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.ensure_future(disconnecting.run())
        await house.all_free()
        assert not client.is_connected
        assert len(dropped) == 1
        if not disconnecting.reached:
            break
    assert step > 1


async def test_disconnect_is_asked_for_once(open_house: Open) -> None:
    """A second one, from a disconnect that was cancelled, would have an answer of its own."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.ensure_future(CancelledAt(client.disconnect(), 1, late=False).run())
    await house.all_free()
    assert house.proxy.snapshot().received["BluetoothDeviceRequest"] == 2
