"""What keeps a session from coming up, in a sentence that says what to do about it."""

from __future__ import annotations

from dataclasses import dataclass

from aioesphomeapi.core import (
    APIConnectionError,
    BadMACAddressAPIError,
    BadNameAPIError,
    EncryptionHelloAPIError,
    EncryptionPlaintextAPIError,
    InvalidEncryptionKeyAPIError,
    RequiresEncryptionAPIError,
    ResolveAPIError,
    SocketAPIError,
    TimeoutAPIError,
)

from proxyconn.radio import RadioState


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a proxy cannot be used.

    Attributes:
        state: any but CONNECTING and READY.
        text: what is wrong and what to do, without the key.
        lasting: whether it stays so until somebody changes something.
    """

    state: RadioState
    text: str
    lasting: bool = False


_KEY, _GONE = RadioState.WRONG_KEY, RadioState.GONE

_PROBLEMS: tuple[tuple[type[Exception], Problem], ...] = (
    (
        RequiresEncryptionAPIError,
        Problem(_KEY, "it wants an encryption key and none was given; give its noise_psk", True),
    ),
    (
        EncryptionPlaintextAPIError,
        Problem(
            _KEY,
            "it does not encrypt although a key was given, and is not spoken to in the clear; "
            "set `api: encryption:` on the proxy or give no key for it",
            True,
        ),
    ),
    (
        EncryptionHelloAPIError,
        Problem(
            _GONE,
            "it closed the connection without a word; it may have as many API clients as it can "
            "serve (5 on an ESP32), or not encrypt: then give no key for it",
        ),
    ),
    (
        InvalidEncryptionKeyAPIError,
        Problem(_KEY, "it refused the encryption key; compare it with the proxy's YAML", True),
    ),
    (
        BadNameAPIError,
        Problem(_GONE, "another device answers at its address; check host and name", True),
    ),
    (
        ResolveAPIError,
        Problem(_GONE, "its host name cannot be resolved; check it, or give an IP address"),
    ),
    (
        TimeoutAPIError,
        Problem(_GONE, "it does not answer; check that it is powered and on this network"),
    ),
    (
        SocketAPIError,
        Problem(_GONE, "no connection to its port; check host and port, and that `api:` is on"),
    ),
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
        f"{_mac_text(expected)}; check the host, or start anew if the proxy was replaced",
        True,
    )


def other_name(expected: str, found: str) -> Problem:
    """Return what is wrong when a device has another name than the proxy that is meant."""
    return Problem(
        _GONE,
        f"another device answers at its address: {found} instead of {expected}; "
        "check host and name",
        True,
    )


def _mac_text(mac: str) -> str:
    digits = mac.replace(":", "").upper()
    return ":".join(digits[i : i + 2] for i in range(0, len(digits), 2))


def problem_of(error: Exception, expected_mac: str | None = None) -> Problem:
    """Return what is wrong when a session did not begin, but ended with `error`."""
    if isinstance(error, BadMACAddressAPIError):
        return other_device(expected_mac or "", error.received_mac)
    for type_, problem in _PROBLEMS:
        if isinstance(error, type_):
            return problem
    if isinstance(error, APIConnectionError):
        return Problem(_GONE, f"the session failed: {error}")
    return Problem(_GONE, f"the session failed: {error!r}")
