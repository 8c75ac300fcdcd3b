"""Decides how soon a subscription is taken back that another client has taken.

At once, unless it was taken back already a short time ago: two clients that take it from each other
would both hear nothing. Knows no clock: the time is an argument.
"""

from __future__ import annotations

FIGHT_TIME = 300.0
"""Seconds for which a subscription must last to be taken back at once when it is lost again."""

BACK_OFF = (300.0, 600.0, 1800.0)
"""Seconds to leave it to the other client otherwise; the last is repeated."""


class TakingBack:
    """When one subscription was taken back, and how often in vain."""

    def __init__(self) -> None:
        self._at: float | None = None
        self._fights = 0

    def took(self, now: float) -> None:
        """Take note that it is taken back."""
        self._at = now

    def began_anew(self, now: float) -> None:
        """Take note of a new session: one that was fought about has to last from now on."""
        if self._at is not None:
            self._at = now

    def is_recent(self, now: float) -> bool:
        """Whether it was taken back so lately that another client seems to want it too."""
        return self._at is not None and now - self._at <= FIGHT_TIME

    def wait(self, now: float) -> float:
        """Return the seconds to leave it to the other client, now that it is lost."""
        if not self.is_recent(now):
            self._fights = 0
            return 0.0
        self._fights += 1
        return BACK_OFF[min(self._fights, len(BACK_OFF)) - 1]
