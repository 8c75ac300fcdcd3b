"""Tells a client of a failure by the number that a proxy would use for it."""

from __future__ import annotations

from typing import Final

from bleak.exc import BleakError, BleakGATTProtocolError

from proxyconn.errors import ErrorKind, ProxyconnError

FAILURES: Final = (BleakError, TimeoutError, OSError, EOFError)
"""What radios fail with; D-Bus ends with EOFError when bluetoothd goes."""

NO_SLOT: Final = 0
"""connected=false without an error: how a proxy says that it has no slot (bluetooth_proxy.cpp)."""

BUSY: Final = 0x100
"""ESP_GATT_CONN_CONN_CANCEL: clients back off and come again, and do not take the device for gone
(bleak-retry-connector: out of slots, habluetooth: transient)."""

CANCELLED: Final = 0x100
"""The same number, for an attempt that its client gave up (ESPHome 2026.10)."""

TIMEOUT: Final = 0x08
"""HCI connection timeout (Core Specification vol 1 F 2.8)."""

PEER_GONE: Final = 0x13
"""HCI remote user terminated connection (Core Specification vol 1 F 2.19)."""

NOT_ESTABLISHED: Final = 0x3E
"""HCI connection failed to be established (Core Specification vol 1 F 2.60)."""

ESP_GATT_ERROR: Final = 0x85
"""What firmware says of every open that failed."""

NOT_CONNECTED: Final = -1
"""ESPHome's own: there is no link to ask (bluetooth_proxy.cpp)."""

NO_RESOURCES: Final = 0x80
"""ESP_GATT_NO_RESOURCES."""

ATT_UNLIKELY: Final = 0x0E
"""ATT unlikely error (Core Specification vol 3 F 3.4.1.1)."""

PAIRING_FAILED: Final = 0x55
"""SMP unspecified reason, as Bluedroid numbers it (auth_fail 85)."""

_BY_KIND: Final = {
    ErrorKind.OUT_OF_SLOTS: NO_SLOT,
    ErrorKind.IN_USE: BUSY,
    ErrorKind.RADIO_BUSY: BUSY,
    ErrorKind.CONTROLLER_BUSY: BUSY,
    ErrorKind.TIMEOUT: TIMEOUT,
    ErrorKind.DEVICE_NOT_FOUND: ESP_GATT_ERROR,
    ErrorKind.DISCONNECTED: PEER_GONE,
    ErrorKind.TRANSIENT: NOT_ESTABLISHED,
}


def reason_of(error: BaseException) -> int:
    """Return the `error` of a connected=false for an attempt that failed."""
    if isinstance(error, ProxyconnError):
        return int(error.code) if error.code else _BY_KIND.get(error.kind, ESP_GATT_ERROR)
    if isinstance(error, TimeoutError):
        return TIMEOUT
    return ESP_GATT_ERROR


def status_of(error: BaseException) -> int:
    """Return the `error` of a GATT error response for an operation that failed."""
    if isinstance(error, ProxyconnError):
        if error.kind is ErrorKind.DISCONNECTED:
            return NOT_CONNECTED
        if error.code is not None:
            return int(error.code)
    if isinstance(error, BleakGATTProtocolError):
        return int(error.code)
    return ATT_UNLIKELY


def pairing_code_of(error: BaseException) -> int:
    """Return the `error` of a pairing response for a pairing that failed."""
    code = error.code if isinstance(error, ProxyconnError) else None
    return PAIRING_FAILED if code is None else int(code)
