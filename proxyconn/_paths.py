"""Which radio to take to a device: plain data in, an order out."""

from __future__ import annotations

from dataclasses import dataclass

from proxyconn._models import RadioState

STALE_AFTER = 195.0
"""Seconds without an advertisement after which a path no longer counts (habluetooth's limit for
connectable devices: three times the longest usual advertising interval, with room)."""

FAILURE_FADES_AFTER = 30.0
"""Seconds for which a path that failed a device is tried after the others."""


@dataclass(frozen=True, slots=True)
class Path:
    """One radio that hears a device.

    Attributes:
        source: name of the radio.
        rssi: signal strength of the last advertisement in dBm.
        age: seconds since that advertisement.
        state: how the radio is doing.
        connectable: whether the radio opens links.
        slots: connection slots of the radio; None if it does not report them.
        free: how many of them are neither taken nor promised; None if it does not report them.
        failures: attempts through this path that failed, lately and in a row.
    """

    source: str
    rssi: int
    age: float
    state: RadioState
    connectable: bool
    slots: int | None
    free: int | None
    failures: int

    @property
    def usable(self) -> bool:
        """Whether a link may be tried through this path."""
        return self.connectable and self.state is RadioState.READY and self.age < STALE_AFTER

    @property
    def has_slot(self) -> bool:
        """Whether a slot is free, as far as the radio reports."""
        return self.free is None or self.free > 0


def rank(path: Path) -> tuple[bool, bool, int, int]:
    """Return a sort key, best first: usable, with a slot, with fewer failures, then the loudest."""
    return (not path.usable, not path.has_slot, path.failures, -path.rssi)
