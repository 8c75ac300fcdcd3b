"""Framing as a proxy does it: pure, so that streams can be cut anywhere."""

from __future__ import annotations

import struct

import pytest
from noise.connection import NoiseConnection

from proxyconn_native_api.frames import (
    MAX_PAYLOAD,
    Frames,
    NoiseFrames,
    PlaintextFrames,
    Received,
)

PSK = bytes(range(32))
NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"
MESSAGES = [(1, b"hello"), (300, b""), (66, b"\x08\x01"), (75, bytes(200))]
SERVER_HELLO = b"\x01\x00\x16\x01kitchen\x00aabbccddeeff\x00"


def outer(body: bytes) -> bytes:
    """Return a Noise frame."""
    return b"\x01" + struct.pack(">H", len(body)) + body


class Initiator:
    """The client's side of Noise."""

    def __init__(self, psk: bytes = PSK) -> None:
        self.noise = NoiseConnection.from_name(NAME)
        self.noise.set_as_initiator()
        self.noise.set_psks(psk)
        self.noise.set_prologue(b"NoiseAPIInit\0\0")
        self.noise.start_handshake()

    def opening(self) -> bytes:
        """Return both frames of the handshake."""
        return outer(b"") + outer(b"\0" + bytes(self.noise.write_message()))

    def frame(self, number: int, payload: bytes) -> bytes:
        """Return the frame of a message."""
        inner = struct.pack(">HH", number, len(payload)) + payload
        return outer(self.noise.encrypt(inner))


def server() -> NoiseFrames:
    """Return the proxy's side."""
    return NoiseFrames(PSK, "kitchen", "aabbccddeeff")


def feed_in_two(frames: Frames, data: bytes, cut: int) -> Received:
    """Feed a stream cut at one place; return what came of both parts."""
    first, second = frames.feed(data[:cut]), frames.feed(data[cut:])
    return Received(
        first.messages + second.messages, first.reply + second.reply, first.close or second.close
    )


def opened() -> tuple[Initiator, NoiseFrames]:
    """Return both sides after the handshake."""
    client, frames = Initiator(), server()
    reply = frames.feed(client.opening()).reply
    client.noise.read_message(reply[len(SERVER_HELLO) + 4 :])
    return client, frames


def test_plaintext_layout() -> None:
    """A plaintext frame is 00, varint length, varint id, payload."""
    assert PlaintextFrames().encode(300, bytes(200)) == b"\x00\xc8\x01\xac\x02" + bytes(200)


def test_plaintext_cut_at_every_byte() -> None:
    """Messages come out whole and in order wherever the stream is cut."""
    stream = b"".join(PlaintextFrames().encode(*message) for message in MESSAGES)
    for cut in range(len(stream) + 1):
        received = feed_in_two(PlaintextFrames(), stream, cut)
        assert received == Received(MESSAGES, b"", close=False)


def test_plaintext_rejects_noise_client() -> None:
    """A Noise client on a plaintext proxy gets 00 and the text, which is no valid frame."""
    received = PlaintextFrames().feed(b"\x01\x00\x00")
    assert received == Received([], b"\x00Bad indicator byte", close=True)


@pytest.mark.parametrize(
    "data",
    [
        b"\x00\x81\x80\x02\x01",
        b"\x00\x00\x80\x80\x04",
        b"\x00\x80\x80\x80\x80\x80\x01",
    ],
    ids=["payload over 32768", "id over 65535", "varint over 5 bytes"],
)
def test_plaintext_closes_silently(data: bytes) -> None:
    """A frame that breaks the format ends the connection without a word."""
    assert PlaintextFrames().feed(data) == Received([], b"", close=True)


def test_plaintext_largest_payload() -> None:
    """The largest payload that an ESP32 takes is taken."""
    stream = PlaintextFrames().encode(75, bytes(MAX_PAYLOAD))
    assert PlaintextFrames().feed(stream).messages == [(75, bytes(MAX_PAYLOAD))]


