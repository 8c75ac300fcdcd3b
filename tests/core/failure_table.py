"""The contract's table of failures: what is raised, what it costs, what it ends as."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError

from proxyconn import (
    BleakAbortedError,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    ProxyconnError,
)
from proxyconn_esphome.codes import ConnectionReason, kind_of_reason

ADDRESS = "C4:00:00:00:00:01"
UNKNOWN_OBJECT = "org.freedesktop.DBus.Error.UnknownObject"


def link_error(reason: ConnectionReason) -> LinkError:
    """Return what the ESPHome backend raises for a connection reason."""
    return LinkError(
        f"kitchen [{ADDRESS}]: {reason}", kind=kind_of_reason(reason), code=reason, source="kitchen"
    )


@dataclass(frozen=True)
class Row:
    """One failure: attempts made, seconds between them, and the error at the end."""

    error: BaseException
    attempts: int
    wait: float
    raised: type[ProxyconnError]
    kind: ErrorKind
    code: IntEnum | None = None

    def __str__(self) -> str:
        return f"{type(self.error).__name__}-{self.error}"


_R = ConnectionReason
TABLE = [
    Row(TimeoutError(), 4, 0.25, BleakNotFoundError, ErrorKind.TIMEOUT),
    Row(
        OutOfSlotsError("kitchen: full", source="kitchen"),
        9,
        4.0,
        BleakOutOfConnectionSlotsError,
        ErrorKind.OUT_OF_SLOTS,
    ),
    Row(
        BleakError("no free connection slot"),
        9,
        4.0,
        BleakOutOfConnectionSlotsError,
        ErrorKind.OUT_OF_SLOTS,
    ),
    Row(
        BleakError("No backend with an available connection"),
        9,
        4.0,
        BleakOutOfConnectionSlotsError,
        ErrorKind.OUT_OF_SLOTS,
    ),
    Row(
        link_error(_R.ESP_GATT_CONN_CONN_CANCEL),
        9,
        4.0,
        BleakOutOfConnectionSlotsError,
        ErrorKind.CONNECT_CANCELLED,
        _R.ESP_GATT_CONN_CONN_CANCEL,
    ),
    Row(
        BleakError("Error ESP_GATT_CONN_CONN_CANCEL while connecting"),
        9,
        4.0,
        BleakOutOfConnectionSlotsError,
        ErrorKind.CONNECT_CANCELLED,
    ),
    Row(BleakDeviceNotFoundError(ADDRESS), 9, 4.0, BleakNotFoundError, ErrorKind.DEVICE_NOT_FOUND),
    Row(BleakNotFoundError("gone"), 9, 4.0, BleakNotFoundError, ErrorKind.DEVICE_NOT_FOUND),
    Row(BleakError("thing not found"), 4, 0.1, BleakNotFoundError, ErrorKind.NOT_FOUND),
    Row(
        link_error(_R.ESP_GATT_CONN_FAIL_ESTABLISH),
        9,
        0.5,
        BleakAbortedError,
        ErrorKind.ESTABLISH_FAILED,
        _R.ESP_GATT_CONN_FAIL_ESTABLISH,
    ),
    Row(
        BleakError("Error ESP_GATT_CONN_FAIL_ESTABLISH while connecting"),
        9,
        0.5,
        BleakAbortedError,
        ErrorKind.ESTABLISH_FAILED,
    ),
    Row(
        link_error(_R.ESP_GATT_CONN_TIMEOUT),
        4,
        0.5,
        BleakAbortedError,
        ErrorKind.LINK_TIMEOUT,
        _R.ESP_GATT_CONN_TIMEOUT,
    ),
    Row(BleakError("ESP_GATT_CONN_TIMEOUT"), 4, 0.5, BleakAbortedError, ErrorKind.LINK_TIMEOUT),
    Row(
        link_error(_R.ESP_GATT_ERROR),
        4,
        1.0,
        BleakAbortedError,
        ErrorKind.STACK_ERROR,
        _R.ESP_GATT_ERROR,
    ),
    Row(BleakError("ESP_GATT_ERROR"), 4, 1.0, BleakAbortedError, ErrorKind.STACK_ERROR),
    Row(
        link_error(_R.ESP_GATT_CONN_TERMINATE_PEER_USER),
        9,
        0.25,
        BleakAbortedError,
        ErrorKind.LINK_TERMINATED,
        _R.ESP_GATT_CONN_TERMINATE_PEER_USER,
    ),
    Row(
        link_error(_R.ESP_GATT_CONN_TERMINATE_LOCAL_HOST),
        9,
        0.25,
        BleakAbortedError,
        ErrorKind.LINK_TERMINATED,
        _R.ESP_GATT_CONN_TERMINATE_LOCAL_HOST,
    ),
    Row(
        BleakDBusError("org.bluez.Error.Failed", ["le-connection-abort-by-local"]),
        9,
        0.25,
        BleakAbortedError,
        ErrorKind.LINK_TERMINATED,
    ),
    Row(
        BleakDBusError("org.bluez.Error.Failed", ["br-connection-canceled"]),
        9,
        0.25,
        BleakAbortedError,
        ErrorKind.LINK_TERMINATED,
    ),
    Row(
        BleakDBusError("org.bluez.Error.Failed", ["host is down"]),
        4,
        0.25,
        BleakConnectionError,
        ErrorKind.DBUS,
    ),
    Row(
        BleakDBusError(UNKNOWN_OBJECT, ["no such path"]),
        4,
        0.25,
        BleakNotFoundError,
        ErrorKind.DBUS_UNKNOWN_OBJECT,
    ),
    Row(
        BleakError(f"[{UNKNOWN_OBJECT}] Method Connect: object not found"),
        4,
        0.25,
        BleakNotFoundError,
        ErrorKind.DBUS_UNKNOWN_OBJECT,
    ),
    Row(EOFError(), 9, 0.25, BleakConnectionError, ErrorKind.BUS_CLOSED),
    Row(BrokenPipeError(), 9, 0.0, BleakConnectionError, ErrorKind.BROKEN_PIPE),
    Row(
        KeyError("org.bluez.GattService1"),
        9,
        0.1,
        BleakConnectionError,
        ErrorKind.SERVICES_CHANGED,
    ),
    Row(BleakError("Disconnected"), 4, 0.0, BleakConnectionError, ErrorKind.DISCONNECTED),
    Row(BleakError("anything"), 4, 0.1, BleakConnectionError, ErrorKind.OTHER),
    Row(AttributeError("services"), 4, 0.1, BleakConnectionError, ErrorKind.OTHER),
]
