"""Leases that nobody renews and that the store keeps all the same. Knows no clock.

The store lets them run out by the broker's wall clock: one that was set back keeps those of an
owner that has died for as long as it was set back.
"""

from __future__ import annotations


class Unrenewed:
    """What stood in our way when we wanted a proxy, and since when."""

    def __init__(self) -> None:
        self._since: dict[str, tuple[int, float]] = {}

    def is_over(self, mac: str, revision: int, now: float, lease: float) -> bool:
        """Whether an entry has been the same for a whole lease: its owner has let go by then.

        Whoever wrote it asked for that before it was seen here, and uses it for less than a lease.

        Args:
            mac: of the proxy.
            revision: of the entry that is there now.
            now: the time in seconds.
            lease: seconds for which a lease is.
        """
        known, since = self._since.get(mac, (None, now))
        if known != revision:
            self._since[mac] = (revision, now)
            return False
        return now - since >= lease

    def forget(self, mac: str) -> None:
        """Nothing stands in our way any more."""
        self._since.pop(mac, None)
