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


class Search(Enum):
    """How far the search for services is, and whether its end is waited for."""

    NONE = "none"
    STARTED = "started"
    CLAIMED = "claimed"
    DONE = "done"
    OWED = "owed"


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
        stack: state of the stack's part of the slot, where firmware keeps two (2026.8).
        link_up: the stack's connect event came.
        cancel_sent: the stack was asked to cancel the open.
        mtu_refused: the stack took no request for the MTU.
        search: how far the search for services is.
        pending_error: what the notice of the end says instead of its own reason; 0 for nothing.
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
    stack: SlotState = SlotState.IDLE
    link_up: bool = False
    cancel_sent: bool = False
    mtu_refused: bool = False
    search: Search = Search.NONE
    search_status: int = 0
    pending_error: int = 0

    def free(self) -> None:
        """Give the slot back; the MTU stays."""
        self.address = 0
        self.state = SlotState.IDLE
        self.disconnect_pending = False
        self.mtu_known = False
        self.reason = 0
        self.pending_error = 0

    def stack_idle(self) -> None:
        """The stack has nothing for this slot any more."""
        self.stack = SlotState.IDLE
        self.link_up = False
        self.disconnect_pending = False
        self.search = Search.NONE
        self.search_status = 0


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


@dataclass(frozen=True, slots=True)
class CancelOpen:
    """Have the stack cancel the open of a slot."""

    slot: int


@dataclass(frozen=True, slots=True)
class SearchServices:
    """Have the stack search the services of a slot's device."""

    slot: int


@dataclass(frozen=True, slots=True)
class TeardownTimer:
    """Start the timer that ends a teardown by force, or stop it."""

    slot: int
    on: bool


Action = (
    ConnectionNotice
    | SlotReport
    | OpenLink
    | CloseLink
    | CancelOpen
    | SearchServices
    | TeardownTimer
)
