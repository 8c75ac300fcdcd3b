"""The slot rules under any order of requests and of the events that can happen."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from proxyconn_virtual.firmware.profiles import PROFILES, profile
from proxyconn_virtual.firmware.slot_rules import SlotRules
from proxyconn_virtual.firmware.slots import (
    Action,
    CloseLink,
    ConnectionNotice,
    OpenLink,
    SlotReport,
)

STEPS = st.lists(
    st.tuples(
        st.sampled_from(
            (
                *("connect", "cached", "no type", "disconnect", "all"),
                *("open", "fail", "mtu", "search", "lose", "close", "expire"),
            )
        ),
        st.integers(0, 3),
    ),
    max_size=60,
)


class Radio:
    """What a radio may do: only events of links and attempts that exist."""

    def __init__(self, rules: SlotRules) -> None:
        self.rules = rules
        self.opening: set[int] = set()
        self.open: set[int] = set()
        self.closing: set[int] = set()
        self.last_report: SlotReport | None = None

    def take(self, actions: Iterable[Action]) -> None:
        """Do what the rules say, and then let the next attempt start."""
        for action in (*actions, *self.rules.promote()):
            if isinstance(action, OpenLink):
                assert not self.opening
                self.opening.add(action.slot)
            elif isinstance(action, CloseLink):
                assert action.slot in self.open
                self.open.discard(action.slot)
                self.closing.add(action.slot)
            elif isinstance(action, ConnectionNotice):
                assert action.address
                assert not (action.connected and action.error)
            elif isinstance(action, SlotReport):
                self.last_report = action

    def step(self, what: str, number: int) -> None:
        """Take one request, or let one event happen if it can."""
        request, rules = number + 1, self.rules
        if what in ("connect", "cached", "no type"):
            kind = None if what == "no type" else 1
            self.take(tuple(rules.connect(request, kind, with_cache=what == "cached")))
        elif what == "disconnect":
            self.take(tuple(rules.disconnect(request)))
        elif what == "all":
            self.take(tuple(rules.disconnect_all()))
        else:
            self.event(what, number)

    def event(self, what: str, slot: int) -> None:
        """Let one event of a slot happen if it can."""
        rules = self.rules
        if what == "open" and slot in self.opening:
            self.opening.discard(slot)
            self.open.add(slot)
            self.take(tuple(rules.opened(slot)))
        elif what == "fail" and slot in self.opening:
            self.opening.discard(slot)
            self.take(tuple(rules.open_failed(slot, 62)))
        elif what == "mtu" and slot in self.open:
            self.take(tuple(rules.mtu_exchanged(slot, 247)))
        elif what == "search" and slot in self.open:
            self.take(tuple(rules.discovered(slot)))
        elif what == "lose" and slot in self.open:
            self.open.discard(slot)
            self.closing.add(slot)
            self.take(tuple(rules.lost(slot, 8)))
        elif what in ("close", "expire") and slot in self.closing:
            self.closing.discard(slot)
            end = rules.closed if what == "close" else rules.close_timed_out
            self.take(tuple(end(slot)))


@given(STEPS, st.sampled_from([*PROFILES, "rp2"]))
def test_rules_hold_in_any_order(steps: list[tuple[str, int]], firmware: str) -> None:
    """One attempt at a time, no slot lost or doubled in the count, and addresses only when held."""
    rules = SlotRules(3, profile(firmware))
    radio = Radio(rules)
    for what, number in steps:
        radio.step(what, number)
        held = [slot for slot in rules.slots if slot.address]
        assert rules.report().free == 3 - len(held)
        assert radio.opening | radio.open <= {slot.index for slot in held}
        assert not rules.wants_radio or rules.blocks_scan
        assert bool(radio.opening) or not list(rules.promote())
