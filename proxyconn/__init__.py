"""Reliable Bluetooth LE through fleets of ESPHome Bluetooth proxies, for any Python program."""

from proxyconn._adapters import (
    clear_cache,
    close_stale_connections,
    close_stale_connections_by_address,
    get_device,
    get_device_by_adapter,
    restore_discoveries,
)
from proxyconn._client import BleakClientWithServiceCache
from proxyconn._connect import DISCONNECT_TIMEOUT, Retry, establish_connection
from proxyconn._decorator import retry_bluetooth_connection_error
from proxyconn._device import ble_device_description, device_source
from proxyconn._errors import (
    BleakAbortedError,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    GATTError,
    InvalidKeyError,
    LinkError,
    NotConnectedError,
    OutOfSlotsError,
    PairingError,
    ProxyconnError,
    RadioError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._failures import BLEAK_RETRY_EXCEPTIONS, calculate_backoff_time
from proxyconn._fleet import Fleet
from proxyconn._install import install
from proxyconn._keep import KeptConnection, keep_connected
from proxyconn._models import (
    NO_RSSI_VALUE,
    RSSI_SWITCH_THRESHOLD,
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    RadioState,
)
from proxyconn._monitor import Alarm, AlarmKind
from proxyconn._params import ConnectionParameters
from proxyconn._paths import Path
from proxyconn._retry import MAX_CONNECT_ATTEMPTS
from proxyconn._slot_manager import BleakSlotManager
from proxyconn.radio import Proxy

__all__ = [
    "BLEAK_RETRY_EXCEPTIONS",
    "DISCONNECT_TIMEOUT",
    "MAX_CONNECT_ATTEMPTS",
    "NO_RSSI_VALUE",
    "RSSI_SWITCH_THRESHOLD",
    "Alarm",
    "AlarmKind",
    "AllocationChange",
    "AllocationChangeEvent",
    "Allocations",
    "BleakAbortedError",
    "BleakClientWithServiceCache",
    "BleakConnectionError",
    "BleakNotFoundError",
    "BleakOutOfConnectionSlotsError",
    "BleakSlotManager",
    "ConnectionParameters",
    "ErrorKind",
    "Fleet",
    "GATTError",
    "InvalidKeyError",
    "KeptConnection",
    "LinkError",
    "NotConnectedError",
    "OutOfSlotsError",
    "PairingError",
    "Path",
    "Proxy",
    "ProxyconnError",
    "RadioError",
    "RadioState",
    "RadioUnavailableError",
    "Retry",
    "UnsupportedError",
    "ble_device_description",
    "calculate_backoff_time",
    "clear_cache",
    "close_stale_connections",
    "close_stale_connections_by_address",
    "device_source",
    "establish_connection",
    "get_device",
    "get_device_by_adapter",
    "install",
    "keep_connected",
    "restore_discoveries",
    "retry_bluetooth_connection_error",
]
