"""Every fault that proxies are known to have, by name.

`VirtualProxy.inject` switches one on: `proxy.inject("frame_loss", 0.1)`. `ChaosFaults`, in `chaos`,
does so at random.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from proxyconn_virtual.named_faults import connections, gatt, radio, sessions, slots
from proxyconn_virtual.named_faults.model import Argument as Argument
from proxyconn_virtual.named_faults.model import Fault as Fault
from proxyconn_virtual.named_faults.model import FaultError as FaultError
from proxyconn_virtual.named_faults.model import Kind as Kind


class FaultName(StrEnum):
    """The names of all faults."""

    LOST_DISCONNECT = "lost_disconnect"
    CONNECT_SILENT = "connect_silent"
    CONNECTED_NEVER = "connected_never"
    LATE_CONNECTED = "late_connected"
    TRUE_THEN_FALSE = "true_then_false"
    DOUBLE_FALSE = "double_false"
    EARLY_FALSE_SLOT_HELD = "early_false_slot_held"
    FALSE_133_AFTER_REASON = "false_133_after_reason"
    OUT_OF_SLOTS_ZERO = "out_of_slots_zero"
    DUPLICATE_CONNECT_MTU0 = "duplicate_connect_mtu0"
    STALE_MTU = "stale_mtu"
    MTU_23 = "mtu_23"
    QUEUED_BEHIND = "queued_behind"
    DISCONNECT_IGNORED = "disconnect_ignored"
    DUPLICATE_SLOT = "duplicate_slot"
    SLOT_MISMATCH = "slot_mismatch"
    SLOT_LEAK = "slot_leak"
    WEDGED_CONNECTING = "wedged_connecting"
    STALE_SUBSCRIBER = "stale_subscriber"
    SUBSCRIBER_STOLEN = "subscriber_stolen"
    UNSUBSCRIBE_KILLS_LINKS = "unsubscribe_kills_links"
    SILENT_SCANNER = "silent_scanner"
    FRAME_LOSS = "frame_loss"
    SERVICES_SHORT = "services_short"
    NO_DONE = "no_done"
    SERVICES_EMPTY = "services_empty"
    SECOND_GET_SERVICES = "second_get_services"
    REPLY_REORDER = "reply_reorder"
    ERROR_MINUS_1_ON_LIVE_LINK = "error_minus_1_on_live_link"
    STALE_GATT_CACHE = "stale_gatt_cache"
    UNPAIR_85 = "unpair_85"
    REBOOT_MID_OP = "reboot_mid_op"
    HALF_OPEN_TCP = "half_open_tcp"
    FLAPPING = "flapping"
    SLOT_LIMIT_TCP = "slot_limit_tcp"
    WRONG_KEY = "wrong_key"
    WRONG_MODE = "wrong_mode"
    RADIO_62_BURST = "radio_62_burst"
    RADIO_256_LATE = "radio_256_late"
    RADIO_256_AT_ONCE = "radio_256_at_once"
    RADIO_19_DISCOVERY = "radio_19_discovery"
    RADIO_8_LIVE = "radio_8_live"
    LATE_DISCONNECT_EVENT = "late_disconnect_event"
    INSTANT_RECONNECT_REFUSED = "instant_reconnect_refused"


_FAULTS: Final = {
    fault.name: fault
    for module in (connections, slots, sessions, gatt, radio)
    for fault in module.FAULTS
}

CATALOGUE: Final[Mapping[FaultName, Fault]] = MappingProxyType(
    {name: _FAULTS[name] for name in FaultName}
)
"""Every fault by its name."""


def find_fault(name: str) -> Fault:
    """Return a fault by its name. Raises FaultError, with the name that may have been meant."""
    if name in CATALOGUE:
        return CATALOGUE[FaultName(name)]
    close = difflib.get_close_matches(name, CATALOGUE, n=1)
    hint = f"did you mean '{close[0]}'?" if close else f"known: {', '.join(CATALOGUE)}"
    raise FaultError(f"no fault {name!r}; {hint}")
