"""The proxy's side of the Noise handshake, and the ciphers it ends in."""

from __future__ import annotations

import base64
import binascii
import struct
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from noise.connection import NoiseConnection
from noise.exceptions import NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError

NOISE_NAME: Final = "Noise_NNpsk0_25519_ChaChaPoly_SHA256"
"""Noise protocol name; also the value of the mDNS encryption keys."""

PSK_SIZE: Final = 32
TAG_SIZE: Final = 16
MIN_HANDSHAKE: Final = 32 + TAG_SIZE
"""Bytes of the client's handshake message: an ephemeral key and the tag of an empty payload."""

_PROLOGUE: Final = b"NoiseAPIInit"
_NONCE: Final = struct.Struct("<4xQ")


def key_of(text: str) -> bytes:
    """Return a Noise key from base64. Raises ValueError."""
    try:
        key = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError("noise_psk is not base64") from error
    if len(key) != PSK_SIZE:
        raise ValueError(f"noise_psk has {len(key)} bytes, not {PSK_SIZE}")
    return key


class HandshakeRejectedError(Exception):
    """The handshake failed; `reason` is the text that the proxy sends before it closes."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Cipher:
    """One direction of an open Noise session (Noise specification 5.1)."""

    __slots__ = ("_cipher", "_nonce")

    def __init__(self, key: bytes) -> None:
        self._cipher = ChaCha20Poly1305(key)
        self._nonce = 0

    def encrypt(self, data: bytes) -> bytes:
        """Return the ciphertext with its tag."""
        nonce = _NONCE.pack(self._nonce)
        self._nonce += 1
        return self._cipher.encrypt(nonce, data, None)

    def decrypt(self, data: bytes) -> bytes:
        """Return the plaintext. Raises ValueError when the tag is wrong."""
        try:
            plain = self._cipher.decrypt(_NONCE.pack(self._nonce), data, None)
        except InvalidTag as error:
            raise ValueError("bad tag") from error
        self._nonce += 1
        return plain


class ServerHandshake:
    """Responder of one handshake.

    Args:
        psk: 32-byte pre-shared key.
        client_hello: body of the client's hello frame; it is part of the prologue.
    """

    def __init__(self, psk: bytes, client_hello: bytes) -> None:
        self._noise = NoiseConnection.from_name(NOISE_NAME.encode())
        self._noise.set_as_responder()
        self._noise.set_psks(psk)
        self._noise.set_prologue(_PROLOGUE + struct.pack(">H", len(client_hello)) + client_hello)
        self._noise.start_handshake()

    def answer(self, message: bytes) -> bytes:
        """Take the client's handshake message and return ours. Raises HandshakeRejectedError."""
        if len(message) < MIN_HANDSHAKE:
            raise HandshakeRejectedError("Handshake error")
        try:
            self._noise.read_message(message)
        except InvalidTag as error:
            raise HandshakeRejectedError("Handshake MAC failure") from error
        except (NoiseHandshakeError, NoiseInvalidMessage, NoiseValueError, ValueError) as error:
            raise HandshakeRejectedError("Handshake error") from error
        return bytes(self._noise.write_message())

    def ciphers(self) -> tuple[Cipher, Cipher]:
        """Return the ciphers for sending and for receiving, once `answer` has returned."""
        # The package's own encrypt() spends several Python calls per frame; its keys do not.
        protocol = self._noise.noise_protocol
        return Cipher(protocol.cipher_state_encrypt.k), Cipher(protocol.cipher_state_decrypt.k)
