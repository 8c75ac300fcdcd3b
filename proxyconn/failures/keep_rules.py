"""What an error means to a connection that is kept: go on, look anew, or give up and say so.

A connection that is kept outlives whatever Bluetooth, a bus or a proxy does. It ends by an error
only if trying again cannot help: the caller's code is wrong, or the fleet has been closed.
"""

from __future__ import annotations

from collections.abc import Iterator

from bleak.exc import (
    BleakCharacteristicNotFoundError,
    BleakError,
    BleakGATTProtocolError,
    BleakGATTProtocolErrorCode,
)

from proxyconn.errors import ErrorKind, ProxyconnError

DEFECTS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    ImportError,
    LookupError,
    NameError,
    NotImplementedError,
    TypeError,
    ValueError,
)
"""What Python raises where code is wrong. Everything else may be better the next time."""

STALE_HANDLE_CODES = frozenset(
    {
        BleakGATTProtocolErrorCode.INVALID_HANDLE,
        BleakGATTProtocolErrorCode.READ_NOT_PERMITTED,
        BleakGATTProtocolErrorCode.WRITE_NOT_PERMITTED,
        BleakGATTProtocolErrorCode.REQUEST_NOT_SUPPORTED,
        BleakGATTProtocolErrorCode.ATTRIBUTE_NOT_FOUND,
    }
)
"""ATT errors (Core Specification vol 3 F 3.4.1.1) of a handle that is none, or another attribute's:
what a table of services from before a firmware update brings about."""


def ends_keeping(exc: BaseException) -> bool:
    """Whether an error is the caller's to mend, so that no other try can help."""
    return any(_is_defect(one) or _is_of_closed_fleet(one) for one in _leaves(exc))


def means_stale_services(exc: BaseException) -> bool:
    """Whether an error may come from a table of services that is no longer the device's."""
    return any(_is_of_stale_services(one) for one in _leaves(exc))


def _is_defect(exc: BaseException) -> bool:
    return isinstance(exc, DEFECTS) and not isinstance(exc, BleakError)


def _is_of_closed_fleet(exc: BaseException) -> bool:
    return isinstance(exc, ProxyconnError) and exc.kind is ErrorKind.FLEET_CLOSED


def _is_of_stale_services(exc: BaseException) -> bool:
    if isinstance(exc, BleakGATTProtocolError):
        return exc.code in STALE_HANDLE_CODES
    return isinstance(exc, BleakCharacteristicNotFoundError)


def _leaves(exc: BaseException) -> Iterator[BaseException]:
    """Yield the errors that a group is made of, or the one error itself."""
    if isinstance(exc, BaseExceptionGroup):
        for one in exc.exceptions:
            yield from _leaves(one)
    else:
        yield exc
