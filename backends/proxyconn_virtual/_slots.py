"""The connection slots of a proxy, and what rules may ask of the proxy that owns them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Final

DEFAULT_MTU: Final = 23
"""ATT MTU before any exchange, bytes (Core Specification vol 3 F 3.2.8)."""

MAX_SLOTS: Final = 9
"""Most slots an ESP32 proxy can be configured with."""


class SlotState(Enum):
    """State of a slot; a free slot is IDLE or INIT without an address."""

    INIT = "init"
    QUEUED = "queued"
    CONNECTING = "connecting"
    CONNECTED = "connected"
    """The link is up, and the services are being discovered."""
    ESTABLISHED = "established"
    DISCONNECTING = "disconnecting"
    IDLE = "idle"


@dataclass(slots=True)
class Slot:
    """One slot.

    Attributes:
        index: its place in slot reports.
        address: 48-bit device address; 0 when the slot is free.
        address_type: as in advertisements.
        state: see SlotState.
        with_cache: the connect request was CONNECT_V3_WITH_CACHE.
        disconnect_pending: a disconnect came before the attempt was over.
        mtu: last MTU negotiated on this slot, whichever device it was with.
        mtu_known: the MTU exchange of the present link is over.
        reason: why the present link was lost; 0 when we close it.
    """

    index: int
    address: int = 0
    address_type: int = 0
    state: SlotState = SlotState.INIT
    with_cache: bool = False
    disconnect_pending: bool = False
    mtu: int = DEFAULT_MTU
    mtu_known: bool = False
    reason: int = 0

    def free(self) -> None:
        """Give the slot back; the MTU stays."""
        self.address = 0
        self.state = SlotState.IDLE
        self.disconnect_pending = False
        self.mtu_known = False
        self.reason = 0


@dataclass(frozen=True, slots=True)
class ConnectionNotice:
    """Send message 69."""

    address: int
    connected: bool
    mtu: int = 0
    error: int = 0


@dataclass(frozen=True, slots=True)
class SlotReport:
    """Send message 81."""

    free: int
    limit: int
    allocated: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class OpenLink:
    """Have the radio open a link for a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class CloseLink:
    """Have the radio close the link of a slot, and start the timer for a lost CLOSE_EVT."""

    slot: int


Action = ConnectionNotice | SlotReport | OpenLink | CloseLink
