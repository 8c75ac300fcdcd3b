"""Proxies that are ours and that we do not reach: another owner may. Knows no clock."""

from __future__ import annotations

from collections.abc import Collection
from typing import Final

PATIENCE: Final = 2.0
"""Leases for which a proxy must be out of reach: a restart takes less."""

REST: Final = 10.0
"""Leases for which it is left to others then."""


class OutOfReach:
    """What we do not reach, and what was left to others because of that."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}
        self._until: dict[str, float] = {}

    def left(self, now: float) -> frozenset[str]:
        """Return the MAC addresses of what is left to others."""
        self._until = {mac: until for mac, until in self._until.items() if until > now}
        return frozenset(self._until)

    def look(self, away: Collection[str], now: float, lease: float) -> bool:
        """Take note of what is out of reach; return whether something more is left to others.

        Args:
            away: MAC addresses of proxies of ours that are out of reach, and that others see.
            now: the time in seconds.
            lease: seconds for which a lease is.
        """
        self._since = {mac: self._since.get(mac, now) for mac in away}
        given_up = [mac for mac, since in self._since.items() if now - since >= PATIENCE * lease]
        for mac in given_up:
            self._until[mac] = now + REST * lease
            del self._since[mac]
        return bool(given_up)
