"""What has run out is dropped at that moment, however many leases are looked at how often."""

from __future__ import annotations

import random

from proxyconn_cluster.ownership.held_leases import HeldLease, HeldLeases
from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.settings import WhenCutOff

TTL = 3.0
LEASE = Lease(owner="one", site="home", name="proxy")


class Clock:
    """A clock that is set."""

    time = 100.0

    def __call__(self) -> float:
        return self.time


def test_each_lease_runs_out_at_its_time() -> None:
    clock = Clock()
    holding = HeldLeases(clock, WhenCutOff.LET_GO, TTL)
    holding.keep("late", HeldLease(LEASE, 1, 110.0))
    assert holding.run_out() == []
    holding.keep("early", HeldLease(LEASE, 1, 105.0))
    clock.time = 105.0
    assert holding.run_out() == ["early"]
    holding.held["late"].until = 120.0
    clock.time = 119.9
    assert holding.run_out() == []
    clock.time = 120.0
    assert holding.run_out() == ["late"]
    assert holding.run_out() == []


def test_what_is_kept_is_what_is_ours_whatever_happened() -> None:
    for seed in range(50):
        chance = random.Random(seed)
        clock = Clock()
        holding = HeldLeases(clock, WhenCutOff.LET_GO, TTL)
        for _ in range(300):
            clock.time += chance.choice((0.0, 0.01, 0.3, 1.5))
            asked_at = clock.time - chance.random() * TTL
            mac = str(chance.randrange(8))
            held = holding.held.get(mac)
            if held is None:
                holding.keep(mac, HeldLease(LEASE, 1, holding.until(asked_at)))
            elif chance.random() < 0.2:
                del holding.held[mac]
            else:
                held.until = max(held.until, holding.until(asked_at))
            before = set(holding.held)
            gone = {one for one in before if not holding.is_ours(one)}
            assert set(holding.run_out()) == gone
            assert set(holding.held) == before - gone


def test_who_stays_keeps_its_leases_while_the_store_is_not_reached() -> None:
    clock = Clock()
    holding = HeldLeases(clock, WhenCutOff.STAY, TTL)
    holding.keep("proxy", HeldLease(LEASE, 1, clock.time + TTL))
    holding.tick()
    holding.cut_off = True
    for _ in range(100):
        clock.time += TTL / 10
        assert holding.tick() == []
        assert holding.is_ours("proxy")


def test_who_has_slept_does_not_know_that_it_is_cut_off() -> None:
    clock = Clock()
    holding = HeldLeases(clock, WhenCutOff.STAY, TTL)
    holding.keep("proxy", HeldLease(LEASE, 1, clock.time + TTL))
    holding.tick()
    holding.cut_off = True
    clock.time += 2 * TTL
    assert not holding.is_ours("proxy"), "others may have had it meanwhile"
    assert holding.tick() == ["proxy"]
    assert not holding.cut_off, "what is taken from now on must be renewed"
