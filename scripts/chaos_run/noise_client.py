"""A bare encrypted client of the native API, which does no more than it is told."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
import struct
from collections.abc import Callable
from typing import Final

from google.protobuf.message import Message
from noise.connection import NoiseConnection

from proxyconn_native_api.noise import NOISE_NAME
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS

SHAKE: Final = 10.0
"""Seconds for the handshake."""

_HEADER: Final = 3


class Initiator:
    """The client's side of Noise.

    Args:
        key: base64 of the 32-byte key.
    """

    def __init__(self, key: str) -> None:
        self._noise = NoiseConnection.from_name(NOISE_NAME.encode())
        self._noise.set_as_initiator()
        self._noise.set_psks(base64.b64decode(key))
        self._noise.set_prologue(b"NoiseAPIInit\0\0")
        self._noise.start_handshake()

    def opening(self) -> bytes:
        """Return both frames of the handshake."""
        return _outer(b"") + _outer(b"\0" + bytes(self._noise.write_message()))

    def answered(self, message: bytes) -> None:
        """Take the server's handshake message."""
        self._noise.read_message(message)

    def encode(self, number: int, payload: bytes) -> bytes:
        """Return the frame of a message."""
        inner = struct.pack(">HH", number, len(payload) & 0xFFFF) + payload
        return _outer(self._noise.encrypt(inner))

    def decode(self, body: bytes) -> tuple[int, bytes]:
        """Return id and payload of the message in the body of a frame."""
        plain = bytes(self._noise.decrypt(body))
        return int.from_bytes(plain[:2], "big"), plain[4:]


def _outer(body: bytes) -> bytes:
    return b"\x01" + struct.pack(">H", len(body)) + body


class NoiseClient:
    """One client.

    Args:
        key: base64 of the 32-byte key.
        heard: called with each message.
    """

    def __init__(self, key: str, heard: Callable[[Message], None]) -> None:
        self._noise = Initiator(key)
        self._heard = heard
        self._writer: asyncio.StreamWriter | None = None
        self._reader: asyncio.StreamReader | None = None
        self._reading: asyncio.Task[None] | None = None

    async def open(self, host: str, port: int, name: str, *, buffer: int | None = None) -> None:
        """Connect and say Hello.

        Args:
            host: where.
            port: where.
            name: what to call itself.
            buffer: bytes of the receive buffer; None for the system's.

        Raises:
            OSError, EOFError, TimeoutError: there is no connection.
        """
        sock = socket.socket()
        if buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        try:
            async with asyncio.timeout(SHAKE):
                await asyncio.get_running_loop().sock_connect(sock, (host, port))
                self._reader, self._writer = await asyncio.open_connection(sock=sock)
                self._writer.write(self._noise.opening())
                await self._frame()
                self._noise.answered((await self._frame())[1:])
        except BaseException:
            sock.close()
            self.abort()
            raise
        self.send(pb.HelloRequest(client_info=name, api_version_major=1, api_version_minor=14))
        self._reading = asyncio.get_running_loop().create_task(self._read())

    async def _frame(self) -> bytes:
        assert self._reader
        header = await self._reader.readexactly(_HEADER)
        return await self._reader.readexactly(int.from_bytes(header[1:], "big"))

    async def _read(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            while True:
                number, payload = self._noise.decode(await self._frame())
                if message_class := CLASS_BY_ID.get(number):
                    self._heard(message_class.FromString(payload))

    @property
    def is_open(self) -> bool:
        """Whether the other side has not hung up, as far as it was looked."""
        return self._reading is not None and not self._reading.done()

    def send(self, message: Message) -> None:
        """Send a message; lost if the other side has hung up."""
        if self._writer and not self._writer.is_closing():
            number = ID_BY_CLASS[type(message)]
            self._writer.write(self._noise.encode(number, message.SerializeToString()))

    async def deafen(self) -> None:
        """Read nothing more."""
        # A reader that nobody reads from stops its transport, once it has enough.
        await self._end_reading()

    async def _end_reading(self) -> None:
        if self._reading:
            self._reading.cancel()
            await asyncio.gather(self._reading, return_exceptions=True)

    def abort(self) -> None:
        """Go without a word."""
        if self._writer:
            self._writer.transport.abort()

    async def aclose(self) -> None:
        """Go without a word, and leave nothing behind."""
        await self._end_reading()
        self.abort()
        if self._writer:
            with contextlib.suppress(OSError):
                await self._writer.wait_closed()
