"""Frames of the native API as a proxy reads and writes them: bytes in, messages out, no I/O.

Layouts, limits and reject texts are those of ESPHome 2026.6.5, api_frame_helper_plaintext.cpp and
api_frame_helper_noise.cpp.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Final, Protocol

from proxyconn_native_api.noise import Cipher, HandshakeRejectedError, ServerHandshake

MAX_PAYLOAD: Final = 32768
"""Largest payload (plaintext) or ciphertext (Noise) that an ESP32 accepts, in bytes."""

MAX_HANDSHAKE: Final = 128
MAX_TYPE: Final = 65535
_MAX_VARINT: Final = 5
_BAD_INDICATOR: Final = "Bad indicator byte"
_INNER: Final = struct.Struct(">HH")
_OUTER: Final = struct.Struct(">BH")


@dataclass(slots=True)
class Received:
    """What came of some bytes.

    Attributes:
        messages: message id and protobuf payload of each complete frame, in order.
        reply: bytes to send at once.
        close: the connection is over, after `reply` has been sent.
    """

    messages: list[tuple[int, bytes]] = field(default_factory=list)
    reply: bytes = b""
    close: bool = False


class Frames(Protocol):
    """One connection's framing."""

    def feed(self, data: bytes) -> Received:
        """Take bytes from the client."""
        ...

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return the frame of one message."""
        ...


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


class _NeedMoreError(Exception):
    """The frame is not complete yet."""


class _BadFrameError(Exception):
    """The frame breaks the format; the proxy closes without a word."""


def _read_varint(buffer: bytearray, at: int) -> tuple[int, int]:
    """Return the varint at an offset, and the offset behind it."""
    value = 0
    for index in range(_MAX_VARINT):
        if at + index >= len(buffer):
            raise _NeedMoreError
        byte = buffer[at + index]
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            return value, at + index + 1
    raise _BadFrameError


class PlaintextFrames:
    """`00`, varint length, varint message id, protobuf."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> Received:
        """Take bytes from the client."""
        self._buffer += data
        result = Received()
        at = 0
        try:
            while at < len(self._buffer):
                if self._buffer[at] != 0:
                    # Not a valid frame: clients read the first byte and then the text.
                    result.reply = b"\x00" + _BAD_INDICATOR.encode()
                    raise _BadFrameError
                at = self._frame(at, result)
        except _NeedMoreError:
            pass
        except _BadFrameError:
            result.close = True
        del self._buffer[:at]
        return result

    def _frame(self, at: int, result: Received) -> int:
        """Read the frame at an offset; return the offset behind it."""
        length, body = _read_varint(self._buffer, at + 1)
        if length > MAX_PAYLOAD:
            raise _BadFrameError
        number, body = _read_varint(self._buffer, body)
        if number > MAX_TYPE:
            raise _BadFrameError
        if len(self._buffer) < body + length:
            raise _NeedMoreError
        result.messages.append((number, bytes(self._buffer[body : body + length])))
        return body + length

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return the frame of one message."""
        return b"\x00" + _varint(len(payload)) + _varint(number) + payload


class _State(Enum):
    HELLO = auto()
    HELLO_AFTER_OURS = auto()
    HANDSHAKE = auto()
    DATA = auto()
    FAILED = auto()


_SHAKING: Final = frozenset({_State.HELLO, _State.HELLO_AFTER_OURS, _State.HANDSHAKE})


class NoiseFrames:
    """`01`, big-endian length, then a handshake body or a ciphertext.

    Args:
        psk: 32-byte pre-shared key.
        name: node name, told to the client before its key is checked.
        mac: 12 lower-case hex digits, told likewise.
    """

    def __init__(self, psk: bytes, name: str, mac: str) -> None:
        self._psk = psk
        self._server_hello = b"\x01" + name.encode() + b"\0" + mac.encode() + b"\0"
        self._buffer = bytearray()
        self._state = _State.HELLO
        self._handshake: ServerHandshake | None = None
        self._send: Cipher | None = None
        self._receive: Cipher | None = None

    def greet_first(self) -> bytes:
        """Return our hello, for a client that we have called and that chooses its key by it."""
        self._state = _State.HELLO_AFTER_OURS
        return self._hello_frame()

    def _hello_frame(self) -> bytes:
        return _OUTER.pack(1, len(self._server_hello)) + self._server_hello

    def feed(self, data: bytes) -> Received:
        """Take bytes from the client."""
        self._buffer += data
        result = Received()
        at = 0
        try:
            while not result.close and at < len(self._buffer):
                at = self._frame(at, result)
        except _NeedMoreError:
            pass
        except HandshakeRejectedError as error:
            body = b"\x01" + error.reason.encode()
            result.reply += _OUTER.pack(1, len(body)) + body
            result.close = True
        except (_BadFrameError, ValueError):
            result.close = True
        if result.close:
            self._state = _State.FAILED
        del self._buffer[:at]
        return result

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return the frame of one message. Raises RuntimeError before the handshake is done."""
        if self._send is None:
            raise RuntimeError("handshake not done")
        body = self._send.encrypt(_INNER.pack(number, len(payload)) + payload)
        return _OUTER.pack(1, len(body)) + body

    def _frame(self, at: int, result: Received) -> int:
        """Read the frame at an offset; return the offset behind it."""
        shaking = self._state in _SHAKING
        if self._buffer[at] != 1:
            raise HandshakeRejectedError(_BAD_INDICATOR) if shaking else _BadFrameError
        if len(self._buffer) < at + _OUTER.size:
            raise _NeedMoreError
        length = int.from_bytes(self._buffer[at + 1 : at + _OUTER.size], "big")
        if shaking and length > MAX_HANDSHAKE:
            raise HandshakeRejectedError("Bad handshake packet len")
        if length > MAX_PAYLOAD:
            raise _BadFrameError
        start = at + _OUTER.size
        if len(self._buffer) < start + length:
            raise _NeedMoreError
        self._body(bytes(self._buffer[start : start + length]), result)
        return start + length

    def _body(self, body: bytes, result: Received) -> None:
        if self._receive is not None:
            result.messages.append(self._open(self._receive, body))
        elif self._state in (_State.HELLO, _State.HELLO_AFTER_OURS):
            self._handshake = ServerHandshake(self._psk, body)
            if self._state is _State.HELLO:
                result.reply += self._hello_frame()
            self._state = _State.HANDSHAKE
        else:
            result.reply += self._shake(body)

    def _shake(self, body: bytes) -> bytes:
        """Answer the handshake frame; return our own."""
        if not body:
            raise HandshakeRejectedError("Empty handshake message")
        if body[0] != 0:
            raise HandshakeRejectedError("Bad handshake error byte")
        if self._handshake is None:
            raise _BadFrameError
        answer = b"\x00" + self._handshake.answer(body[1:])
        self._send, self._receive = self._handshake.ciphers()
        self._handshake = None
        self._state = _State.DATA
        return _OUTER.pack(1, len(answer)) + answer

    @staticmethod
    def _open(cipher: Cipher, body: bytes) -> tuple[int, bytes]:
        plain = cipher.decrypt(body)
        if len(plain) < _INNER.size:
            raise _BadFrameError
        number, length = _INNER.unpack_from(plain)
        if length > len(plain) - _INNER.size:
            raise _BadFrameError
        return number, plain[_INNER.size : _INNER.size + length]
