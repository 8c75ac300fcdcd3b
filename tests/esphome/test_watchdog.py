"""The ladder of a silent proxy by itself: plain numbers in, steps out."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from proxyconn_esphome.session.silence_watchdog import (
    MOST_PATIENCE,
    RUNG_TIME,
    SILENT_AFTER,
    Step,
    Watchdog,
)


def steps(
    dog: Watchdog, start: float, end: float, *, links: bool = False, busy: bool = False
) -> Iterator[tuple[float, Step]]:
    """Yield what is done, and when, if a proxy is looked at every second and not heard."""
    now = start
    while now < end:
        now += 1.0
        if step := dog.next_step(now, busy=busy, links=links):
            yield now, step
            if step is Step.RENEW:
                dog.begin(now + 5)


def test_ladder_without_links() -> None:
    """Each step once, in order; then only the mild ones, less and less often."""
    dog = Watchdog()
    dog.begin(0.0)
    assert list(steps(dog, 0.0, 4000.0)) == [
        (90.0, Step.RESUBSCRIBE),
        (110.0, Step.FLIP_MODE),
        (130.0, Step.RENEW),
        (155.0, Step.REPORT),
        (755.0, Step.RESUBSCRIBE),
        (775.0, Step.FLIP_MODE),
        (795.0, Step.REPORT),
        (2595.0, Step.RESUBSCRIBE),
        (2615.0, Step.FLIP_MODE),
        (2635.0, Step.REPORT),
    ]
    assert dog.silent


def test_renewal_waits_for_links() -> None:
    """Links are not ended for it, but once they are gone it is made up for."""
    dog = Watchdog()
    dog.begin(0.0)
    early = [step for _, step in steps(dog, 0.0, 500.0, links=True)]
    assert early == [Step.RESUBSCRIBE, Step.FLIP_MODE, Step.REPORT]
    late = [step for _, step in steps(dog, 500.0, 3000.0)]
    assert late.count(Step.RENEW) == 1


def test_new_session_begins_anew() -> None:
    """A proxy that was restarted is not silent until it has had its time."""
    dog = Watchdog()
    dog.begin(0.0)
    assert list(steps(dog, 0.0, 200.0))
    dog.begin(200.0)
    assert not dog.silent
    assert not list(steps(dog, 200.0, 200.0 + SILENT_AFTER - 1))


@pytest.mark.parametrize("rest", [120.0, 250.0])
def test_rests_that_are_usual_are_no_silence(rest: float) -> None:
    """Where a device speaks every few minutes the ladder is climbed once and not again."""
    dog = Watchdog()
    dog.begin(0.0)
    dog.hear(0.0)
    now, taken = 0.0, []
    for _ in range(20):
        taken.append(list(steps(dog, now, now + rest)))
        now += rest
        dog.hear(now)
    assert taken[0]
    assert not any(taken[1:])
    assert not dog.silent


def test_patience_has_an_end() -> None:
    """A night without anybody at home does not make the watchdog sleep for a day."""
    dog = Watchdog()
    dog.begin(0.0)
    dog.hear(0.0)
    list(steps(dog, 0.0, 30_000.0))
    dog.hear(30_000.0)
    (first, step), *_ = steps(dog, 30_000.0, 40_000.0)
    assert (first, step) == (30_000.0 + MOST_PATIENCE, Step.RESUBSCRIBE)


def test_session_is_not_renewed_again_and_again() -> None:
    """A proxy that falls silent every few minutes is renewed once in an hour."""
    dog = Watchdog()
    now, renewed = 0.0, 0
    dog.begin(now)
    for _ in range(6):
        renewed += [step for _, step in steps(dog, now, now + 1700.0)].count(Step.RENEW)
        now += 1700.0
        dog.hear(now)
    assert renewed == 3


def test_opening_a_link_is_no_silence() -> None:
    """The clock stands still while the proxy cannot scan, and a step waits for its effect."""
    dog = Watchdog()
    dog.begin(0.0)
    assert not list(steps(dog, 0.0, 500.0, busy=True))
    (at, step), *_ = steps(dog, 500.0, 700.0)
    assert (at, step) == (500.0 + SILENT_AFTER, Step.RESUBSCRIBE)
    dog = Watchdog()
    dog.begin(0.0)
    list(steps(dog, 0.0, SILENT_AFTER))
    assert not list(steps(dog, SILENT_AFTER, 300.0, busy=True))
    (at, step), *_ = steps(dog, 300.0, 400.0)
    assert (at, step) == (300.0 + RUNG_TIME, Step.FLIP_MODE)
