"""How the slots of ESPHome 2026.8 and newer answer requests and radio events.

The proxy has a state for each slot, and the stack's part under it has its own: `Slot.state` and
`Slot.stack`. A request looks at the first, a radio event at the second, so that the two may differ
for a while: a link that the peer has ended counts as connected until its close event.
scripts/test-firmware compares this with the firmware's own code, message by message.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from proxyconn_virtual.firmware.slot_rules import (
    REASON_LOST_CLOSE,
    REASON_OPEN_FAILED,
    SlotRules,
)
from proxyconn_virtual.firmware.slots import (
    DEFAULT_MTU,
    Action,
    CancelOpen,
    CloseLink,
    ConnectionNotice,
    OpenLink,
    Search,
    SearchServices,
    Slot,
    SlotState,
    TeardownTimer,
)

NOT_CONNECTED: Final = -1
"""There was nothing to end (GATT_ERR_NOT_CONNECTED)."""

REASON_CANCELLED: Final = 256
"""The open was cancelled (ESP_GATT_CONN_CONN_CANCEL)."""

NO_RESOURCES: Final = 128
"""The stack refused the call (ESP_GATT_NO_RESOURCES)."""

_UNDER_WAY: Final = frozenset({SlotState.QUEUED, SlotState.CONNECTING})
_BLOCKS_SCAN: Final = _UNDER_WAY | {SlotState.DISCONNECTING}
_UP: Final = frozenset({SlotState.CONNECTED, SlotState.ESTABLISHED})


class BackendRules(SlotRules):
    """The slots of one proxy with firmware from 2026.8 on; see SlotRules."""

    @property
    def blocks_scan(self) -> bool:
        """Whether the scanner may not start."""
        return any(slot.stack in _BLOCKS_SCAN for slot in self.slots)

    @property
    def wants_radio(self) -> bool:
        """Whether an attempt waits for the radio, or has it."""
        return any(slot.stack in _UNDER_WAY for slot in self.slots)

    def connect(
        self, address: int, address_type: int | None, *, with_cache: bool
    ) -> Iterator[Action]:
        """Take a connect request; `address_type` None means that the request did not say."""
        slot = self.find(address) or self.find(0)
        if slot is None:
            yield ConnectionNotice(address, connected=False)
            return
        if slot.address == 0:
            slot.address = address
            slot.state = SlotState.INIT
        if address_type is None:
            yield ConnectionNotice(address, connected=False)
        elif slot.state in _UP:
            yield ConnectionNotice(address, connected=True, mtu=slot.mtu)
            yield self.report()
        elif slot.state is SlotState.DISCONNECTING:
            yield from self._wanted_again(slot)
        elif slot.state is SlotState.INIT:
            slot.address_type = address_type
            slot.with_cache = with_cache
            slot.state = slot.stack = SlotState.QUEUED
            yield self.report()

    @staticmethod
    def _wanted_again(slot: Slot) -> Iterator[Action]:
        """Forget a teardown that is only scheduled; once the cancel is out, its event ends it."""
        scheduled = slot.stack is SlotState.CONNECTING and slot.disconnect_pending
        if scheduled and not slot.cancel_sent:
            slot.disconnect_pending = False
            slot.state = SlotState.CONNECTING
            yield TeardownTimer(slot.index, on=False)

    def _disconnect(self, slot: Slot) -> Iterator[Action]:
        if slot.state is SlotState.DISCONNECTING:
            return
        if slot.stack in (SlotState.IDLE, SlotState.QUEUED):
            yield from self._reset(slot, NOT_CONNECTED)
            return
        slot.state = SlotState.DISCONNECTING
        yield from self._teardown(slot)

    def _teardown(self, slot: Slot) -> Iterator[Action]:
        """Have the stack end what it has for the slot."""
        if slot.stack is SlotState.DISCONNECTING:
            return
        if slot.stack is SlotState.CONNECTING or not slot.link_up:
            slot.disconnect_pending = True
            yield TeardownTimer(slot.index, on=True)
            if not slot.link_up and self._profile.cancels_open:
                slot.cancel_sent = True
                yield CancelOpen(slot.index)
            return
        yield from self._close_link(slot)

    @staticmethod
    def _close_link(slot: Slot) -> Iterator[Action]:
        slot.stack = SlotState.DISCONNECTING
        slot.reason = 0
        yield CloseLink(slot.index)

    def promote(self) -> Iterator[Action]:
        """Start the first queued attempt, unless one is under way."""
        if any(slot.stack is SlotState.CONNECTING for slot in self.slots):
            return
        slot = next((s for s in self.slots if s.stack is SlotState.QUEUED), None)
        if slot is not None:
            slot.state = slot.stack = SlotState.CONNECTING
            slot.mtu_known = slot.mtu_refused = slot.cancel_sent = slot.link_up = False
            yield OpenLink(slot.index)

    def refused(self, index: int) -> Iterator[Action]:
        """The stack refused the open call itself."""
        yield from self._reset(self.slots[index], NO_RESOURCES)

    def cancel_refused(self, index: int) -> Iterator[Action]:
        """The stack refused to cancel: the teardown stays scheduled."""
        self.slots[index].cancel_sent = False
        yield from ()

    def cancelled(self, index: int) -> Iterator[Action]:
        """CANCEL_OPEN_EVT."""
        slot = self.slots[index]
        if slot.stack is SlotState.CONNECTING and slot.disconnect_pending:
            yield from self._reset(slot, REASON_CANCELLED)

    def connected(self, index: int) -> Iterator[Action]:
        """CONNECT_EVT: there is a link, and its MTU is asked for."""
        self.slots[index].link_up = True
        yield from ()

    def opened(self, index: int) -> Iterator[Action]:
        """OPEN_EVT with status 0."""
        slot = self.slots[index]
        slot.link_up = True
        if slot.disconnect_pending:
            yield from self._close_link(slot)
            return
        slot.stack = SlotState.CONNECTED
        if self._profile.mtu_first:
            return
        if slot.with_cache:
            slot.stack = SlotState.ESTABLISHED
            slot.mtu_known = True
            yield from self._up(slot, DEFAULT_MTU)
            return
        slot.search = Search.STARTED
        yield SearchServices(index)
        if slot.mtu_refused and not slot.mtu_known:
            slot.mtu_known = True
            yield from self._up(slot, DEFAULT_MTU)
            yield from self._deliver(slot)

    def open_failed(self, index: int, reason: int) -> Iterator[Action]:
        """The attempt ended without a link: one notice, whatever the radio knew of the reason."""
        error = reason if self._profile.radio_status else REASON_OPEN_FAILED
        yield from self._reset(self.slots[index], error)

    def mtu_exchanged(self, index: int, mtu: int) -> Iterator[Action]:
        """The MTU exchange is over."""
        slot = self.slots[index]
        if slot.mtu_known or slot.disconnect_pending or slot.stack is SlotState.DISCONNECTING:
            return
        slot.mtu_known = True
        yield from self._up(slot, mtu)
        yield from self._deliver(slot)

    def mtu_not_asked(self, index: int) -> Iterator[Action]:
        """The stack took no request for the MTU: a link that is open does without."""
        slot = self.slots[index]
        slot.mtu_refused = True
        if slot.stack is SlotState.CONNECTED:
            yield from self.mtu_exchanged(index, DEFAULT_MTU)

    def discovered(self, index: int, status: int = 0) -> Iterator[Action]:
        """The end of a search."""
        slot = self.slots[index]
        if slot.stack is SlotState.DISCONNECTING:
            return
        slot.search_status = status
        slot.search = Search.OWED if slot.search is Search.CLAIMED else Search.DONE
        slot.stack = SlotState.ESTABLISHED
        yield from self._deliver(slot)

    def walk_failed(self, index: int) -> Iterator[Action]:
        """The list of services cannot be told whole: the link is ended instead."""
        slot = self.slots[index]
        slot.pending_error = REASON_OPEN_FAILED
        yield from self._disconnect(slot)

    def lost(self, index: int, reason: int) -> Iterator[Action]:
        """DISCONNECT_EVT of a link that we did not close: nothing is told yet."""
        slot = self.slots[index]
        if slot.stack is SlotState.IDLE:
            return
        # Since 2026.10 an event before the connect event is known to be an earlier link's.
        if slot.link_up or not self._profile.cancels_open:
            slot.stack = SlotState.DISCONNECTING
            slot.reason = reason
            yield TeardownTimer(index, on=True)

    def closed(self, index: int, reason: int | None = None) -> Iterator[Action]:
        """CLOSE_EVT: the slot is free again. `reason` None is that of the loss, if any."""
        slot = self.slots[index]
        if slot.link_up:
            yield from self._reset(slot, slot.reason if reason is None else reason)

    def close_timed_out(self, index: int) -> Iterator[Action]:
        """The end of a teardown never came."""
        slot = self.slots[index]
        if slot.stack is SlotState.DISCONNECTING or slot.disconnect_pending:
            yield from self._reset(slot, REASON_LOST_CLOSE)

    def occupy(self, address: int) -> Iterator[Action]:
        """Let the last free slot keep an address, as a connect without address type does."""
        slot = next((s for s in reversed(self.slots) if not s.address), None)
        if slot is not None:
            slot.address = address
            slot.state = SlotState.INIT
            yield self.report()

    def vacate(self, address: int) -> Iterator[Action]:
        """Free what `occupy` took; silent but for the report."""
        slot = self.find(address)
        if slot is not None and slot.state is SlotState.INIT:
            slot.free()
            yield self.report()

    def _up(self, slot: Slot, mtu: int) -> Iterator[Action]:
        """The stack says that the link is up."""
        if slot.state is SlotState.DISCONNECTING:
            yield from self._teardown(slot)
            return
        slot.mtu = mtu
        if slot.with_cache:
            slot.state = SlotState.ESTABLISHED
            yield ConnectionNotice(slot.address, connected=True, mtu=mtu)
            yield self.report()
            return
        slot.state = SlotState.CONNECTED
        if slot.search is Search.NONE:
            yield SearchServices(slot.index)
        slot.search = Search.OWED if slot.search is Search.DONE else Search.CLAIMED

    def _deliver(self, slot: Slot) -> Iterator[Action]:
        """Tell the end of a search that is waited for."""
        if slot.search is not Search.OWED:
            return
        slot.search = Search.NONE
        if slot.search_status:
            slot.pending_error = slot.search_status
            yield from self._disconnect(slot)
            return
        slot.state = SlotState.ESTABLISHED
        yield ConnectionNotice(slot.address, connected=True, mtu=slot.mtu)
        yield self.report()

    def _reset(self, slot: Slot, reason: int) -> Iterator[Action]:
        """Free a slot, and tell why."""
        address, error = slot.address, slot.pending_error or reason
        slot.stack_idle()
        slot.free()
        yield TeardownTimer(slot.index, on=False)
        yield ConnectionNotice(address, connected=False, error=error)
        yield self.report()
