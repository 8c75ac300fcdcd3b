"""The numbers a proxy reports, and what kind of failure each stands for.

One number means different things in different messages, so there is one enum and one table for each
of `BluetoothDeviceConnectionResponse.error`, `BluetoothGATTErrorResponse.error` and
`BluetoothDevicePairingResponse.error`. Names with the prefix ESP_GATT are those of ESP-IDF's
esp_gatt_defs.h, names with HCI those of the Core Specification vol 1 F 2, ESP_AUTH those of
esp_gap_ble_api.h and ESP_ERR those of esp_err.h.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from proxyconn.radio import Code, ErrorKind


class ConnectionReason(Code):
    """Why a link did not open or went down."""

    ESP_GATT_CONN_UNKNOWN = 0x00
    ESP_GATT_CONN_L2C_FAILURE = 0x01
    HCI_UNKNOWN_CONNECTION = 0x02
    HCI_AUTHENTICATION_FAILURE = 0x05
    HCI_PIN_OR_KEY_MISSING = 0x06
    ESP_GATT_CONN_TIMEOUT = 0x08
    HCI_CONNECTION_LIMIT_EXCEEDED = 0x09
    HCI_COMMAND_DISALLOWED = 0x0C
    HCI_LIMITED_RESOURCES = 0x0D
    ESP_GATT_CONN_TERMINATE_PEER_USER = 0x13
    HCI_REMOTE_LOW_RESOURCES = 0x14
    HCI_REMOTE_POWER_OFF = 0x15
    ESP_GATT_CONN_TERMINATE_LOCAL_HOST = 0x16
    HCI_UNSUPPORTED_REMOTE_FEATURE = 0x1A
    HCI_UNSPECIFIED_ERROR = 0x1F
    ESP_GATT_CONN_LMP_TIMEOUT = 0x22
    HCI_INSTANT_PASSED = 0x28
    HCI_DIFFERENT_TRANSACTION_COLLISION = 0x2A
    HCI_UNACCEPTABLE_CONNECTION_PARAMETERS = 0x3B
    HCI_MIC_FAILURE = 0x3D
    ESP_GATT_CONN_FAIL_ESTABLISH = 0x3E
    ESP_GATT_NO_RESOURCES = 0x80
    ESP_GATT_ERROR = 0x85
    ESP_GATT_CONN_CONN_CANCEL = 0x100
    ESP_GATT_CONN_NONE = 0x101


class GattStatus(Code):
    """Why an attribute operation failed."""

    PROXY_NO_MEMORY = -2
    PROXY_NOT_CONNECTED = -1
    ESP_GATT_INVALID_HANDLE = 0x01
    ESP_GATT_READ_NOT_PERMIT = 0x02
    ESP_GATT_WRITE_NOT_PERMIT = 0x03
    ESP_GATT_INVALID_PDU = 0x04
    ESP_GATT_INSUF_AUTHENTICATION = 0x05
    ESP_GATT_REQ_NOT_SUPPORTED = 0x06
    ESP_GATT_INVALID_OFFSET = 0x07
    ESP_GATT_INSUF_AUTHORIZATION = 0x08
    ESP_GATT_PREPARE_Q_FULL = 0x09
    ESP_GATT_NOT_FOUND = 0x0A
    ESP_GATT_NOT_LONG = 0x0B
    ESP_GATT_INSUF_KEY_SIZE = 0x0C
    ESP_GATT_INVALID_ATTR_LEN = 0x0D
    ESP_GATT_ERR_UNLIKELY = 0x0E
    ESP_GATT_INSUF_ENCRYPTION = 0x0F
    ESP_GATT_UNSUPPORT_GRP_TYPE = 0x10
    ESP_GATT_INSUF_RESOURCE = 0x11
    ESP_GATT_NO_RESOURCES = 0x80
    ESP_GATT_INTERNAL_ERROR = 0x81
    ESP_GATT_WRONG_STATE = 0x82
    ESP_GATT_DB_FULL = 0x83
    ESP_GATT_BUSY = 0x84
    ESP_GATT_ERROR = 0x85
    ESP_GATT_CMD_STARTED = 0x86
    ESP_GATT_ILLEGAL_PARAMETER = 0x87
    ESP_GATT_PENDING = 0x88
    ESP_GATT_AUTH_FAIL = 0x89
    ESP_GATT_MORE = 0x8A
    ESP_GATT_INVALID_CFG = 0x8B
    ESP_GATT_SERVICE_STARTED = 0x8C
    ESP_GATT_ENCRYPTED_NO_MITM = 0x8D
    ESP_GATT_NOT_ENCRYPTED = 0x8E
    ESP_GATT_CONGESTED = 0x8F
    ESP_GATT_DUP_REG = 0x90
    ESP_GATT_ALREADY_OPEN = 0x91
    ESP_GATT_CANCEL = 0x92
    ESP_GATT_STACK_RSP = 0xE0
    ESP_GATT_APP_RSP = 0xE1
    ESP_GATT_UNKNOWN_ERROR = 0xEF
    ESP_GATT_CCC_CFG_ERR = 0xFD
    ESP_GATT_PRC_IN_PROGRESS = 0xFE
    ESP_GATT_OUT_OF_RANGE = 0xFF
    ESP_ERR_NO_MEM = 0x101
    ESP_ERR_INVALID_ARG = 0x102
    ESP_ERR_INVALID_STATE = 0x103


class PairingStatus(Code):
    """Why pairing failed: 78 plus an index of the stack's SMP failures, or a word of the proxy."""

    PROXY_NOT_CONNECTED = -1
    ESP_AUTH_SMP_PASSKEY_FAIL = 78
    ESP_AUTH_SMP_OOB_FAIL = 79
    ESP_AUTH_SMP_PAIR_AUTH_FAIL = 80
    ESP_AUTH_SMP_CONFIRM_VALUE_FAIL = 81
    ESP_AUTH_SMP_PAIR_NOT_SUPPORT = 82
    ESP_AUTH_SMP_ENC_KEY_SIZE = 83
    ESP_AUTH_SMP_INVALID_CMD = 84
    ESP_AUTH_SMP_UNKNOWN_ERR = 85
    ESP_AUTH_SMP_REPEATED_ATTEMPT = 86
    ESP_AUTH_SMP_INVALID_PARAMETERS = 87
    ESP_AUTH_SMP_DHKEY_CHK_FAIL = 88
    ESP_AUTH_SMP_NUM_COMP_FAIL = 89
    ESP_AUTH_SMP_BR_PAIRING_IN_PROGRESS = 90
    ESP_AUTH_SMP_XTRANS_DERIVE_NOT_ALLOW = 91
    ESP_AUTH_SMP_INTERNAL_ERR = 92
    ESP_AUTH_SMP_UNKNOWN_IO = 93
    ESP_AUTH_SMP_INIT_FAIL = 94
    ESP_AUTH_SMP_CONFIRM_FAIL = 95
    ESP_AUTH_SMP_BUSY = 96
    ESP_AUTH_SMP_ENC_FAIL = 97
    ESP_AUTH_SMP_STARTED = 98
    ESP_AUTH_SMP_RSP_TIMEOUT = 99
    ESP_AUTH_SMP_DIV_NOT_AVAIL = 100
    ESP_AUTH_SMP_UNSPEC_ERR = 101
    ESP_AUTH_SMP_CONN_TOUT = 102


