"""The last sentence of an error: what to do about it, true of the case at hand."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from proxyconn.errors import ErrorKind
from proxyconn.models import Allocations

NEVER_ANSWERED_AFTER = 10.0
"""Seconds. An attempt that the stack cancels after this long went unanswered by the device; one
cancelled before 8 s was rejected by the controller (ESP-IDF CONFIG_BT_BLE_ESTAB_LINK_CONN_TOUT)."""

_OF_KIND: Mapping[ErrorKind, str] = MappingProxyType(
    {
        ErrorKind.TIMEOUT: (
            "The device never answered; wake it, move it closer to a radio, "
            "or check that nothing else is connected to it."
        ),
        ErrorKind.DEVICE_NOT_FOUND: (
            "No radio knows the device; check that it advertises, or move it closer to a radio."
        ),
        ErrorKind.NOT_FOUND: "Check that the device advertises and is in range of a radio.",
        ErrorKind.DBUS_UNKNOWN_OBJECT: "BlueZ dropped the device; scan for it again.",
        ErrorKind.CONTROLLER_BUSY: (
            "The controller is still releasing another link; wait a few seconds, "
            "or add a proxy near the device."
        ),
        ErrorKind.ESTABLISH_FAILED: (
            "The device was heard but the link did not come up; look for interference "
            "or move it closer to a radio."
        ),
        ErrorKind.LINK_TIMEOUT: "The link was lost; move the device closer to a radio.",
        ErrorKind.STACK_ERROR: (
            "The proxy's Bluetooth stack gave no reason; restart the proxy if this goes on."
        ),
        ErrorKind.LINK_TERMINATED: (
            "The link was cut while it was being set up; check that the device is awake "
            "and not bonded to something else."
        ),
        ErrorKind.TRANSIENT: "Try again; if it goes on, look for interference or update the proxy.",
        ErrorKind.SECURITY: (
            "The device refused the security of this link; remove the old bond on both sides "
            "and pair again."
        ),
        ErrorKind.GATT: "The device refused the operation; check what it supports.",
        ErrorKind.DBUS: "Look at the log of bluetoothd for the reason.",
        ErrorKind.BUS_CLOSED: "The D-Bus connection was lost; check that bluetoothd is running.",
        ErrorKind.BROKEN_PIPE: "The D-Bus connection was lost; check that bluetoothd is running.",
        ErrorKind.SERVICES_CHANGED: "The device's services keep changing; clear its cache.",
        ErrorKind.DISCONNECTED: "The device dropped the link at once; check that it is awake.",
        ErrorKind.RADIO_UNAVAILABLE: "Mend what is named here, or add a radio near the device.",
        ErrorKind.RADIO_BUSY: "Allow more time, or add a radio near the device.",
        ErrorKind.FLEET_CLOSED: "Connect inside `async with`, to a device of a fleet that is open.",
        ErrorKind.IN_USE: "Disconnect the other client first.",
        ErrorKind.UNSUPPORTED: "Update the proxy's firmware or use another radio.",
        ErrorKind.OTHER: "Turn on debug logging for `proxyconn` to see each attempt.",
    }
)


NO_ATTEMPT_ENDED = (
    "No attempt ended before the deadline; allow more time, or turn on debug logging for "
    "`proxyconn` to see what it waited for."
)
"""Advice for a deadline that passed before anything had failed."""


def advise(kind: ErrorKind, allocations: Allocations | None = None, elapsed: float = 0.0) -> str:
    """Return one sentence of advice.

    Args:
        kind: what went wrong.
        allocations: the radio's own slot report at that time, if it makes any.
        elapsed: seconds that the last attempt took.
    """
    if kind is ErrorKind.OUT_OF_SLOTS:
        return _slots(allocations)
    if kind is ErrorKind.CONNECT_CANCELLED:
        return _cancelled(allocations, elapsed)
    return _OF_KIND[kind]


def _slots(allocations: Allocations | None) -> str:
    if allocations is None:
        return "Disconnect a device that is not needed, or add a radio near this one."
    if allocations.free:
        return (
            f"{allocations.adapter} reports {allocations.free} of {allocations.slots} slots free "
            "again: try once more."
        )
    taken = allocations.slots - allocations.free
    holders = ", ".join(allocations.allocated) or "devices it does not name"
    return (
        f"{taken} of {allocations.slots} slots of {allocations.adapter} are in use by {holders}; "
        "disconnect one of them or add a proxy near this device."
    )


def _cancelled(allocations: Allocations | None, elapsed: float) -> str:
    if elapsed >= NEVER_ANSWERED_AFTER:
        return (
            f"The proxy gave up after {elapsed:.0f} s without an answer from the device; "
            "wake it, move it closer, or add a proxy near it."
        )
    if allocations is None:
        return "The radio cancelled the attempt; wait a few seconds and try again."
    if not allocations.free:
        return _slots(allocations)
    return (
        f"{allocations.free} of {allocations.slots} slots of {allocations.adapter} were free: "
        "the controller rejected it; update or restart the proxy if this goes on."
    )
