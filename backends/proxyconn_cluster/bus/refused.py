"""Who speaks in the cluster and cannot be understood: of another version of the messages."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from proxyconn_cluster.bus.messages import OtherVersionError

MOST: Final = 10_000
"""Of them that are remembered: whoever may speak on the bus can pretend to be any number."""

_LOGGER = logging.getLogger(__name__)


class Refused:
    """Those who were not understood.

    Args:
        clock: returns the time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._by_subject: dict[str, tuple[str, float]] = {}

    def take(self, subject: str, error: OtherVersionError) -> None:
        """Take note of one, by the subject on which it speaks; it is told once of each."""
        if subject not in self._by_subject:
            if len(self._by_subject) >= MOST:
                return
            _LOGGER.warning("%s", error)
        self._by_subject[subject] = str(error), self._clock()

    def troubles(self, within: float) -> tuple[str, ...]:
        """Return sentences that say who was heard in the last seconds, and why it is refused."""
        return tuple(dict.fromkeys(self._lately(within).values()))

    def anybody(self, within: float) -> bool:
        """Whether there is anybody."""
        return bool(self._by_subject) and bool(self._lately(within))

    def is_there(self, name: str, run: str, within: float) -> bool:
        """Whether one was heard in the last seconds: what it holds is held all the same."""
        return any(one.split(".")[-2:] == [name, run] for one in self._lately(within))

    def _lately(self, within: float) -> dict[str, str]:
        since = self._clock() - within
        return {one: text for one, (text, at) in self._by_subject.items() if at > since}
