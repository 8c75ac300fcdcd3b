"""Values that cross the boundary between the core, the radios and the user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

NO_RSSI_VALUE = -127
"""dBm that stands for "no RSSI" (Core Specification vol 4 E 7.7.65.2 reserves +127 for it)."""

RSSI_SWITCH_THRESHOLD = 5
"""dB by which another path must be better before it replaces a working one."""


@dataclass(slots=True)
class Allocations:
    """The connection slots of one radio.

    Attributes:
        adapter: name of the proxy, or of the adapter (`hciN`).
        slots: how many there are.
        free: how many are not taken.
        allocated: addresses that hold one.
    """

    adapter: str
    slots: int
    free: int
    allocated: list[str]


class AllocationChange(Enum):
    """What happened to a slot."""

    ALLOCATED = "allocated"
    RELEASED = "released"


@dataclass(slots=True)
class AllocationChangeEvent:
    """A slot was taken or given back.

    Attributes:
        change: which of the two.
        path: BlueZ object path, or `<proxy>/<address>`.
        adapter: name of the proxy or adapter.
        address: the device.
    """

    change: AllocationChange
    path: str
    adapter: str
    address: str


class RadioState(StrEnum):
    """How a radio is doing."""

    CONNECTING = "connecting"
    """Its session is being set up."""
    READY = "ready"
    """It scans, and connects if it can."""
    DENIED = "denied"
    """Another client holds its one advertisement subscription."""
    ROBBED = "robbed"
    """Another client took over the subscription that was ours."""
    SILENT = "silent"
    """Its session is up, and it hears nothing."""
    WEDGED = "wedged"
    """Its session is up, but it hangs in an attempt to connect: it neither scans nor connects."""
    WRONG_KEY = "wrong key"
    """It refused the encryption key, or wants one, or does not encrypt at all."""
    GONE = "gone"
    """There is no session."""
