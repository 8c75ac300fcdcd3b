"""The turn to open a link."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn_esphome.link.turn import Turn

from .by_hand import now, turns

pytestmark = pytest.mark.looptime


async def test_a_free_turn_is_had_without_a_wait() -> None:
    """However little time there is."""
    turn = Turn()
    await turn.take(0.0)
    assert turn.locked()


async def test_a_turn_is_waited_for_no_longer_than_said() -> None:
    """And whoever has given up stands in nobody's way."""
    turn = Turn()
    await turn.take(1.0)
    with pytest.raises(TimeoutError):
        await turn.take(5.0)
    assert now() == pytest.approx(5.0)
    turn.release()
    await turn.take(0.0)


async def test_turns_come_in_order_and_each_has_a_deadline() -> None:
    """One that is passed on and not taken yet is not free: who comes then waits for it."""
    turn = Turn()
    await turn.take(1.0)
    second = asyncio.create_task(turn.take(9.0))
    await turns()
    turn.release()
    assert not turn.locked()
    with pytest.raises(TimeoutError):
        await turn.take(2.0)
    assert second.done()
    turn.release()
    await turn.take(0.0)
