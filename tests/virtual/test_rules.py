"""The slot rules by themselves: every state against every request and event."""

from __future__ import annotations

import pytest

from proxyconn_virtual.firmware.profiles import FirmwareProfile, profile
from proxyconn_virtual.firmware.slot_rules import SlotRules
from proxyconn_virtual.firmware.slots import (
    Action,
    CloseLink,
    ConnectionNotice,
    OpenLink,
    SlotReport,
    SlotState,
)

A, B, C, D = 0xA, 0xB, 0xC, 0xD


def rules(limit: int = 3, firmware: FirmwareProfile | None = None) -> SlotRules:
    """Return fresh slots."""
    return SlotRules(limit, firmware or profile("2026.6.5"))


def connect(slots: SlotRules, address: int = A, *, with_cache: bool = False) -> list[Action]:
    """Ask for a connection to a device of random address type."""
    return list(slots.connect(address, 1, with_cache=with_cache))


def in_state(state: SlotState, *, with_cache: bool = False) -> SlotRules:
    """Return slots whose first holds A in a state, brought there by events."""
    slots = rules()
    if state is SlotState.INIT:
        list(slots.connect(A, None, with_cache=False))
        return slots
    connect(slots, with_cache=with_cache)
    if state is SlotState.QUEUED:
        return slots
    list(slots.promote())
    if state is SlotState.CONNECTING:
        return slots
    if state is SlotState.IDLE:
        list(slots.refused(0))
        return slots
    list(slots.opened(0))
    if state is SlotState.CONNECTED:
        return slots
    list(slots.mtu_exchanged(0, 247))
    list(slots.discovered(0))
    if state is SlotState.DISCONNECTING:
        list(slots.lost(0, 19))
    assert slots.slots[0].state is state
    return slots


def up(mtu: int = 0) -> ConnectionNotice:
    """Return the notice of a link."""
    return ConnectionNotice(A, connected=True, mtu=mtu)


def down(error: int = 0, address: int = A) -> ConnectionNotice:
    """Return the notice of no link."""
    return ConnectionNotice(address, connected=False, error=error)


HELD = SlotReport(2, 3, (A,))
FREE = SlotReport(3, 3, ())


@pytest.mark.parametrize(
    ("state", "expected", "after"),
    [
        (SlotState.INIT, [HELD], SlotState.QUEUED),
        (SlotState.QUEUED, [], SlotState.QUEUED),
        (SlotState.CONNECTING, [], SlotState.CONNECTING),
        (SlotState.CONNECTED, [up(), HELD], SlotState.CONNECTED),
        (SlotState.ESTABLISHED, [up(), HELD], SlotState.ESTABLISHED),
        (SlotState.DISCONNECTING, [], SlotState.DISCONNECTING),
        (SlotState.IDLE, [], SlotState.IDLE),
    ],
)
def test_connect_in_every_state(state: SlotState, expected: list[Action], after: SlotState) -> None:
    """A connect to an address that has a slot is answered by the table."""
    slots = in_state(state)
    assert connect(slots) == expected
    assert slots.slots[0].state is after


def test_connect_reserves_at_once() -> None:
    """A fresh slot is reported before any radio work."""
    slots = rules()
    assert connect(slots) == [HELD]
    assert list(slots.promote()) == [OpenLink(0)]


def test_connect_without_free_slot() -> None:
    """No slot: one notice with error 0, and no report."""
    slots = rules(1)
    connect(slots, B)
    assert connect(slots) == [down()]


def test_connect_without_address_type_leaks_slot() -> None:
    """A request that names no address type holds a slot for nothing, and is not reported."""
    slots = rules()
    assert list(slots.connect(A, None, with_cache=False)) == [down()]
    assert slots.report() == HELD
    assert list(slots.promote()) == []


def test_connect_takes_free_slot_before_its_own() -> None:
    """A device on a later slot gets a second one when an earlier slot is free."""
    slots = rules()
    connect(slots, B)
    connect(slots, A)
    list(slots.promote())
    list(slots.open_failed(0, 62))
    assert connect(slots, A) == [SlotReport(1, 3, (A, A))]


@pytest.mark.parametrize(
    ("state", "expected", "after"),
    [
        (SlotState.INIT, [], SlotState.INIT),
        (SlotState.QUEUED, [], SlotState.QUEUED),
        (SlotState.CONNECTING, [], SlotState.CONNECTING),
        (SlotState.CONNECTED, [CloseLink(0)], SlotState.DISCONNECTING),
        (SlotState.ESTABLISHED, [CloseLink(0)], SlotState.DISCONNECTING),
        (SlotState.DISCONNECTING, [], SlotState.DISCONNECTING),
        (SlotState.IDLE, [down(), FREE], SlotState.IDLE),
    ],
)
def test_disconnect_in_every_state(
    state: SlotState, expected: list[Action], after: SlotState
) -> None:
    """A disconnect of an address that has a slot is answered by the table."""
    slots = in_state(state)
    assert list(slots.disconnect(A)) == expected
    assert slots.slots[0].state is after


def test_disconnect_of_unknown_address() -> None:
    """An address without a slot is answered by a notice and a report."""
    assert list(rules().disconnect(A)) == [down(), FREE]


def test_disconnect_then_closed() -> None:
    """Our own disconnect ends with error 0 and a free slot."""
    slots = in_state(SlotState.ESTABLISHED)
    list(slots.disconnect(A))
    assert list(slots.closed(0)) == [down(), FREE]


def test_promote_one_attempt_at_a_time() -> None:
    """The next queued slot waits until nobody is connecting, and slot order decides."""
    slots = rules()
    for address in (A, B, C):
        connect(slots, address)
    assert list(slots.promote()) == [OpenLink(0)]
    assert list(slots.promote()) == []
    list(slots.opened(0))
    assert list(slots.promote()) == [OpenLink(1)]