def test_noise_cut_at_every_byte() -> None:
    """Handshake and messages work wherever the client's stream is cut."""
    length = None
    cut = 0
    while length is None or cut <= length:
        client, frames = Initiator(), server()
        opening = client.opening()
        reply = feed_in_two(frames, opening, min(cut, len(opening))).reply
        assert reply.startswith(SERVER_HELLO)
        assert reply[len(SERVER_HELLO) :].startswith(b"\x01\x00\x31\x00")
        client.noise.read_message(reply[len(SERVER_HELLO) + 4 :])
        stream = b"".join(client.frame(*message) for message in MESSAGES)
        length = len(stream)
        assert feed_in_two(frames, stream, cut) == Received(MESSAGES, b"", close=False)
        cut += 1


def test_noise_answers_with_inner_header() -> None:
    """What the proxy sends decrypts to id, length and payload."""
    client, frames = opened()
    frame = frames.encode(2, b"abc")
    assert client.noise.decrypt(frame[3:]) == b"\x00\x02\x00\x03abc"
    assert frame[:3] == b"\x01" + struct.pack(">H", len(frame) - 3)


def test_noise_hello_comes_before_the_key_is_checked() -> None:
    """Name and MAC are told to a client with a wrong key; then the reject frame, byte for byte."""
    received = server().feed(Initiator(bytes(32)[:-1] + b"x").opening())
    assert received.reply == SERVER_HELLO + b"\x01\x00\x16\x01Handshake MAC failure"
    assert received.close
    assert not received.messages


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x00\x00\x01", b"Bad indicator byte"),
        (b"\x01\x00\x81", b"Bad handshake packet len"),
        (outer(b"") + outer(b""), b"Empty handshake message"),
        (outer(b"") + outer(b"\x02" + bytes(48)), b"Bad handshake error byte"),
        (outer(b"") + outer(b"\x00" + bytes(20)), b"Handshake error"),
        (outer(b"") + b"\x00", b"Bad indicator byte"),
    ],
)
def test_noise_reject_frames(data: bytes, reason: bytes) -> None:
    """Each broken handshake is answered by its own reject frame, and closed."""
    received = server().feed(data)
    assert received.close
    assert received.reply.removeprefix(SERVER_HELLO) == outer(b"\x01" + reason)


def test_noise_reject_of_plaintext_client() -> None:
    """A plaintext client on a Noise proxy gets 01 00 13 01 and the text."""
    received = server().feed(PlaintextFrames().encode(1, b"hello"))
    assert received.reply == b"\x01\x00\x13\x01Bad indicator byte"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda frame: frame[:-1] + bytes((frame[-1] ^ 1,)),
        lambda frame: b"\x00" + frame[1:],
        lambda frame: b"\x01\x80\x01" + frame[3:],
        lambda frame: outer(frame[3:10]),
    ],
    ids=["bad tag", "bad indicator", "oversize", "short"],
)
def test_noise_closes_silently_after_handshake(spoil) -> None:  # type: ignore[no-untyped-def]
    """A bad frame after the handshake ends the connection without a word."""
    client, frames = opened()
    assert frames.feed(spoil(client.frame(7, b"x"))) == Received([], b"", close=True)


def test_noise_keeps_messages_before_a_bad_frame() -> None:
    """Good frames in front of a bad one still count."""
    client, frames = opened()
    received = frames.feed(client.frame(7, b"x") + b"\x00")
    assert received == Received([(7, b"x")], b"", close=True)


@pytest.mark.parametrize("inner", [b"\0\7", b"\0\7\0\2x"], ids=["no header", "too long"])
def test_noise_closes_on_bad_inner_header(inner: bytes) -> None:
    """An inner header that does not fit its ciphertext ends the connection."""
    client, frames = opened()
    assert frames.feed(outer(client.noise.encrypt(inner))).close
