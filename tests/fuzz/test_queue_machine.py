"""The queue of a whole fleet under any order of callers, reports, losses and cancellations."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from hypothesis import strategies as st
from hypothesis.stateful import initialize, invariant, precondition, rule

from proxyconn import RadioState
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import Radio
from tests.core.fake_radio import FakeRadio

from .machines import FIXED, LoopMachine

NAMES = ("kitchen", "attic", "hall")
SLOTS = 2
OTHERS = ("AA:00:00:00:00:01", "AA:00:00:00:00:02")
"""Addresses that belong to other programs."""

INDEX = st.integers(0, 9)
TIMEOUTS = st.sampled_from((0.0, 3.0, 30.0))


@dataclass(eq=False)
class Caller:
    """One caller: its device, when it gives up, and the radios that hear the device."""

    address: str
    task: asyncio.Task[Radio]
    until: float
    heard_by: set[Radio] = field(default_factory=set)


class QueueMachine(LoopMachine):
    """Radios that report and hear, and callers each with a device of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.hub = self.do(self._new_hub())
        self.radios: list[FakeRadio] = []
        self.callers: list[Caller] = []
        self.given: dict[str, FakeRadio] = {}
        self.holders: dict[FakeRadio, set[str]] = {}
        self.next_device = 0

    async def _new_hub(self) -> Hub:
        return Hub(DeviceRoute, {})

    def now(self) -> float:
        """Return the loop's time."""
        return self.loop.time()

    def radio(self, index: int) -> FakeRadio:
        """Return one of the radios."""
        return self.radios[index % len(self.radios)]

    @initialize(count=st.integers(1, len(NAMES)))
    def begin(self, count: int) -> None:
        """There are some radios."""
        self.radios = [FakeRadio(self.hub, name, SLOTS) for name in NAMES[:count]]
        self.holders = {radio: set() for radio in self.radios}

    def look(self) -> None:
        """See who has been given a radio, and whether it was that one's turn."""
        self.settle()
        for place, caller in enumerate(self.callers):
            task = caller.task
            if not task.done() or task.cancelled() or task.exception():
                continue
            radio = task.result()
            assert isinstance(radio, FakeRadio)
            assert caller.address not in self.given
            assert radio.ledger.claims == {caller.address}
            assert len(radio.ledger.claims) <= radio.ledger.free
            # Whoever waits for this very radio, and came before, was to have it.
            assert not [
                one.address
                for one in self.callers[:place]
                if not one.task.done() and one.heard_by == {radio}
            ]
            self.given[caller.address] = radio
        self.callers = [one for one in self.callers if not one.task.done()]

    @rule(
        hearers=st.sets(INDEX, min_size=1, max_size=3), timeout=TIMEOUTS, rssi=st.integers(-90, -40)
    )
    def is_asked(self, hearers: set[int], timeout: float, rssi: int) -> None:
        """A caller wants a device that was just heard by some radios, all alike."""
        self.next_device += 1
        address = f"C4:00:00:00:{self.next_device >> 8:02X}:{self.next_device & 255:02X}"
        heard_by = [
            radio
            for place, radio in enumerate(self.radios)
            if place in {index % len(self.radios) for index in hearers}
        ]
        for radio in heard_by:
            radio.hear(address, rssi)
        task = self.task(self.hub.queue.take(address, timeout))
        self.callers.append(Caller(address, task, self.now() + timeout, set(heard_by)))
        self.look()

    @precondition(lambda self: self.callers)
    @rule(index=INDEX, radio=INDEX, free_too=st.booleans())
    def is_cancelled(self, index: int, radio: int, free_too: bool) -> None:
        """A caller goes, perhaps in the very turn in which it is given a radio."""
        if free_too:
            self.report(self.radio(radio), set())
        self.callers[index % len(self.callers)].task.cancel()
        self.look()

    def report(self, radio: FakeRadio, holders: set[str]) -> None:
        """Let a radio report."""
        self.holders[radio] = holders
        radio.report(*sorted(holders))

    @precondition(lambda self: self.given)
    @rule(index=INDEX, opened=st.booleans())
    def attempt_goes_on(self, index: int, opened: bool) -> None:
        """The radio lists the device of an attempt, or the attempt is over without a link."""
        address = sorted(self.given)[index % len(self.given)]
        radio = self.given[address]
        room = len(self.holders[radio] | {address}) <= SLOTS
        if opened and room and radio.state is RadioState.READY:
            self.report(radio, self.holders[radio] | {address})
        else:
            self.let_go(address)
        self.look()

    def let_go(self, address: str) -> None:
        """End an attempt or a link."""
        radio = self.given.pop(address)
        if address in self.holders[radio]:
            self.report(radio, self.holders[radio] - {address})
        self.hub.link_ended(address)

    @rule(radio=INDEX, taken=st.sets(st.sampled_from(OTHERS)))
    def others_come_and_go(self, radio: int, taken: set[str]) -> None:
        """Another program takes slots, as far as there are any, or gives them back."""
        one = self.radio(radio)
        ours = self.holders[one] - set(OTHERS)
        self.report(one, ours | set(sorted(taken)[: SLOTS - len(ours)]))
        self.look()

    @rule(radio=INDEX, state=st.sampled_from((RadioState.CONNECTING, RadioState.READY)))
    def session_changes(self, radio: int, state: RadioState) -> None:
        """A radio loses its session, or has it again."""
        self.radio(radio).become(state)
        self.look()

    @rule(seconds=st.sampled_from((0.3, 2.0, 12.0)))
    def waits(self, seconds: float) -> None:
        """Time goes by."""
        self.wait(seconds)
        self.look()

    @invariant()
    def nobody_is_lost(self) -> None:
        """Whoever waits is in the queue in order, and nobody waits longer than asked."""
        assert self.hub.queue.waiting == [one.address for one in self.callers]
        assert all(self.now() <= one.until + 0.01 for one in self.callers)

    @invariant()
    def one_attempt_at_a_time(self) -> None:
        """No radio is promised twice, and each promise has its owner."""
        for radio in self.radios:
            owners = {address for address, given in self.given.items() if given is radio}
            assert len(radio.ledger.claims) <= 1
            assert radio.ledger.claims <= owners

    @invariant()
    def links_are_those_that_are_wanted(self) -> None:
        """The queue knows every caller and every link, and no other."""
        waiting = {one.address for one in self.callers}
        assert set(self.hub.queue.links) == waiting | set(self.given)

    @invariant()
    def no_radio_is_idle(self) -> None:
        """No caller waits whose only radio could serve it."""
        for caller in self.callers:
            [radio, *others] = caller.heard_by
            if not others and isinstance(radio, FakeRadio):
                idle = radio.state is RadioState.READY and not radio.ledger.claims
                assert not (idle and radio.ledger.available)

    def check_end(self) -> None:
        """Nobody is left in the queue, and nothing is promised once all is given back."""
        for address in list(self.given):
            self.let_go(address)
        self.settle()
        assert self.hub.queue.waiting == []
        assert self.hub.queue.links.keys() <= {one.address for one in self.callers}
        assert not any(radio.ledger.claims for radio in self.radios)


QueueMachine.TestCase.settings = FIXED
TestQueue = QueueMachine.TestCase
