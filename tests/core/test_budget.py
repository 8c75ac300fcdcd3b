"""Three counters: when another try is left, and when none is."""

from __future__ import annotations

import pytest

from proxyconn import MAX_CONNECT_ATTEMPTS, ErrorKind
from proxyconn.failures.retry_budget import MAX_TRANSIENT_ERRORS, RetryBudget
from proxyconn.failures.rules import Failure

TIMEOUT, CONNECT = Failure(ErrorKind.TIMEOUT), Failure(ErrorKind.STACK_ERROR)
TRANSIENT, FINAL = Failure(ErrorKind.ESTABLISH_FAILED), Failure(ErrorKind.UNSUPPORTED)


def tries(*failures: Failure, budget: RetryBudget | None = None) -> int:
    """Return how many tries there are when they fail as told, over and over."""
    budget = budget or RetryBudget()
    for made in range(1, 100):
        if not budget.spend(failures[(made - 1) % len(failures)]):
            return made
    return 100


@pytest.mark.parametrize(
    ("failures", "made"),
    [
        ([TIMEOUT], MAX_CONNECT_ATTEMPTS),
        ([CONNECT], MAX_CONNECT_ATTEMPTS),
        ([TIMEOUT, CONNECT], MAX_CONNECT_ATTEMPTS),
        ([TRANSIENT], MAX_TRANSIENT_ERRORS),
        ([TRANSIENT, CONNECT], 2 * MAX_CONNECT_ATTEMPTS),
        ([TRANSIENT, TRANSIENT, TRANSIENT, TIMEOUT], 11),
        ([FINAL], 1),
        ([TRANSIENT, FINAL], 2),
    ],
)
def test_tries(failures: list[Failure], made: int) -> None:
    """Timeouts and connect errors count together, transient errors apart; a final one ends all."""
    assert tries(*failures) == made


def test_fewer_attempts_on_demand() -> None:
    """The caller's limit is for timeouts and connect errors; transient errors have their own."""
    assert tries(TIMEOUT, budget=RetryBudget(max_attempts=1)) == 1
    assert tries(TRANSIENT, budget=RetryBudget(max_attempts=1)) == MAX_TRANSIENT_ERRORS
    budget = RetryBudget(max_attempts=2)
    assert tries(TIMEOUT, CONNECT, budget=budget) == 2
    assert (budget.timeouts, budget.connect_errors, budget.transient_errors) == (1, 1, 0)
