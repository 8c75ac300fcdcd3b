"""Reliable Bluetooth LE through fleets of ESPHome Bluetooth proxies, for any Python program."""

from proxyconn.connect.cached_client import BleakClientWithServiceCache
from proxyconn.connect.establish import DISCONNECT_TIMEOUT, Retry, establish_connection
from proxyconn.connect.kept_connection import KeptConnection, keep_connected
from proxyconn.connect.retry_decorator import retry_bluetooth_connection_error
from proxyconn.connection_parameters import ConnectionParameters
from proxyconn.device import ble_device_description, device_source
from proxyconn.errors import (
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
from proxyconn.failures.retry_budget import MAX_CONNECT_ATTEMPTS
from proxyconn.failures.rules import BLEAK_RETRY_EXCEPTIONS, calculate_backoff_time
from proxyconn.fleet.alarms import Alarm, AlarmKind
from proxyconn.fleet.fleet import Fleet
from proxyconn.local.adapters import (
    clear_cache,
    close_stale_connections,
    close_stale_connections_by_address,
    get_device,
    get_device_by_adapter,
    restore_discoveries,
)
from proxyconn.local.slot_manager import BleakSlotManager
from proxyconn.models import (
    NO_RSSI_VALUE,
    RSSI_SWITCH_THRESHOLD,
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    RadioState,
    ScanMode,
    Subscribe,
)
from proxyconn.programs.install import install
from proxyconn.radio import Proxy
from proxyconn.routing.path_score import Path

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
    "ScanMode",
    "Subscribe",
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
