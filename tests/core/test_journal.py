"""What became of each wish for a link is noted, grouped and bounded."""

from __future__ import annotations

from proxyconn.errors import ErrorKind, LinkError
from proxyconn.routing.journal import KEPT, MOST_STEPS, SAME_WISH, Connect, Journal, Step, StepKind

A, B = "C4:00:00:00:00:01", "C4:00:00:00:00:02"


def kinds(connect: Connect) -> list[str]:
    """Return what happened to a wish."""
    return [str(step.kind) for step in connect.steps]


def test_attempts_of_one_wish_belong_together() -> None:
    """Queued, failed on one radio, tried on another, ready, closed: one wish with its times."""
    journal = Journal()
    seen: list[Step] = []
    journal.callbacks.register(lambda connect, step: seen.append(step))
    journal.queued(A, "ha", 0.0)
    journal.chosen(A, "kitchen", "it leads", 1.0)
    journal.failed(A, "kitchen", LinkError("no", kind=ErrorKind.LINK_TIMEOUT), 5.0)
    journal.closed(A, 5.0)
    journal.queued(A, "ha", 5.0 + SAME_WISH)
    journal.chosen(A, "cellar", None, 16.0)
    journal.ready(A, "cellar", 17.5)
    journal.closed(A, 20.0)
    (one,) = journal.connects
    expected = ["queued", "chosen", "failed", "queued", "chosen", "ready", "closed"]
    assert kinds(one) == expected
    assert one.steps[2].error is ErrorKind.LINK_TIMEOUT
    assert (one.steps[1].text, one.steps[2].text) == ("it leads", "no")
    assert one.seconds(StepKind.QUEUED, StepKind.READY) == 17.5
    assert one.is_over
    assert seen == one.steps


def test_another_wish_begins_anew() -> None:
    """After a link, after a long pause, or for another party, it is another wish."""
    journal = Journal()
    journal.queued(A, "ha", 0.0)
    journal.gave_up(A, TimeoutError(), 1.0)
    journal.queued(A, "ha", 1.1 + SAME_WISH)
    journal.chosen(A, "kitchen", None, 12.0)
    journal.ready(A, "kitchen", 12.0)
    journal.closed(A, 13.0)
    journal.queued(A, "ha", 13.0)
    journal.queued(A, "other", 14.0)
    journal.queued(B, "ha", 14.0)
    assert [one.number for one in journal.connects] == [1, 2, 3, 4, 5]


def test_journal_is_bounded() -> None:
    """The oldest wishes go; of one with many steps the first and the last stay."""
    journal = Journal()
    for number in range(KEPT + 5):
        journal.queued(f"{number}", None, 0.0)
    assert len(journal.connects) == KEPT
    assert journal.last("0") is None
    for number in range(MOST_STEPS * 2):
        journal.queued(A, None, float(number))
        journal.gave_up(A, RuntimeError(f"no {number}"), float(number))
    (one,) = [one for one in journal.connects if one.address == A]
    assert len(one.steps) == MOST_STEPS
    assert one.steps[0].at == 0.0
    assert one.last.text == f"no {MOST_STEPS * 2 - 1}"


def test_attempt_that_is_called_off_has_no_error() -> None:
    """A cancellation is no failure of a radio."""
    journal = Journal()
    journal.queued(A, None, 0.0)
    journal.failed(A, "kitchen", KeyboardInterrupt(), 1.0)
    assert (journal.connects[0].last.error, journal.connects[0].last.text) == (None, "called off")


def test_services_are_a_step_of_the_attempt_that_is_under_way() -> None:
    """What another radio says late, or of an attempt that is over, is none."""
    journal = Journal()
    journal.opened(A, "kitchen", 0.0)
    journal.queued(A, "ha", 0.0)
    journal.opened(A, "kitchen", 0.5)
    journal.chosen(A, "kitchen", None, 1.0)
    journal.opened(A, "cellar", 1.5)
    journal.opened(A, "kitchen", 2.0)
    journal.ready(A, "kitchen", 3.0)
    journal.opened(A, "kitchen", 3.5)
    (one,) = journal.connects
    assert kinds(one) == ["queued", "chosen", "services", "ready"]
    assert (one.steps[2].source, one.steps[2].at) == ("kitchen", 2.0)
