"""Errors, as messages and back: whoever catches one gets the class, kind and code it had."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum
from types import MappingProxyType
from typing import Final

import msgspec
from bleak.exc import BleakDBusError, BleakError, BleakGATTProtocolError

from proxyconn import errors
from proxyconn.errors import AttemptTimeoutError, Code, ErrorKind, GATTError, ProxyconnError
from proxyconn.failures.rules import classify
from proxyconn.models import Allocations

MOST_TEXT: Final = 2000
"""Characters of an error's text that are told."""


class Failed(msgspec.Struct, frozen=True):
    """An error.

    Attributes:
        type: name of its class.
        text: what it says.
        kind: what went wrong, as `ErrorKind` has it.
        code: the number behind it; None without one.
        code_type: name of the enumeration that the number is of.
        source: the radio it happened on.
        attempts, elapsed: as in `ProxyconnError`.
        slots: slot report of the radio: name, slots, free, allocated.
    """

    type: str
    text: str
    kind: str = ErrorKind.OTHER.value
    code: int | None = None
    code_type: str = ""
    source: str | None = None
    attempts: int = 0
    elapsed: float | None = None
    slots: tuple[str, int, int, list[str]] | None = None


def told_failure(error: BaseException) -> Failed:
    """Return an error as it is told."""
    text = str(error)[:MOST_TEXT]
    if isinstance(error, ProxyconnError):
        code, slots = error.code, error.allocations
        return Failed(
            type(error).__name__,
            text,
            error.kind,
            None if code is None else int(code),
            "" if code is None else type(code).__name__,
            error.source,
            error.attempts,
            error.elapsed,
            (slots.adapter, slots.slots, slots.free, slots.allocated) if slots else None,
        )
    failure = classify(error)
    kind = failure.kind if failure else ErrorKind.OTHER
    source = error.source if isinstance(error, AttemptTimeoutError) else None
    if isinstance(error, BleakGATTProtocolError):
        return Failed(BleakGATTProtocolError.__name__, text, kind, int(error.code))
    if isinstance(error, BleakDBusError):
        return Failed(
            BleakDBusError.__name__,
            error.dbus_error_details or "",
            kind.value,
            source=error.dbus_error,
        )
    name = next((name for type_, name in _PLAIN if isinstance(error, type_)), "")
    return Failed(name, text, kind.value, source=source)


_PLAIN: Final = (
    (AttemptTimeoutError, "AttemptTimeoutError"),
    (TimeoutError, "TimeoutError"),
    (BleakError, "BleakError"),
    (ValueError, "ValueError"),
)


def error_of(failed: Failed) -> Exception:
    """Return the error that was told; one of an unknown class is a RadioError."""
    if make := _FOREIGN.get(failed.type):
        return make(failed)
    kind = _kind(failed.kind)
    if failed.type == GATTError.__name__ and failed.code is not None:
        return GATTError(failed.text, failed.code, kind=kind, source=failed.source)
    found = getattr(errors, failed.type, None)
    known = isinstance(found, type) and issubclass(found, ProxyconnError) and found is not GATTError
    made: type[ProxyconnError] = found if known else errors.RadioError  # type: ignore[assignment]
    return made(
        failed.text,
        kind=kind,
        code=_code(failed),
        attempts=failed.attempts,
        source=failed.source,
        elapsed=failed.elapsed,
        allocations=Allocations(*failed.slots) if failed.slots else None,
    )


_FOREIGN: Final = MappingProxyType[str, Callable[[Failed], Exception]](
    {
        "AttemptTimeoutError": lambda one: AttemptTimeoutError(one.text, one.source or ""),
        "TimeoutError": lambda one: TimeoutError(one.text),
        "BleakError": lambda one: BleakError(one.text),
        "ValueError": lambda one: ValueError(one.text),
        "BleakDBusError": lambda one: BleakDBusError(one.source or "", [one.text]),
        "BleakGATTProtocolError": lambda one: BleakGATTProtocolError(one.code or 0),
    }
)


def _kind(text: str) -> ErrorKind:
    try:
        return ErrorKind(text)
    except ValueError:
        return ErrorKind.OTHER


def _code(failed: Failed) -> IntEnum | None:
    """Return a number as the enumeration that it is of, if this program has that."""
    if failed.code is None:
        return None
    for kind in Code.__subclasses__():
        if kind.__name__ == failed.code_type:
            return kind(failed.code)
    return UnknownCode(failed.code)


class UnknownCode(Code):
    """A number of an enumeration that this program does not have."""