_R, _K = ConnectionReason, ErrorKind

KIND_OF_REASON: Mapping[ConnectionReason, ErrorKind] = MappingProxyType(
    {
        _R.ESP_GATT_CONN_UNKNOWN: _K.DISCONNECTED,
        _R.ESP_GATT_CONN_L2C_FAILURE: _K.TRANSIENT,
        _R.HCI_UNKNOWN_CONNECTION: _K.TRANSIENT,
        _R.HCI_AUTHENTICATION_FAILURE: _K.SECURITY,
        _R.HCI_PIN_OR_KEY_MISSING: _K.SECURITY,
        _R.ESP_GATT_CONN_TIMEOUT: _K.LINK_TIMEOUT,
        _R.HCI_CONNECTION_LIMIT_EXCEEDED: _K.CONTROLLER_BUSY,
        _R.HCI_COMMAND_DISALLOWED: _K.TRANSIENT,
        _R.HCI_LIMITED_RESOURCES: _K.CONTROLLER_BUSY,
        _R.ESP_GATT_CONN_TERMINATE_PEER_USER: _K.LINK_TERMINATED,
        _R.HCI_REMOTE_LOW_RESOURCES: _K.LINK_TERMINATED,
        _R.HCI_REMOTE_POWER_OFF: _K.LINK_TERMINATED,
        _R.ESP_GATT_CONN_TERMINATE_LOCAL_HOST: _K.LINK_TERMINATED,
        _R.HCI_UNSUPPORTED_REMOTE_FEATURE: _K.TRANSIENT,
        _R.HCI_UNSPECIFIED_ERROR: _K.TRANSIENT,
        _R.ESP_GATT_CONN_LMP_TIMEOUT: _K.LINK_TIMEOUT,
        _R.HCI_INSTANT_PASSED: _K.TRANSIENT,
        _R.HCI_DIFFERENT_TRANSACTION_COLLISION: _K.TRANSIENT,
        _R.HCI_UNACCEPTABLE_CONNECTION_PARAMETERS: _K.TRANSIENT,
        _R.HCI_MIC_FAILURE: _K.SECURITY,
        _R.ESP_GATT_CONN_FAIL_ESTABLISH: _K.ESTABLISH_FAILED,
        _R.ESP_GATT_NO_RESOURCES: _K.TRANSIENT,
        _R.ESP_GATT_ERROR: _K.STACK_ERROR,
        _R.ESP_GATT_CONN_CONN_CANCEL: _K.CONNECT_CANCELLED,
        _R.ESP_GATT_CONN_NONE: _K.TRANSIENT,
    }
)
"""Reason -> kind, for a link that did not open or went down; any other reason is `OTHER`."""

