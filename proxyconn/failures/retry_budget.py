"""Whether to try again: three counters and no clock."""

from __future__ import annotations

from dataclasses import dataclass

from proxyconn.failures.rules import Counter, Failure

MAX_CONNECT_ATTEMPTS = 4
"""Timeouts and connect errors together that end the attempts."""

MAX_TRANSIENT_ERRORS = 9
"""Transient errors that end the attempts."""


@dataclass(slots=True)
class RetryBudget:
    """Counts the failures of one connection and says when they are too many."""

    max_attempts: int = MAX_CONNECT_ATTEMPTS
    timeouts: int = 0
    connect_errors: int = 0
    transient_errors: int = 0

    def spend(self, failure: Failure) -> bool:
        """Count `failure`; say whether another try is left."""
        match failure.rule.counter:
            case Counter.TIMEOUT:
                self.timeouts += 1
            case Counter.CONNECT_ERROR:
                self.connect_errors += 1
            case Counter.TRANSIENT:
                self.transient_errors += 1
            case Counter.FINAL:
                return False
        return (
            self.timeouts + self.connect_errors < self.max_attempts
            and self.transient_errors < MAX_TRANSIENT_ERRORS
        )