def test_opened_with_cache_reports_old_mtu() -> None:
    """With cache the link is reported at once, with the MTU that the slot last had."""
    slots = in_state(SlotState.CONNECTING, with_cache=True)
    assert list(slots.opened(0)) == [up(23), HELD]
    assert list(slots.mtu_exchanged(0, 185)) == []
    list(slots.disconnect(A))
    list(slots.closed(0))
    connect(slots, with_cache=True)
    list(slots.promote())
    assert list(slots.opened(0)) == [up(185), HELD]


@pytest.mark.parametrize("mtu_first", [True, False])
def test_opened_without_cache_waits_for_both(mtu_first: bool) -> None:
    """Without cache the second of MTU and end of discovery reports the link."""
    slots = in_state(SlotState.CONNECTED)
    if mtu_first:
        assert list(slots.mtu_exchanged(0, 247)) == []
        assert list(slots.discovered(0)) == [up(247), HELD]
    else:
        assert list(slots.discovered(0)) == []
        assert list(slots.mtu_exchanged(0, 247)) == [up(247), HELD]


def test_mtu_before_open_never_reports() -> None:
    """An MTU result that overtakes OPEN_EVT is lost: the link is never reported."""
    slots = in_state(SlotState.CONNECTING)
    list(slots.mtu_exchanged(0, 247))
    list(slots.opened(0))
    assert list(slots.discovered(0)) == []


def test_open_failed_gives_two_notices() -> None:
    """The reason comes first with the slot held, then 133 and the free slot."""
    slots = in_state(SlotState.CONNECTING)
    notices = slots.open_failed(0, 256)
    assert next(notices) == down(256)
    assert slots.report() == HELD
    assert list(notices) == [down(133), FREE]


def test_lost_then_closed() -> None:
    """A lost link is told twice, and its slot is free only the second time."""
    slots = in_state(SlotState.ESTABLISHED)
    assert list(slots.lost(0, 8)) == [down(8)]
    assert slots.report() == HELD
    assert list(slots.closed(0)) == [down(8), FREE]


def test_lost_frees_at_once_on_old_firmware() -> None:
    """Before 2025.8 the slot is free at DISCONNECT_EVT."""
    slots = rules(firmware=profile("2025.5"))
    connect(slots)
    list(slots.promote())
    list(slots.opened(0))
    assert list(slots.lost(0, 19)) == [down(19), FREE]


def test_closed_without_disconnect_event() -> None:
    """CLOSE_EVT alone frees the slot as well."""
    slots = in_state(SlotState.ESTABLISHED)
    assert list(slots.closed(0, 8)) == [down(8), FREE]


def test_close_timed_out() -> None:
    """A CLOSE_EVT that never comes is reported as 8; firmware of 2026.1 leaks the slot."""
    assert list(in_state(SlotState.DISCONNECTING).close_timed_out(0)) == [down(8), FREE]
    slots = rules(firmware=profile("2026.1"))
    connect(slots)
    list(slots.promote())
    list(slots.opened(0))
    list(slots.lost(0, 19))
    assert list(slots.close_timed_out(0)) == []
    assert slots.report().free == 2


def test_pending_disconnect_with_cache() -> None:
    """With cache the link is reported, then closed."""
    slots = in_state(SlotState.CONNECTING, with_cache=True)
    list(slots.disconnect(A))
    assert list(slots.opened(0)) == [up(23), HELD, CloseLink(0)]
    assert list(slots.closed(0)) == [down(), FREE]


def test_pending_disconnect_without_cache() -> None:
    """Without cache only the end is reported."""
    slots = in_state(SlotState.CONNECTING)
    list(slots.disconnect(A))
    assert list(slots.opened(0)) == [CloseLink(0)]
    assert list(slots.closed(0)) == [down(), FREE]


def test_pending_disconnect_is_cancelled_by_connect() -> None:
    """A connect while connecting takes the pending disconnect back."""
    slots = in_state(SlotState.CONNECTING)
    list(slots.disconnect(A))
    assert connect(slots) == []
    assert list(slots.opened(0)) == []


def test_queued_attempt_is_made_despite_disconnect() -> None:
    """A disconnect does not take a queued attempt back."""
    slots = in_state(SlotState.QUEUED)
    list(slots.disconnect(A))
    assert list(slots.promote()) == [OpenLink(0)]


@pytest.mark.parametrize(
    ("state", "wants", "blocks"),
    [
        (SlotState.INIT, False, False),
        (SlotState.QUEUED, True, True),
        (SlotState.CONNECTING, True, True),
        (SlotState.CONNECTED, False, False),
        (SlotState.ESTABLISHED, False, False),
        (SlotState.DISCONNECTING, False, True),
        (SlotState.IDLE, False, False),
    ],
)
def test_scanner_in_every_state(state: SlotState, wants: bool, blocks: bool) -> None:
    """An attempt stops the scanner, and a link that closes keeps a stopped one from starting."""
    slots = in_state(state)
    assert (slots.wants_radio, slots.blocks_scan) == (wants, blocks)


def test_disconnect_all() -> None:
    """Without a subscriber every link is closed, and an attempt is marked."""
    slots = in_state(SlotState.ESTABLISHED)
    connect(slots, B)
    list(slots.promote())
    assert list(slots.disconnect_all()) == [CloseLink(0)]
    assert list(slots.opened(1)) == [CloseLink(1)]


def test_report_without_addresses_on_old_firmware() -> None:
    """The 2024.11 firmware does not say who holds the slots."""
    slots = rules(firmware=profile("2024.11"))
    assert connect(slots) == [SlotReport(2, 3, ())]