_S = GattStatus

SECURITY_STATUSES = frozenset(
    {
        _S.ESP_GATT_INSUF_AUTHENTICATION,
        _S.ESP_GATT_INSUF_AUTHORIZATION,
        _S.ESP_GATT_INSUF_KEY_SIZE,
        _S.ESP_GATT_INSUF_ENCRYPTION,
        _S.ESP_GATT_AUTH_FAIL,
        _S.ESP_GATT_ENCRYPTED_NO_MITM,
        _S.ESP_GATT_NOT_ENCRYPTED,
    }
)
"""Statuses that ask for pairing."""

TRANSIENT_STATUSES = frozenset(
    {
        _S.PROXY_NO_MEMORY,
        _S.PROXY_NOT_CONNECTED,
        _S.ESP_GATT_BUSY,
        _S.ESP_GATT_CMD_STARTED,
        _S.ESP_GATT_PENDING,
        _S.ESP_GATT_MORE,
        _S.ESP_GATT_CONGESTED,
        _S.ESP_GATT_CANCEL,
        _S.ESP_GATT_PRC_IN_PROGRESS,
        _S.ESP_ERR_NO_MEM,
    }
)
"""Statuses that a later try may not see."""

STALE_CACHE_STATUSES = frozenset(
    {
        _S.ESP_GATT_INVALID_HANDLE,
        _S.ESP_GATT_WRITE_NOT_PERMIT,
        _S.ESP_GATT_NOT_FOUND,
    }
)
"""Statuses that a service table from before a firmware update brings about."""

NOT_ATT_STATUSES = frozenset(
    {
        _S.PROXY_NO_MEMORY,
        _S.PROXY_NOT_CONNECTED,
        _S.ESP_ERR_NO_MEM,
        _S.ESP_ERR_INVALID_ARG,
        _S.ESP_ERR_INVALID_STATE,
    }
)
"""Statuses of the proxy itself, which no peripheral sent."""


KIND_OF_PAIRING: Mapping[PairingStatus, ErrorKind] = MappingProxyType(
    {
        PairingStatus.PROXY_NOT_CONNECTED: _K.DISCONNECTED,
        PairingStatus.ESP_AUTH_SMP_CONN_TOUT: _K.DISCONNECTED,
        PairingStatus.ESP_AUTH_SMP_RSP_TIMEOUT: _K.LINK_TIMEOUT,
        PairingStatus.ESP_AUTH_SMP_BUSY: _K.TRANSIENT,
        PairingStatus.ESP_AUTH_SMP_STARTED: _K.TRANSIENT,
        PairingStatus.ESP_AUTH_SMP_INIT_FAIL: _K.TRANSIENT,
        PairingStatus.ESP_AUTH_SMP_INTERNAL_ERR: _K.TRANSIENT,
    }
)
"""Why pairing failed where neither side refused it, so that nothing is said of a bond."""


def kind_of_pairing(status: PairingStatus) -> ErrorKind:
    """Return the kind of failure that a pairing which failed so stands for."""
    return KIND_OF_PAIRING.get(status, ErrorKind.SECURITY)


def kind_of_reason(reason: ConnectionReason) -> ErrorKind:
    """Return the kind of failure that a connection reason stands for."""
    return KIND_OF_REASON.get(reason, ErrorKind.OTHER)


def kind_of_status(status: GattStatus) -> ErrorKind:
    """Return the kind of failure that a GATT status stands for."""
    if status in SECURITY_STATUSES:
        return ErrorKind.SECURITY
    if status is GattStatus.ESP_ERR_INVALID_STATE:
        return ErrorKind.DISCONNECTED
    return ErrorKind.TRANSIENT if status in TRANSIENT_STATUSES else ErrorKind.GATT
