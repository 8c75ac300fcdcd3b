"""A bare plaintext client of the native API, which records what a proxy says."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from typing import Final

from google.protobuf.message import Message

from proxyconn_native_api.frames import PlaintextFrames
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS

ADVERTISEMENTS: Final = 93
SCANNER_STATE: Final = 126
CLOSED: Final = -1
_CONNECTS: Final = (4, 5)


@dataclass(frozen=True, slots=True)
class Said:
    """One message: seconds since the mark, its id (CLOSED for the end), and what it was."""

    at: float
    number: int
    message: Message | bytes


class Wire(asyncio.Protocol):
    """One client; `seen` has what came since the last `mark`."""

    def __init__(self, port: int, label: str, *, receive_buffer: int | None = None) -> None:
        self.label = label
        self.seen: list[Said] = []
        self._port = port
        self._receive_buffer = receive_buffer
        self._frames = PlaintextFrames()
        self._loop = asyncio.get_running_loop()
        self._start = self._loop.time()
        self._transport: asyncio.Transport | None = None
        self._lost: asyncio.Future[None] = self._loop.create_future()

    async def open(self, *, subscribe: bool = True, minor: int = 19) -> Wire:
        """Connect, say Hello, and subscribe. Raises OSError."""
        sock = socket.socket()
        if self._receive_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_buffer)
        sock.setblocking(False)
        await self._loop.sock_connect(sock, ("127.0.0.1", self._port))
        self._transport, _ = await self._loop.create_connection(lambda: self, sock=sock)
        self.mark()
        self.send(
            pb.HelloRequest(client_info=self.label, api_version_major=1, api_version_minor=minor)
        )
        await asyncio.sleep(0.15)
        if subscribe:
            self.subscribe()
            self.send(pb.SubscribeBluetoothConnectionsFreeRequest())
            await asyncio.sleep(0.1)
        return self

    @property
    def closed(self) -> bool:
        """Whether the connection is over."""
        return self._lost.done()

    async def close(self) -> None:
        """Hang up; idempotent."""
        if self._transport is not None:
            self._transport.abort()
            await self._lost

    def connection_lost(self, exc: Exception | None) -> None:
        """Record the end."""
        self.seen.append(Said(self._loop.time() - self._start, CLOSED, b""))
        self._lost.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Record messages."""
        for number, payload in self._frames.feed(data).messages:
            known = CLASS_BY_ID.get(number)
            message = payload if known is None else known.FromString(payload)
            self.seen.append(Said(self._loop.time() - self._start, number, message))

    def mark(self) -> None:
        """Forget what was seen, and count time from now."""
        self.seen.clear()
        self._start = self._loop.time()

    def send(self, message: Message) -> None:
        """Send a message."""
        if self._transport is None:
            raise RuntimeError("not open")
        number = ID_BY_CLASS[type(message)]
        self._transport.write(self._frames.encode(number, message.SerializeToString()))

    def subscribe(self) -> None:
        """Ask for advertisements."""
        self.send(pb.SubscribeBluetoothLEAdvertisementsRequest(flags=1))

    def unsubscribe(self) -> None:
        """End the subscription."""
        self.send(pb.UnsubscribeBluetoothLEAdvertisementsRequest())

    def ask(self, address: int, kind: int, *, typed: bool | None = None) -> None:
        """Send a device request; one to connect says the address type, unless `typed` is False."""
        has_type = kind in _CONNECTS if typed is None else typed
        request = pb.BluetoothDeviceRequest(address=address, has_address_type=has_type)
        # Kinds that do not exist are sent as well.
        request.request_type = kind  # type: ignore[assignment]
        self.send(request)

    def hold(self) -> None:
        """Read nothing more from the socket, until `release`."""
        if self._transport is not None:
            self._transport.pause_reading()

    def release(self) -> None:
        """Read again."""
        if self._transport is not None:
            self._transport.resume_reading()


def shown(said: Said) -> str:
    """Return a message as a short line; addresses by their last octet."""
    match said.message:
        case pb.BluetoothDeviceConnectionResponse() as m:
            return f"69({m.connected}, mtu {m.mtu}, error {m.error})@{m.address & 0xFF:02x}"
        case pb.BluetoothConnectionsFreeResponse() as m:
            held = " ".join(f"{address & 0xFF:02x}" for address in m.allocated)
            return f"81(free {m.free}/{m.limit} [{held}])"
        case pb.BluetoothGATTGetServicesResponse() as m:
            return f"71({len(m.services)} services, {m.ByteSize()} bytes)"
        case pb.BluetoothScannerStateResponse() as m:
            return f"126(state {m.state}, mode {m.mode}, configured {m.configured_mode})"
        case Message() as m:
            fields = (f"{f.name}={v!r}" for f, v in m.ListFields() if f.name != "address")
            return f"{said.number}({', '.join(' '.join(f.split()) for f in fields)})"
        case raw:
            return "closed" if said.number == CLOSED else f"{said.number}({raw.hex()})"
