"""What keeps a session from coming up, in a sentence that says what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from aioesphomeapi.core import (
    APIConnectionError,
    BadMACAddressAPIError,
    BadNameAPIError,
    EncryptionHelloAPIError,
    EncryptionPlaintextAPIError,
    InvalidAuthAPIError,
    InvalidEncryptionKeyAPIError,
    RequiresEncryptionAPIError,
    ResolveAPIError,
    SocketAPIError,
    TimeoutAPIError,
)

from proxyconn.radio import RadioState
from proxyconn_esphome.wire.native_api import NotCalledError


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a proxy cannot be used.

    Attributes:
        state: any but CONNECTING and READY.
        seen: what is wrong, without the key.
        advice: what to do; None if there is nothing to say.
        lasting: whether it stays so until somebody changes something.
        check: what of the proxy is not in order, as findings name it.
    """

    state: RadioState
    seen: str
    advice: str | None = None
    lasting: bool = False
    check: str = "session"

    @property
    def text(self) -> str:
        """What is wrong and what to do, in one sentence."""
        return f"{self.seen}; {self.advice}" if self.advice else self.seen


_KEY, _GONE = RadioState.WRONG_KEY, RadioState.GONE

NOT_A_PROXY = Problem(
    _GONE,
    "it is an ESPHome device but no Bluetooth proxy",
    lasting=True,
    check="bluetooth-proxy",
)

CLOSED = Problem(_GONE, "the session was closed", lasting=True)

NOT_HERE = Problem(
    _GONE,
    "it is not connected",
    "it calls by itself, a minute after it has lost us or up to 6 after we "
    "were not to be reached; check that it is powered, and that its YAML has "
    "`api: outgoing_connection:`",
    check="call",
)

_PROBLEMS: tuple[tuple[type[Exception], Problem], ...] = (
    (NotCalledError, NOT_HERE),
    (
        RequiresEncryptionAPIError,
        Problem(
            _KEY,
            "it wants an encryption key and none was given",
            "give the `key` that its YAML has under `api: encryption:` (`noise_psk=` in Python)",
            lasting=True,
            check="key",
        ),
    ),
    (
        EncryptionPlaintextAPIError,
        Problem(
            _KEY,
            "it does not encrypt although a key was given, and is not spoken to in the clear",
            "set `api: encryption:` on the proxy or give no key for it",
            lasting=True,
            check="encryption",
        ),
    ),
    (
        EncryptionHelloAPIError,
        Problem(
            _GONE,
            "it closed the connection without a word",
            "it may have as many API clients as it can "
            "serve (5 on an ESP32), or not encrypt: then give no key for it",
            check="encryption",
        ),
    ),
    (
        InvalidEncryptionKeyAPIError,
        Problem(
            _KEY,
            "it refused the encryption key",
            "compare it with the proxy's YAML",
            lasting=True,
            check="key",
        ),
    ),
    (
        BadNameAPIError,
        Problem(
            _GONE,
            "another device answers at its address",
            "check host and name",
            lasting=True,
            check="name",
        ),
    ),
    (
        ResolveAPIError,
        Problem(
            _GONE,
            "its host name cannot be resolved",
            "check it, or give an IP address",
            check="host-name",
        ),
    ),
    (
        TimeoutAPIError,
        Problem(
            _GONE,
            "it does not answer",
            "check that it is powered and on this network",
            check="port",
        ),
    ),
    (
        SocketAPIError,
        Problem(
            _GONE,
            "no connection to its port",
            "check host and port, and that `api:` is on",
            check="port",
        ),
    ),
)


REFUSED_PASSWORD = Problem(
    RadioState.WRONG_PASSWORD,
    "it refused the password",
    "compare it with the proxy's YAML under `api: password:`",
    lasting=True,
    check="password",
)

NO_PASSWORD = Problem(
    RadioState.WRONG_PASSWORD,
    "it wants an API password and none was given",
    "give its `password`, or better take `api: password:` out of its YAML and set `encryption:`",
    lasting=True,
    check="password",
)


def other_device(expected: str, found: str) -> Problem:
    """Return what is wrong when a device has the address of another one.

    Args:
        expected: MAC address of the proxy.
        found: MAC address of the device that answers.
    """
    return Problem(
        _GONE,
        f"another device answers at its address: {_mac_text(found)} instead of "
        f"{_mac_text(expected)}",
        "check the host, or start anew if the proxy was replaced",
        lasting=True,
        check="name",
    )


def other_name(expected: str, found: str) -> Problem:
    """Return what is wrong when a device has another name than the proxy that is meant."""
    return Problem(
        _GONE,
        f"another device answers at its address: {found} instead of {expected}",
        "check host and name",
        lasting=True,
        check="name",
    )


def _mac_text(mac: str) -> str:
    digits = mac.replace(":", "").upper()
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def problem_of(
    error: Exception, expected_mac: str | None = None, *, password_given: bool = False
) -> Problem:
    """Return what is wrong when a session did not begin, but ended with `error`."""
    if isinstance(error, InvalidAuthAPIError):
        return REFUSED_PASSWORD if password_given else NO_PASSWORD
    if isinstance(error, BadMACAddressAPIError):
        return other_device(expected_mac or "", error.received_mac)
    for type_, problem in _PROBLEMS:
        if isinstance(error, type_):
            return problem
    if isinstance(error, APIConnectionError):
        return Problem(_GONE, f"the session failed: {error}")
    return Problem(_GONE, f"the session failed: {error!r}")
