"""Decides whom the server hangs up on: connections that prove nothing in time, or are too many.

Each is a descriptor of the owner's, which needs them for its proxies.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from typing import Final, Generic, TypeVar

PROVE_WITHIN: Final = 30.0
"""Seconds for a connection to prove that it may ask for anything: the page loads in one."""

MOST_UNPROVEN: Final = 64
"""Connections that have not: a browser has six."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks at the connections."""

ConnectionT = TypeVar("ConnectionT", bound=Hashable)


class Strangers(Generic[ConnectionT]):
    """The connections that have proven nothing so far. Knows no clock."""

    def __init__(self) -> None:
        self._since: dict[ConnectionT, float] = {}
        self._proven: set[ConnectionT] = set()

    def has_proven(self, connection: ConnectionT) -> None:
        """Whoever asks by a connection has a token or a session."""
        self._proven.add(connection)

    def unwelcome(self, hosts: Mapping[ConnectionT, str], now: float) -> list[ConnectionT]:
        """Return the connections to hang up on.

        Of too many the oldest goes, of the host that has most.

        Args:
            hosts: every connection that there is, and where it comes from.
            now: the time in seconds.
        """
        self._proven &= hosts.keys()
        self._since = {one: self._since.get(one, now) for one in hosts}
        ended: list[ConnectionT] = []
        waiting: list[ConnectionT] = []
        strangers = (one for one in hosts if one not in self._proven)
        for one in sorted(strangers, key=self._since.__getitem__):
            (ended if now - self._since[one] >= PROVE_WITHIN else waiting).append(one)
        counts = Counter(hosts[one] for one in waiting)
        while len(waiting) > MOST_UNPROVEN:
            [(most, _)] = counts.most_common(1)
            oldest = next(one for one in waiting if hosts[one] == most)
            waiting.remove(oldest)
            counts[most] -= 1
            ended.append(oldest)
        return ended
