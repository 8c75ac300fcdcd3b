"""How a proxy's slots answer requests and radio events.

The tables and the order of messages are those of ESPHome 2026.6.5, bluetooth_proxy.cpp,
bluetooth_connection.cpp and ble_client_base.cpp; a profile changes what other versions do. From
2026.8 on it is `backend_rules` that applies.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import Enum, auto
from types import MappingProxyType
from typing import Final

from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.firmware.slots import (
    Action,
    CloseLink,
    ConnectionNotice,
    OpenLink,
    Slot,
    SlotReport,
    SlotState,
)

REASON_LOST_CLOSE: Final = 8
"""What the timer for a lost CLOSE_EVT reports (HCI connection timeout)."""

REASON_OPEN_FAILED: Final = 133
"""Second notice of every failed open (ESP_GATT_ERROR)."""


class OnConnect(Enum):
    """What a connect request does to a slot in some state."""

    QUEUE = auto()
    CANCEL_PENDING = auto()
    ALREADY = auto()
    IGNORE = auto()


class OnDisconnect(Enum):
    """What a disconnect request does to a slot in some state."""

    FREE = auto()
    MARK = auto()
    CLOSE = auto()
    IGNORE = auto()


CONNECT_TABLE: Final[Mapping[SlotState, OnConnect]] = MappingProxyType(
    {
        SlotState.INIT: OnConnect.QUEUE,
        SlotState.QUEUED: OnConnect.IGNORE,
        SlotState.CONNECTING: OnConnect.CANCEL_PENDING,
        SlotState.CONNECTED: OnConnect.ALREADY,
        SlotState.ESTABLISHED: OnConnect.ALREADY,
        SlotState.DISCONNECTING: OnConnect.IGNORE,
        SlotState.IDLE: OnConnect.IGNORE,
    }
)
"""For a slot that already has the address; a fresh slot is INIT."""

DISCONNECT_TABLE: Final[Mapping[SlotState, OnDisconnect]] = MappingProxyType(
    {
        SlotState.INIT: OnDisconnect.MARK,
        SlotState.QUEUED: OnDisconnect.MARK,
        SlotState.CONNECTING: OnDisconnect.MARK,
        SlotState.CONNECTED: OnDisconnect.CLOSE,
        SlotState.ESTABLISHED: OnDisconnect.CLOSE,
        SlotState.DISCONNECTING: OnDisconnect.IGNORE,
        SlotState.IDLE: OnDisconnect.FREE,
    }
)

_BLOCKS_SCAN: Final = frozenset({SlotState.QUEUED, SlotState.CONNECTING, SlotState.DISCONNECTING})
_LINKED: Final = frozenset({SlotState.CONNECTED, SlotState.ESTABLISHED, SlotState.DISCONNECTING})


class SlotRules:
    """The slots of one proxy. Every method returns what to do, in order.

    Args:
        limit: number of slots.
        profile: firmware version to behave like.
    """

    def __init__(self, limit: int, profile: FirmwareProfile) -> None:
        self._profile = profile
        self.slots: Final = tuple(Slot(index) for index in range(limit))

    @property
    def blocks_scan(self) -> bool:
        """Whether the scanner may not start."""
        return any(slot.address and slot.state in _BLOCKS_SCAN for slot in self.slots)

    @property
    def wants_radio(self) -> bool:
        """Whether an attempt waits for the radio, or has it: the scanner must stop."""
        return any(slot.state in (SlotState.QUEUED, SlotState.CONNECTING) for slot in self.slots)

    def find(self, address: int) -> Slot | None:
        """Return the first slot that has the address."""
        return next((slot for slot in self.slots if slot.address == address), None)

    def report(self) -> SlotReport:
        """Return the slot report of this moment."""
        held = tuple(slot.address for slot in self.slots if slot.address)
        allocated = held if self._profile.allocated else ()
        return SlotReport(len(self.slots) - len(held), len(self.slots), allocated)

    def connect(
        self, address: int, address_type: int | None, *, with_cache: bool
    ) -> Iterator[Action]:
        """Take a connect request; `address_type` None means that the request did not say."""
        # First slot that matches or is free: a device may get a second slot this way.
        slot = next((s for s in self.slots if s.address in (address, 0)), None)
        if slot is None:
            yield ConnectionNotice(address, connected=False)
            return
        if slot.address == 0:
            slot.address = address
            slot.state = SlotState.INIT
        if address_type is None:
            yield ConnectionNotice(address, connected=False)
            return
        what = CONNECT_TABLE[slot.state]
        if what is OnConnect.QUEUE:
            slot.address_type = address_type
            slot.with_cache = with_cache
            slot.state = SlotState.QUEUED
            yield self.report()
        elif what is OnConnect.CANCEL_PENDING:
            slot.disconnect_pending = False
        elif what is OnConnect.ALREADY:
            yield ConnectionNotice(address, connected=True)
            yield self.report()

    def disconnect(self, address: int) -> Iterator[Action]:
        """Take a disconnect request."""
        slot = self.find(address)
        if slot is None:
            yield ConnectionNotice(address, connected=False)
            yield self.report()
            return
        yield from self._disconnect(slot)

    def _disconnect(self, slot: Slot) -> Iterator[Action]:
        address = slot.address
        what = DISCONNECT_TABLE[slot.state]
        if what is OnDisconnect.FREE:
            slot.free()
            yield ConnectionNotice(address, connected=False)
            yield self.report()
        elif what is OnDisconnect.MARK:
            slot.disconnect_pending = True
        elif what is OnDisconnect.CLOSE:
            yield from self._close(slot)

    def promote(self) -> Iterator[Action]:
        """Start the first queued attempt, unless one is under way."""
        if any(slot.state is SlotState.CONNECTING for slot in self.slots):
            return
        slot = next((s for s in self.slots if s.state is SlotState.QUEUED), None)
        if slot is not None:
            slot.state = SlotState.CONNECTING
            yield OpenLink(slot.index)

    def refused(self, index: int) -> Iterator[Action]:
        """The stack refused the open call itself: no message, and the slot keeps its address."""
        self.slots[index].state = SlotState.IDLE
        yield from ()

    def cancel_refused(self, index: int) -> Iterator[Action]:
        """The stack refused to cancel an open; this firmware cancels none."""
        yield from ()

    def cancelled(self, index: int) -> Iterator[Action]:
        """CANCEL_OPEN_EVT; this firmware cancels none."""
        yield from ()

    def connected(self, index: int) -> Iterator[Action]:
        """CONNECT_EVT: this firmware waits for OPEN_EVT."""
        yield from ()

    def opened(self, index: int) -> Iterator[Action]:
        """OPEN_EVT with status 0."""
        slot = self.slots[index]
        slot.mtu_known = False
        slot.state = SlotState.ESTABLISHED if slot.with_cache else SlotState.CONNECTED
        if slot.with_cache:
            yield ConnectionNotice(slot.address, connected=True, mtu=slot.mtu)
            yield self.report()
        if slot.disconnect_pending:
            yield from self._close(slot)

    def open_failed(self, index: int, reason: int) -> Iterator[Action]:
        """The attempt ended without a link: two notices, the slot held in between."""
        yield from self.failing(index, reason)
        yield from self.closed(index, REASON_OPEN_FAILED)

    def failing(self, index: int, reason: int) -> Iterator[Action]:
        """OPEN_EVT with another status: the first notice; CLOSE_EVT brings the second."""
        slot = self.slots[index]
        slot.state = SlotState.DISCONNECTING
        yield ConnectionNotice(slot.address, connected=False, error=reason)

    def mtu_exchanged(self, index: int, mtu: int) -> Iterator[Action]:
        """The MTU exchange is over."""
        slot = self.slots[index]
        slot.mtu = mtu
        slot.mtu_known = True
        if not slot.with_cache and slot.state is SlotState.ESTABLISHED:
            yield ConnectionNotice(slot.address, connected=True, mtu=mtu)
            yield self.report()

    def mtu_not_asked(self, index: int) -> Iterator[Action]:
        """The stack took no request for the MTU: it is never known."""
        yield from ()

    def walk_failed(self, index: int) -> Iterator[Action]:
        """The list of services cannot be told whole; this firmware tells what it has."""
        yield from ()

    def discovered(self, index: int, status: int = 0) -> Iterator[Action]:
        """Discovery is over, successful or not: the status is not looked at."""
        slot = self.slots[index]
        if slot.state is not SlotState.CONNECTED:
            return
        slot.state = SlotState.ESTABLISHED
        if slot.mtu_known:
            yield ConnectionNotice(slot.address, connected=True, mtu=slot.mtu)
            yield self.report()

    def lost(self, index: int, reason: int) -> Iterator[Action]:
        """DISCONNECT_EVT of a link that we did not close."""
        slot = self.slots[index]
        yield ConnectionNotice(slot.address, connected=False, error=reason)
        if self._profile.freed_at_disconnect:
            slot.free()
            yield self.report()
            return
        slot.state = SlotState.DISCONNECTING
        slot.reason = reason

    def closed(self, index: int, reason: int | None = None) -> Iterator[Action]:
        """CLOSE_EVT: the slot is free again. `reason` None is that of the loss, if any."""
        slot = self.slots[index]
        if slot.state not in _LINKED:
            return
        address = slot.address
        error = slot.reason if reason is None else reason
        slot.free()
        yield ConnectionNotice(address, connected=False, error=error)
        yield self.report()

    def close_timed_out(self, index: int) -> Iterator[Action]:
        """CLOSE_EVT never came."""
        slot = self.slots[index]
        if slot.state is SlotState.DISCONNECTING and self._profile.close_timer:
            yield from self.closed(index, REASON_LOST_CLOSE)

    def disconnect_all(self) -> Iterator[Action]:
        """Nobody is subscribed any more: end every link."""
        for slot in self.slots:
            if slot.address:
                yield from self._disconnect(slot)

    def occupy(self, address: int) -> Iterator[Action]:
        """Let the last free slot keep an address that nobody uses, as a refused open does."""
        slot = next((s for s in reversed(self.slots) if not s.address), None)
        if slot is not None:
            slot.address = address
            slot.state = SlotState.IDLE
            yield self.report()

    def vacate(self, address: int) -> Iterator[Action]:
        """Free what `occupy` took; silent but for the report."""
        for slot in self.slots:
            if slot.address == address and slot.state is SlotState.IDLE:
                slot.free()
                yield self.report()

    @staticmethod
    def _close(slot: Slot) -> Iterator[Action]:
        slot.state = SlotState.DISCONNECTING
        slot.disconnect_pending = False
        slot.reason = 0
        yield CloseLink(slot.index)
