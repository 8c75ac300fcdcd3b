"""The slot ledger and its queue: claims, reports, order, cancellation."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxyconn import (
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    RadioUnavailableError,
)
from proxyconn.radio import SlotLedger, SlotQueue

A, B, C = "C4:00:00:00:00:0A", "C4:00:00:00:00:0B", "C4:00:00:00:00:0C"


def test_ledger_knows_nothing_before_the_first_report() -> None:
    """No report: no slots, no claim, no allocations."""
    ledger = SlotLedger("kitchen")
    assert not ledger.reported
    assert ledger.allocations() is None
    assert not ledger.claim(A)


def test_ledger_promises_no_more_than_there_is() -> None:
    """Claims count until the report shows them, and then no longer."""
    ledger = SlotLedger("kitchen")
    ledger.update(2, 2, [])
    assert ledger.claim(A)
    assert not ledger.claim(A)
    assert ledger.claim(B)
    assert not ledger.claim(C)
    ledger.update(1, 2, [A])
    assert ledger.available == 0
    ledger.update(0, 2, [A, B])
    ledger.update(1, 2, [B])
    assert ledger.claim(C)
    assert not ledger.claim(B)


def test_ledger_reports_changes() -> None:
    """Each report says which addresses came and went; the end of the session frees all."""
    ledger = SlotLedger("kitchen")
    taken = ledger.update(1, 2, [A])
    assert taken == [
        AllocationChangeEvent(AllocationChange.ALLOCATED, f"kitchen/{A}", "kitchen", A)
    ]
    moved = ledger.update(1, 2, [B])
    assert [(e.change, e.address) for e in moved] == [
        (AllocationChange.RELEASED, A),
        (AllocationChange.ALLOCATED, B),
    ]
    assert ledger.allocations() == Allocations("kitchen", 2, 1, [B])
    assert [e.change for e in ledger.clear()] == [AllocationChange.RELEASED]
    assert ledger.available == 0


def test_ledger_trusts_absence_only_in_a_whole_list() -> None:
    """A list that is short, or names an address twice, is no proof that another is absent."""
    ledger = SlotLedger("kitchen")
    ledger.update(1, 3, [A])
    assert not ledger.has_lost(B)
    ledger.update(2, 3, [A])
    assert ledger.has_lost(B)
    ledger.update(1, 3, [A, A])
    assert ledger.holds(A)
    assert ledger.available == 1


def test_ledger_after_a_session_is_a_new_one() -> None:
    """Nothing of the last session holds in the next, and no absence is proven before a report."""
    ledger = SlotLedger("kitchen")
    ledger.update(1, 2, [A])
    ledger.claim(B)
    ledger.clear()
    assert ledger == SlotLedger("kitchen")
    assert not ledger.holds(A)
    assert not ledger.has_lost(A)


def test_ledger_has_no_more_than_is_free() -> None:
    """Claims that outnumber the free slots, when others were faster, leave none to give."""
    ledger = SlotLedger("kitchen")
    ledger.update(2, 2, [])
    assert ledger.claim(A)
    assert ledger.claim(B)
    assert ledger.claims == {A, B}
    ledger.update(1, 2, [C])
    assert ledger.available == 0
    ledger.drop_claim(A)
    ledger.drop_claim(B)
    assert ledger.available == 1
    assert ledger.claims == frozenset()


@given(
    st.integers(1, 9),
    st.lists(st.tuples(st.sampled_from("cdu"), st.integers(0, 9), st.integers(0, 9)), max_size=40),
)
def test_ledger_never_overdraws(limit: int, steps: list[tuple[str, int, int]]) -> None:
    """Whatever happens in whatever order, claims never exceed the slots reported free."""
    ledger = SlotLedger("kitchen")
    ledger.update(limit, limit, [])
    for what, number, held in steps:
        address = f"{number:02X}"
        free_before = ledger.available
        if what == "c":
            granted = ledger.claim(address)
            assert granted <= (free_before > 0)
            assert ledger.available == free_before - granted
        elif what == "d":
            ledger.drop_claim(address)
            assert ledger.available >= free_before
        else:
            names = [f"{n:02X}" for n in range(min(held, limit))]
            ledger.update(limit - len(names), limit, names)
        assert 0 <= ledger.available <= ledger.free <= ledger.limit


@pytest.fixture
def queue() -> SlotQueue:
    """Return the queue of a radio whose only slot is taken."""
    ledger = SlotLedger("kitchen")
    ledger.update(0, 1, ["held"])
    return SlotQueue(ledger)


def report(queue: SlotQueue, *held: str) -> None:
    """Let the radio report its slots."""
    queue.ledger.update(1 - len(held), 1, held)
    queue.notify()


@pytest.mark.looptime
async def test_queue_is_first_come_first_served(queue: SlotQueue) -> None:
    """A free slot goes to whoever waited longest; a newcomer does not pass the line."""
    order: list[str] = []

    async def take(address: str) -> None:
        assert await queue.claim(address, 10)
        order.append(address)

    tasks = [asyncio.create_task(take(address)) for address in (A, B)]
    await asyncio.sleep(1)
    report(queue)
    late = asyncio.create_task(take(C))
    await asyncio.sleep(1)
    assert order == [A]
    for held in (A, B):
        report(queue, held)
        report(queue)
        await asyncio.sleep(1)
    await asyncio.gather(*tasks, late)
    assert order == [A, B, C]


@pytest.mark.looptime
async def test_queue_serves_claimers_past_those_who_only_watch() -> None:
    """Someone who waits for an address to leave holds up nobody who wants a free slot."""
    ledger = SlotLedger("kitchen")
    ledger.update(1, 2, ["held"])
    queue = SlotQueue(ledger)
    watcher = asyncio.create_task(queue.until_left("held", 5))
    await asyncio.sleep(1)
    assert await queue.claim(A, 2)
    assert asyncio.get_running_loop().time() == pytest.approx(1)
    assert not await watcher


@pytest.mark.looptime
async def test_queue_lets_no_newcomer_pass(queue: SlotQueue) -> None:
    """A slot that is free before the line was told of it still belongs to the line."""
    first = asyncio.create_task(queue.claim(A, 10))
    await asyncio.sleep(1)
    queue.ledger.update(1, 1, [])
    newcomer = asyncio.create_task(queue.claim(B, 1))
    await asyncio.sleep(0.5)
    queue.notify()
    assert await first
    assert not await newcomer


@pytest.mark.looptime
async def test_queue_claim_ends_at_its_timeout(queue: SlotQueue) -> None:
    """A waiter that got nothing leaves the line."""
    assert not await queue.claim(A, 2)
    assert asyncio.get_running_loop().time() == pytest.approx(2)
    assert queue.waiting == 0


@pytest.mark.looptime
async def test_queue_gives_the_slot_of_a_cancelled_waiter_to_the_next(queue: SlotQueue) -> None:
    """A waiter cancelled in the turn in which it was served passes its slot on."""
    first = asyncio.create_task(queue.claim(A, 10))
    second = asyncio.create_task(queue.claim(B, 10))
    await asyncio.sleep(1)
    report(queue)
    first.cancel()
    assert await second
    with pytest.raises(asyncio.CancelledError):
        await first
    assert queue.ledger.available == 0


@pytest.mark.looptime
async def test_queue_fails_its_waiters_when_the_radio_goes(queue: SlotQueue) -> None:
    """Nobody waits out a timeout for a radio that is gone."""
    waiters = [
        asyncio.create_task(queue.claim(A, 100)),
        asyncio.create_task(queue.until_left("held", 100)),
        asyncio.create_task(queue.next_free(100)),
    ]
    await asyncio.sleep(1)
    queue.fail("kitchen is gone")
    for waiter in waiters:
        with pytest.raises(RadioUnavailableError, match="kitchen is gone") as caught:
            await waiter
        assert caught.value.source == "kitchen"
    assert asyncio.get_running_loop().time() == pytest.approx(1)


@pytest.mark.looptime
async def test_next_free_waits_for_a_report(queue: SlotQueue) -> None:
    """A slot that is free already does not end the wait of one who was just refused."""
    report(queue)
    assert not await queue.next_free(4)
    waiting = asyncio.create_task(queue.next_free(4))
    await asyncio.sleep(1)
    report(queue)
    assert await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(5)
    assert queue.waiting == 0


@pytest.mark.looptime
async def test_next_free_is_not_ended_by_a_report_of_none(queue: SlotQueue) -> None:
    """Nor by a slot that is promised to somebody else."""
    waiting = asyncio.create_task(queue.next_free(4))
    await asyncio.sleep(1)
    report(queue, "another")
    await asyncio.sleep(1)
    queue.ledger.update(1, 1, [])
    queue.ledger.claim(A)
    queue.notify()
    assert not await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(4)


@pytest.mark.looptime
async def test_until_left_ends_with_the_report_without_the_address(queue: SlotQueue) -> None:
    """Neither with a report that still has it, nor late; at once where it is not there."""
    waiting = asyncio.create_task(queue.until_left("held", 10))
    await asyncio.sleep(1)
    report(queue, "held")
    await asyncio.sleep(1)
    assert not waiting.done()
    report(queue, "another")
    assert await waiting
    assert await queue.until_left("held", 10)
    assert asyncio.get_running_loop().time() == pytest.approx(2)


@pytest.mark.looptime
async def test_those_who_wait_for_a_slot_are_counted(queue: SlotQueue) -> None:
    """Who only watches is not one of them."""
    tasks = [
        asyncio.create_task(queue.claim(A, 2)),
        asyncio.create_task(queue.claim(B, 2)),
        asyncio.create_task(queue.next_free(2)),
    ]
    await asyncio.sleep(1)
    assert queue.waiting == 2
    assert not any(await asyncio.gather(*tasks))
    assert queue.waiting == 0
