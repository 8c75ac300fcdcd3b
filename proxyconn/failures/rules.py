"""The one table that says what each kind of failure costs, and what it is called at the end."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum, auto
from types import MappingProxyType

from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakDBusError,
    BleakDeviceNotFoundError,
    BleakError,
    BleakGATTProtocolError,
)

from proxyconn.errors import (
    AttemptTimeoutError,
    BleakAbortedError,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    ProxyconnError,
)
from proxyconn.failures.foreign_errors import UNKNOWN_OBJECT, kind_of_words

BLEAK_RETRY_EXCEPTIONS = (AttributeError, BleakError, EOFError, BrokenPipeError, TimeoutError)
"""What `establish_connection` and `retry_bluetooth_connection_error` treat as worth another try."""

DEFAULT_WAIT = 0.1
"""Seconds before the next try after a failure that the table does not know."""


class Counter(Enum):
    """Which budget a failure is taken from."""

    TIMEOUT = auto()
    CONNECT_ERROR = auto()
    TRANSIENT = auto()
    FINAL = auto()
    """No other try can help."""


@dataclass(frozen=True, slots=True)
class Rule:
    """What a kind of failure costs.

    Attributes:
        counter: the budget it is taken from.
        wait: seconds before the next try.
        raised: the error once the budget is used up.
        path_failed: whether the radio that was tried is the one to blame.
        slot_may_end_wait: whether a slot reported free ends the wait early.
    """

    counter: Counter
    wait: float
    raised: type[ProxyconnError]
    path_failed: bool = True
    slot_may_end_wait: bool = False


_CONNECT, _TRANSIENT = Counter.CONNECT_ERROR, Counter.TRANSIENT

RULES: Mapping[ErrorKind, Rule] = MappingProxyType(
    {
        ErrorKind.TIMEOUT: Rule(Counter.TIMEOUT, 0.25, BleakNotFoundError),
        ErrorKind.OUT_OF_SLOTS: Rule(
            _TRANSIENT, 4.0, BleakOutOfConnectionSlotsError, slot_may_end_wait=True
        ),
        ErrorKind.CONNECT_CANCELLED: Rule(_TRANSIENT, 4.0, BleakOutOfConnectionSlotsError),
        ErrorKind.CONTROLLER_BUSY: Rule(_TRANSIENT, 4.0, BleakOutOfConnectionSlotsError),
        ErrorKind.DEVICE_NOT_FOUND: Rule(_TRANSIENT, 4.0, BleakNotFoundError),
        ErrorKind.NOT_FOUND: Rule(_CONNECT, 0.1, BleakNotFoundError),
        ErrorKind.ESTABLISH_FAILED: Rule(_TRANSIENT, 0.5, BleakAbortedError),
        ErrorKind.LINK_TIMEOUT: Rule(_CONNECT, 0.5, BleakAbortedError),
        ErrorKind.STACK_ERROR: Rule(_CONNECT, 1.0, BleakAbortedError),
        ErrorKind.LINK_TERMINATED: Rule(_TRANSIENT, 0.25, BleakAbortedError),
        ErrorKind.TRANSIENT: Rule(_TRANSIENT, 0.25, BleakAbortedError),
        ErrorKind.DBUS: Rule(_CONNECT, 0.25, BleakConnectionError),
        ErrorKind.DBUS_UNKNOWN_OBJECT: Rule(_CONNECT, 0.25, BleakNotFoundError),
        ErrorKind.BUS_CLOSED: Rule(_TRANSIENT, 0.25, BleakConnectionError),
        ErrorKind.BROKEN_PIPE: Rule(_TRANSIENT, 0.0, BleakConnectionError),
        ErrorKind.SERVICES_CHANGED: Rule(_TRANSIENT, 0.1, BleakConnectionError, path_failed=False),
        ErrorKind.DISCONNECTED: Rule(_CONNECT, 0.0, BleakConnectionError),
        ErrorKind.SECURITY: Rule(_CONNECT, 0.1, BleakConnectionError, path_failed=False),
        ErrorKind.GATT: Rule(_CONNECT, 0.1, BleakConnectionError, path_failed=False),
        ErrorKind.RADIO_UNAVAILABLE: Rule(_CONNECT, 0.1, BleakConnectionError),
        ErrorKind.RADIO_BUSY: Rule(_TRANSIENT, 0.25, BleakConnectionError, path_failed=False),
        ErrorKind.FLEET_CLOSED: Rule(Counter.FINAL, 0.0, BleakConnectionError, path_failed=False),
        ErrorKind.IN_USE: Rule(Counter.FINAL, 0.0, BleakConnectionError, path_failed=False),
        ErrorKind.UNSUPPORTED: Rule(Counter.FINAL, 0.0, BleakConnectionError),
        ErrorKind.OTHER: Rule(_CONNECT, DEFAULT_WAIT, BleakConnectionError, path_failed=False),
    }
)
"""Kind -> what it costs. Complete: a kind without a rule is a defect."""


@dataclass(frozen=True, slots=True)
class Failure:
    """A classified error: its kind, the code behind it, and the radio it came from."""

    kind: ErrorKind
    code: IntEnum | None = None
    source: str | None = None

    @property
    def rule(self) -> Rule:
        """What this failure costs."""
        return RULES[self.kind]


def classify(exc: BaseException, names: Iterable[str] = ()) -> Failure | None:
    """Classify an error by its type and number, and only a foreign one by its words.

    Args:
        exc: the error.
        names: names of the device, which must not be taken for words of the error.

    Returns:
        The failure, or None if no other try can be justified by it.
    """
    match exc:
        case ProxyconnError():
            return Failure(exc.kind, exc.code, exc.source)
        case AttemptTimeoutError():
            return Failure(ErrorKind.TIMEOUT, source=exc.source)
        case BleakGATTProtocolError():
            return Failure(ErrorKind.GATT, exc.code)
        case BleakDBusError():
            return Failure(_dbus_kind(exc, names))
        case BleakCharacteristicNotFoundError():
            return Failure(ErrorKind.OTHER)
        case TimeoutError() if kind_of_words(str(exc), names) is ErrorKind.OUT_OF_SLOTS:
            # bleak-esphome waits for a slot and says so in the words of a TimeoutError.
            return Failure(ErrorKind.OUT_OF_SLOTS)
        case BleakError() if not isinstance(exc, BleakDeviceNotFoundError):
            return Failure(kind_of_words(str(exc), names) or ErrorKind.OTHER)
    kind = next((kind for type_, kind in _KIND_OF_TYPE if isinstance(exc, type_)), None)
    return Failure(kind) if kind else None


_KIND_OF_TYPE: tuple[tuple[type[BaseException], ErrorKind], ...] = (
    (TimeoutError, ErrorKind.TIMEOUT),
    (BleakDeviceNotFoundError, ErrorKind.DEVICE_NOT_FOUND),
    (BrokenPipeError, ErrorKind.BROKEN_PIPE),
    (EOFError, ErrorKind.BUS_CLOSED),
    (KeyError, ErrorKind.SERVICES_CHANGED),
    (AttributeError, ErrorKind.OTHER),
)


def _dbus_kind(exc: BleakDBusError, names: Iterable[str]) -> ErrorKind:
    if exc.dbus_error == UNKNOWN_OBJECT:
        return ErrorKind.DBUS_UNKNOWN_OBJECT
    worded = kind_of_words(exc.dbus_error_details or "", names)
    if worded in (None, ErrorKind.NOT_FOUND, ErrorKind.DISCONNECTED):
        return ErrorKind.DBUS
    return worded


def calculate_backoff_time(exc: BaseException) -> float:
    """Return the seconds to wait before trying again after `exc`."""
    failure = classify(exc)
    return failure.rule.wait if failure else DEFAULT_WAIT
