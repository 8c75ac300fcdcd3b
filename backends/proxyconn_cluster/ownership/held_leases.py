"""The leases that one owner has, by its own clock. Asks nobody, and waits for nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxyconn_cluster.ownership.records import Lease
from proxyconn_cluster.settings import WhenCutOff

USABLE: Final = 2 / 3
"""Part of a lease for which its owner uses the proxy without having renewed it: the rest of it is
for what the clocks of two machines differ, and for what is on its way."""

AWAKE: Final = 1 / 3
"""Part of a lease for which an owner may have slept and still know that it is cut off."""


@dataclass(slots=True)
class HeldLease:
    """A lease that is ours.

    Attributes:
        lease: what it says.
        revision: of its last entry.
        until: when it has run out, by our clock, unless it is renewed.
        inherited: whether another owner had it before: a proxy that is handed over at once keeps
            the links of the one before, whether that was in order or not.
        leaving: whether it is to be given back.
    """

    lease: Lease
    revision: int
    until: float
    inherited: bool = False
    leaving: bool = False


@dataclass
class HeldLeases:
    """The leases that are ours.

    Args:
        clock: returns the time in seconds.
        when_cut_off: whether proxies are kept while the store is not reached.

    Attributes:
        ttl: seconds for which a lease is.
        held: MAC address -> lease; more of them by `keep` only.
        cut_off: whether the store is known not to be reached.
    """

    clock: Callable[[], float]
    when_cut_off: WhenCutOff
    ttl: float
    held: dict[str, HeldLease] = field(default_factory=dict)
    cut_off: bool = False
    _awake_at: float = float("-inf")
    _none_before: float = float("inf")

    def keep(self, mac: str, held: HeldLease) -> None:
        """Have a lease from now on."""
        self.held[mac] = held
        self._none_before = min(self._none_before, held.until)

    def until(self, asked_at: float) -> float:
        """Return until when a lease is ours for which the store was asked at some moment."""
        return asked_at + self.ttl * USABLE

    def is_ours(self, mac: str) -> bool:
        """Whether a proxy may be used at this moment."""
        held = self.held.get(mac)
        if held is None:
            return False
        now = self.clock()
        return now < held.until or self._stays(now)

    def _stays(self, now: float) -> bool:
        """Whether leases that have run out are kept: the store was not reached all the time."""
        wanted = self.cut_off and self.when_cut_off is WhenCutOff.STAY
        return wanted and now - self._awake_at < self.ttl * AWAKE

    def tick(self) -> list[str]:
        """Drop what has run out, and return it; to be called several times a lease."""
        now = self.clock()
        if now - self._awake_at >= self.ttl * AWAKE:
            # Who slept knows nothing of what became of the store meanwhile.
            self.cut_off = False
        gone = self.run_out()
        self._awake_at = now
        return gone

    def run_out(self) -> list[str]:
        """Drop what has run out, and return it."""
        if not self.held:
            return []
        now = self.clock()
        # This runs in every turn of the loop, and renewed leases only run out later than before.
        if now < self._none_before or self._stays(now):
            return []
        gone = [mac for mac, held in self.held.items() if now >= held.until]
        for mac in gone:
            del self.held[mac]
        left = (held.until for held in self.held.values())
        self._none_before = min(left, default=float("inf"))
        return gone
