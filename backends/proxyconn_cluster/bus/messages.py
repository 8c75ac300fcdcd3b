"""What a message is: JSON of a typed structure, with its version and its sender in it.

Whoever gets a message of another major version, or of a minor one in which its kind meant something
else, says whose it is; fields that are not known are passed over, so that a minor version may add
some. What travels as a proxy's own bytes has the major version in its subject, and may have it in a
header.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Final, TypeVar

import msgspec

MAJOR, MINOR = 1, 1
"""Version of the messages; the major one is in every subject too.

1.1: owners speak on subjects of their own, and what they see is not in their heartbeats any more.
"""

VERSION_HEADER: Final = "Proxyconn-Version"
DEADLINE_HEADER: Final = "Proxyconn-Deadline"
"""Seconds that were left when the request was sent: clocks of machines differ, lengths do not."""

SENDER_HEADER: Final = "Proxyconn-Sender"

MOST_BYTES: Final = 768 * 1024
"""Longest message that is read; NATS itself carries 1 MiB at most by default.

The longest there are tell of all radios of an owner, some 150 bytes each.
"""

MOST_LEFT: Final = 24 * 3600.0
"""Longest time that a deadline may leave, seconds."""


class MessageError(ValueError):
    """A message cannot be used; the text says whose, and why."""


class OtherVersionError(MessageError):
    """A message is of another version; the text says who is to be updated."""


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """What every message has.

    Attributes:
        OLDEST: the first minor version in which messages of this kind mean what they mean now.
        v: major and minor version of who made it.
        sender: who made it.
    """

    OLDEST: ClassVar[int] = 0

    v: tuple[int, int] = (MAJOR, MINOR)
    sender: str = ""


MessageT = TypeVar("MessageT", bound=Message)

_ENCODER: Final = msgspec.json.Encoder()


def encode(message: Message) -> bytes:
    """Return a message as bytes."""
    return _ENCODER.encode(message)


def decode(data: bytes, kind: type[MessageT]) -> MessageT:
    """Return a message from bytes.

    Raises:
        OtherVersionError: it is of another major version, or of a minor one that is too old.
        MessageError: it is no message of this kind.
    """
    if len(data) > MOST_BYTES:
        raise MessageError(f"a message of {len(data)} bytes is too long: {MOST_BYTES} at most")
    try:
        message = msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, RecursionError) as exc:
        # The form of another version is not known; its version and its sender are.
        _check_version(_head(data), kind.OLDEST)
        raise MessageError(f"no {kind.__name__}: {exc}") from None
    _check_version(message, kind.OLDEST)
    return message


def _head(data: bytes) -> Message:
    try:
        return msgspec.json.decode(data, type=Message)
    except (msgspec.DecodeError, RecursionError):
        return Message()


def _check_version(message: Message, oldest: int) -> None:
    major, minor = message.v
    if major != MAJOR:
        raise OtherVersionError(_other_version(message.sender, major))
    if minor < oldest:
        raise OtherVersionError(_too_old(message.sender, minor, oldest))


def _other_version(sender: str, major: int) -> str:
    older = "it" if major < MAJOR else "this program"
    return (
        f"{_who(sender)} speaks version {major} of the cluster's messages, and this program "
        f"version {MAJOR}: update proxyconn where {older} runs"
    )


def _too_old(sender: str, minor: int, oldest: int) -> str:
    return (
        f"{_who(sender)} speaks version {MAJOR}.{minor} of the cluster's messages, and this "
        f"program needs {MAJOR}.{oldest}: update proxyconn where it runs"
    )


def _who(sender: str) -> str:
    return repr(sender[:64]) if sender else "somebody in the cluster"


def headers(sender: str, left: float | None = None) -> dict[str, str]:
    """Return the headers of a message.

    Args:
        sender: who sends it.
        left: seconds within which an answer is of use; None for a message that wants none.
    """
    found = {VERSION_HEADER: f"{MAJOR}.{MINOR}", SENDER_HEADER: sender}
    if left is not None:
        found[DEADLINE_HEADER] = f"{max(left, 0.0):.3f}"
    return found


def check_headers(found: Mapping[str, str] | None) -> None:
    """Raise OtherVersionError if headers are of another major version; none at all are fine."""
    major = (found or {}).get(VERSION_HEADER, str(MAJOR)).partition(".")[0]
    if major.isascii() and major.isdigit() and len(major) < 6 and int(major) != MAJOR:
        raise OtherVersionError(_other_version((found or {}).get(SENDER_HEADER, ""), int(major)))


def seconds_left(found: Mapping[str, str] | None, otherwise: float) -> float:
    """Return how many seconds the sender of a request waits.

    Args:
        found: its headers.
        otherwise: what to return where they say nothing of use.
    """
    try:
        left = float((found or {})[DEADLINE_HEADER])
    except (KeyError, ValueError):
        return otherwise
    return left if 0.0 <= left <= MOST_LEFT else otherwise
