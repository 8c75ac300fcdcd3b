"""The errors of proxyconn, by who caused them.

BleakError
└── ProxyconnError              kind, code, attempts, source
    ├── BleakNotFoundError              raised by `establish_connection`: the device was not found
    ├── BleakOutOfConnectionSlotsError  ... no radio had a slot left
    ├── BleakAbortedError               ... the link was cut or never came up
    ├── BleakConnectionError            ... anything else
    └── RadioError                      raised by a radio, for one attempt or operation
        ├── OutOfSlotsError             the proxy's slots are all taken
        ├── LinkError                   a link did not open, or was lost
        ├── NotConnectedError           there is no link to use
        ├── GATTError                   the peripheral or the stack refused (BleakGATTProtocolError)
        ├── PairingError                pairing failed
        ├── RadioUnavailableError       the proxy is gone, not ready, or its key is wrong
        │   └── InvalidKeyError         what was given as a key cannot be one (also a ValueError)
        └── UnsupportedError            the proxy's firmware or configuration cannot do this
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Any, Self

from bleak.exc import BleakError, BleakGATTProtocolError, BleakGATTProtocolErrorCode

from proxyconn.models import Allocations


class ErrorKind(StrEnum):
    """What went wrong, in the terms that decide on the next try."""

    TIMEOUT = "timeout"
    """No answer in time."""
    OUT_OF_SLOTS = "out_of_slots"
    """Every connection slot of the radio is taken."""
    CONNECT_CANCELLED = "connect_cancelled"
    """The radio's own stack cancelled the attempt (ESP_GATT_CONN_CONN_CANCEL)."""
    CONTROLLER_BUSY = "controller_busy"
    """The controller has no room for a link just now (HCI 0x09, 0x0d)."""
    DEVICE_NOT_FOUND = "device_not_found"
    """The radio does not know the device."""
    NOT_FOUND = "not_found"
    """Something the attempt needed was not found."""
    ESTABLISH_FAILED = "establish_failed"
    """The link was never established (HCI 0x3e)."""
    LINK_TIMEOUT = "link_timeout"
    """The link's supervision or response time ran out (HCI 0x08, 0x22)."""
    STACK_ERROR = "stack_error"
    """The stack's generic error (ESP_GATT_ERROR)."""
    LINK_TERMINATED = "link_terminated"
    """One side ended the link (HCI 0x13 to 0x16)."""
    TRANSIENT = "transient"
    """A fault of the moment with no kind of its own."""
    SECURITY = "security"
    """Authentication, authorization or encryption is missing or was refused."""
    GATT = "gatt"
    """The peripheral or the stack refused an attribute operation."""
    DBUS = "dbus"
    """BlueZ answered with an error."""
    DBUS_UNKNOWN_OBJECT = "dbus_unknown_object"
    """BlueZ no longer has the device."""
    BUS_CLOSED = "bus_closed"
    """The D-Bus socket reached its end."""
    BROKEN_PIPE = "broken_pipe"
    """The D-Bus socket broke while writing."""
    SERVICES_CHANGED = "services_changed"
    """The services changed while they were being read."""
    DISCONNECTED = "disconnected"
    """The link is down."""
    RADIO_UNAVAILABLE = "radio_unavailable"
    """The proxy or adapter cannot be used now."""
    RADIO_BUSY = "radio_busy"
    """Every radio that reaches the device was busy with other links; nothing was tried."""
    FLEET_CLOSED = "fleet_closed"
    """The fleet that found the device is closed."""
    IN_USE = "in_use"
    """Another client of this program is connected to the device, or connecting."""
    UNSUPPORTED = "unsupported"
    """The proxy or adapter can never do this as it is."""
    OTHER = "other"
    """Any other failure of Bluetooth."""


class Code(IntEnum):
    """A number that a radio reports; one without a name is kept, and named after itself."""

    @classmethod
    def _missing_(cls, value: object) -> Self | None:
        if not isinstance(value, int):
            return None
        member = int.__new__(cls, value)
        member._name_ = f"{cls.__name__}_{value}"
        member._value_ = value
        return member

    def __str__(self) -> str:
        number = f"{self.value:#04x}" if self.value >= 0 else str(self.value)
        return f"{self.name} ({number})"


