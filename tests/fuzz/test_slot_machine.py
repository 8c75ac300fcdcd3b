"""The slots of one radio under any order of reports, claims, cancellations and losses."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proxyconn.radio import RadioUnavailableError, SlotLedger, SlotQueue

from .machines import FIXED, SELDOM, LoopMachine

ADDRESSES = [f"C4:00:00:00:00:0{number}" for number in range(7)]
LIMIT = 3
TIMEOUTS = st.sampled_from((0.0, 5.0, 100.0))


@dataclass(eq=False)
class Claimer:
    """One caller: what it asked for, and when it gives up."""

    address: str
    task: asyncio.Task[bool]
    until: float


class SlotMachine(LoopMachine):
    """A radio that reports, and callers that want its slots."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = SlotLedger("kitchen")
        self.queue = SlotQueue(self.ledger)
        self.claimers: list[Claimer] = []
        self.promised: set[str] = set()

    @initialize()
    def begin(self) -> None:
        """The radio has slots."""
        self.ledger.update(LIMIT, LIMIT, [])

    def look(self) -> None:
        """See who has been answered, and whether it was that one's turn."""
        self.settle()
        for place, claimer in enumerate(self.claimers):
            if not claimer.task.done() or claimer.task.cancelled():
                continue
            if claimer.task.exception() is None and claimer.task.result():
                passed_over = [
                    one.address
                    for one in self.claimers[:place]
                    if not one.task.done()
                    and one.address not in self.ledger.holders | self.ledger.claims
                ]
                assert not passed_over
                assert len(self.ledger.claims) <= self.ledger.free
                assert claimer.address not in self.promised
                self.promised.add(claimer.address)
        self.claimers = [one for one in self.claimers if not one.task.done()]

    @rule(holders=st.sets(st.sampled_from(ADDRESSES), max_size=LIMIT))
    def reports(self, holders: set[str]) -> None:
        """The radio says who holds its slots; whom it names has no promise any more."""
        self.ledger.update(LIMIT - len(holders), LIMIT, holders)
        self.promised -= holders
        self.queue.notify()
        self.look()

    @rule(named=st.lists(st.sampled_from(ADDRESSES), max_size=6), free=st.integers(0, 5))
    def reports_nonsense(self, named: list[str], free: int) -> None:
        """A list that is short, doubled or longer than there are slots."""
        self.ledger.update(free, LIMIT, named)
        self.promised -= set(named)
        self.queue.notify()
        self.look()
        assert not (self.ledger.complete and len(named) != LIMIT - free)

    @rule(address=st.sampled_from(ADDRESSES), timeout=TIMEOUTS)
    def is_asked(self, address: str, timeout: float) -> None:
        """A caller wants a slot."""
        before = self.ledger.available
        task = self.task(self.queue.claim(address, timeout))
        self.claimers.append(Claimer(address, task, self.loop.time() + timeout))
        had_none = before == 0
        self.look()
        if task.done() and had_none:
            assert not task.result()

    @precondition(lambda self: self.claimers)
    @rule(index=st.integers(0, 9), report_too=st.booleans())
    def is_cancelled(self, index: int, report_too: bool) -> None:
        """A caller goes, perhaps in the very turn in which it is given a slot."""
        claimer = self.claimers[index % len(self.claimers)]
        if report_too:
            self.ledger.update(LIMIT, LIMIT, [])
            self.queue.notify()
        claimer.task.cancel()
        self.look()

    @precondition(lambda self: self.promised)
    @rule(index=st.integers(0, 9))
    def is_given_back(self, index: int) -> None:
        """A claim is given up; the next in line has it."""
        address = sorted(self.promised)[index % len(self.promised)]
        self.promised.discard(address)
        self.queue.release(address)
        self.look()

    @rule(seconds=st.sampled_from((0.5, 2.0, 6.0)))
    def waits(self, seconds: float) -> None:
        """Time goes by."""
        self.wait(seconds)
        self.look()

    @rule(really=SELDOM)
    def is_lost(self, really: bool) -> None:
        """The session ends: everybody is told, and everything is forgotten."""
        if not really:
            return
        waiting = list(self.claimers)
        self.queue.fail("gone")
        self.ledger.clear()
        self.promised.clear()
        self.look()
        for claimer in waiting:
            assert isinstance(claimer.task.exception(), RadioUnavailableError)

    @rule(address=st.sampled_from(ADDRESSES))
    def is_watched(self, address: str) -> None:
        """A caller that waits for an address to leave takes nobody's place."""
        task = self.task(self.queue.until_left(address, 1.0))
        if not self.ledger.holds(address):
            assert task.result()
        task.cancel()
        self.look()

    @invariant()
    def promises_are_kept_apart(self) -> None:
        """The ledger's claims are exactly the promises that stand: none is lost, none is left."""
        assert self.ledger.claims == self.promised
        assert not self.ledger.claims & self.ledger.holders

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever waits is in the queue, nobody else is, and nobody waits longer than asked."""
        assert self.queue.waiting == len(self.claimers)
        assert all(self.loop.time() <= one.until + 0.01 for one in self.claimers)

    @invariant()
    def slots_are_not_idle(self) -> None:
        """No slot is free while somebody waits who could have it."""
        able = [
            one
            for one in self.claimers
            if one.address not in self.ledger.holders | self.ledger.claims
        ]
        assert not (able and self.ledger.available)

    def check_end(self) -> None:
        """Nobody is left in the queue, and no claim without its owner."""
        assert self.queue.waiting == 0
        assert self.ledger.claims == self.promised


SlotMachine.TestCase.settings = FIXED
TestSlots = SlotMachine.TestCase


async def test_caller_that_cannot_be_served_bars_nobody() -> None:
    """A second claim for an address that has one kept all later callers from free slots."""
    queue = SlotQueue(SlotLedger("kitchen"))
    queue.ledger.update(LIMIT, LIMIT, [])
    assert await queue.claim(ADDRESSES[0], 1)
    barred = asyncio.create_task(queue.claim(ADDRESSES[0], 1))
    await asyncio.sleep(0)
    assert queue.waiting == 1
    assert await queue.claim(ADDRESSES[1], 0.01)
    barred.cancel()
    await asyncio.gather(barred, return_exceptions=True)
