"""How much of the cluster benchmark is run."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from proxyconn_cluster.settings import DEFAULT_LEASE, SHORTEST_LEASE


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        repeats: times that links are measured.
        reads, connects: how many make one measurement.
        owners, proxies: numbers of them for which growth is measured; 0 proxies are always.
        windows, seconds: how often CPU is measured of each number, and for how long.
        settle: seconds before that, in which owners get to know each other, and every device.
        lease: seconds for which leases are; they are renewed ten times in three of them.
    """

    repeats: int
    reads: int
    connects: int
    owners: tuple[int, ...]
    proxies: tuple[int, ...]
    windows: int
    seconds: float
    settle: float = 2.0
    lease: float = DEFAULT_LEASE


FULL = Size(7, 3000, 30, (1, 2, 3), (10, 30, 100, 300), 4, 3.0)
QUICK = Size(3, 1000, 15, (1, 3), (10, 100), 2, 3.0)
TINY = Size(1, 30, 2, (1, 2), (4,), 1, 0.5, 0.3, SHORTEST_LEASE)


def note(text: str) -> None:
    """Say what is being done."""
    print(text, file=sys.stderr, flush=True)
