"""The clock by which leases run: it goes on while the machine sleeps, and is never set."""

from __future__ import annotations

import time
from typing import Final

_BOOTTIME: Final = getattr(time, "CLOCK_BOOTTIME", None)
"""Linux: counts suspended time, which the monotonic clock does not (clock_gettime(2))."""


def now() -> float:
    """Return seconds since some moment."""
    return time.monotonic() if _BOOTTIME is None else time.clock_gettime(_BOOTTIME)