class ProxyconnError(BleakError):
    """Root of the errors of proxyconn.

    Attributes:
        kind: what went wrong.
        code: the ESP, HCI or ATT code that said so, or None.
        attempts: how many attempts were made; 0 for the error of one operation.
        source: the radio the failure happened on, or None.
        allocations: that radio's slot report when it happened, or None.
        elapsed: seconds from the request to the failure, or None.
    """

    default_kind = ErrorKind.OTHER

    def __init__(
        self,
        *args: object,
        kind: ErrorKind | None = None,
        code: IntEnum | None = None,
        attempts: int = 0,
        source: str | None = None,
        allocations: Allocations | None = None,
        elapsed: float | None = None,
    ) -> None:
        # GATTError also inherits bleak's own error, whose initialiser takes other arguments.
        BleakError.__init__(self, *args)
        self.kind = kind or self.default_kind
        self._code = code
        self.attempts = attempts
        self.source = source
        self.allocations = allocations
        self.elapsed = elapsed

    @property
    def code(self) -> IntEnum | None:
        """The ESP, HCI or ATT code behind this error, or None."""
        return self._code


class BleakNotFoundError(ProxyconnError):
    """The device was not found, or never answered."""

    default_kind = ErrorKind.DEVICE_NOT_FOUND


class BleakOutOfConnectionSlotsError(ProxyconnError):
    """No radio that reaches the device has a connection slot left."""

    default_kind = ErrorKind.OUT_OF_SLOTS


class BleakAbortedError(ProxyconnError):
    """The link was cut or never came up: interference, range, or a busy peripheral."""

    default_kind = ErrorKind.LINK_TERMINATED


class BleakConnectionError(ProxyconnError):
    """The connection failed for a reason that none of the other three names."""


class RadioError(ProxyconnError):
    """One attempt or operation on one radio failed."""


class OutOfSlotsError(RadioError):
    """Every connection slot of the proxy is taken."""

    default_kind = ErrorKind.OUT_OF_SLOTS


class LinkError(RadioError):
    """A link did not open, or was lost while something waited on it."""


class NotConnectedError(RadioError):
    """The operation needs a link and there is none."""

    default_kind = ErrorKind.DISCONNECTED


class GATTError(RadioError, BleakGATTProtocolError):
    """The peripheral or the stack answered an attribute operation with an error.

    Args:
        message: what failed, and why.
        status: ATT error code (Core Specification vol 3 F 3.4.1.1) or ESP_GATT_* status.
        kind: `GATT`, `SECURITY` or `TRANSIENT`.
        source: name of the radio.
    """

    default_kind = ErrorKind.GATT

    def __init__(
        self, message: str, status: int, *, kind: ErrorKind | None = None, source: str | None = None
    ) -> None:
        super().__init__(status, message, kind=kind, source=source)

    @property
    def code(self) -> BleakGATTProtocolErrorCode:
        """The status as bleak's enum; ESP_GATT_* values keep their number."""
        return BleakGATTProtocolErrorCode(self.args[0])

    def __reduce__(self) -> tuple[Any, ...]:
        status, message = self.args
        return type(self), (message, status), self.__dict__

    def __str__(self) -> str:
        return str(self.args[1])


class PairingError(RadioError):
    """Pairing or unpairing failed; of kind `SECURITY` if either side refused it."""

    default_kind = ErrorKind.SECURITY


class RadioUnavailableError(RadioError):
    """The proxy or adapter cannot be used now."""

    default_kind = ErrorKind.RADIO_UNAVAILABLE


class InvalidKeyError(RadioUnavailableError, ValueError):
    """What was given as an encryption key is not base64 of 32 bytes."""


class UnsupportedError(RadioError):
    """The proxy or adapter can never do this with its present firmware and configuration."""

    default_kind = ErrorKind.UNSUPPORTED


class AttemptTimeoutError(TimeoutError):
    """An attempt to connect took too long.

    Attributes:
        source: the radio it was made on.
    """

    def __init__(self, text: str, source: str) -> None:
        super().__init__(text)
        self.source = source

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (*self.args, self.source)
