"""One client's session with a virtual proxy: the native API over TCP."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final, Protocol

from google.protobuf.message import DecodeError, Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS
from proxyconn_virtual._frames import Frames, Received
from proxyconn_virtual._profiles import FirmwareProfile
from proxyconn_virtual.faults import Delayed, Injectors, pass_on
from proxyconn_virtual.timings import Timings

MAX_CLIENTS: Final = 5
"""Most API clients of an ESP32 (ESPHome api/__init__.py max_connections)."""

API_MAJOR: Final = 1

_AUTHENTICATION_REQUEST: Final = 3
_AUTHENTICATION_RESPONSE: Final = 4
_LIST_ENTITIES_REQUEST: Final = 11
_LIST_ENTITIES_DONE: Final = 19
_TICK: Final = 0.001
"""Shortest wait, seconds: a difference of two times may be too small to move a clock."""

_BEFORE_HELLO: Final = frozenset({1, 5, 7})


class SessionHost(Protocol):
    """What sessions need of their proxy."""

    name: str
    profile: FirmwareProfile
    timings: Timings
    send_buffer: int | None
    injectors: Injectors

    def frames(self) -> Frames:
        """Return the framing of a new connection."""
        ...

    def device_info(self) -> pb.DeviceInfoResponse:
        """Return message 10."""
        ...

    def count_received(self, name: str) -> None:
        """Count a message that came in."""

    def session_opened(self, session: Session) -> None:
        """Hello is done."""

    def session_closed(self, session: Session) -> None:
        """The session is over; it may not have said Hello."""

    def handle(self, session: Session, message: Message) -> None:
        """Take a message that is not about the session itself."""


class Session(asyncio.Protocol):
    """One API client.

    Attributes:
        client_info: what the client calls itself; empty before Hello.
        client_minor: minor of the API version that the client speaks.
        messages_lost: messages that the full socket refused.
        closed: done once the connection is over.
    """

    def __init__(self, host: SessionHost, sessions: set[Session]) -> None:
        self._host = host
        self._sessions = sessions
        self._frames = host.frames()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self._refused: list[Message] = []
        self._last_inbound = self._loop.time()
        self._pinged = False
        self._greeted = False
        self._frozen = False
        self.client_info = ""
        self.client_minor = 0
        self.messages_lost = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._own: dict[type[Message], Callable[..., None]] = {
            pb.HelloRequest: self._hello,
            pb.DisconnectRequest: self._disconnect,
            pb.DisconnectResponse: self._disconnected,
            pb.PingRequest: self._ping,
            pb.PingResponse: self._pong,
            pb.DeviceInfoRequest: self._device_info,
        }

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the connection, or close it without a word when there are too many."""
        if not isinstance(transport, asyncio.Transport):
            raise TypeError("not a stream transport")
        self._transport = transport
        full = len(self._sessions) >= MAX_CLIENTS
        self._sessions.add(self)
        if full or not self._host.injectors.accepts():
            transport.close()
            return
        sock = transport.get_extra_info("socket")
        if self._host.send_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._host.send_buffer)
        timings = self._host.timings
        self._later(timings.hello, self._hello_due)
        self._later(timings.ping_after, self._keepalive)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the client."""
        self._sessions.discard(self)
        self._transport = None
        for timer in self._timers:
            timer.cancel()
        self._timers.clear()
        self._host.session_closed(self)
        if not self.closed.done():
            self.closed.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Take bytes."""
        self._last_inbound = self._loop.time()
        self._pinged = False
        received: Received = self._frames.feed(data)
        if self._transport is not None and received.reply:
            self._transport.write(received.reply)
        for number, payload in received.messages:
            if self._transport is None or self._transport.is_closing():
                return
            self._receive(number, payload)
        if received.close:
            self.close()

    @property
    def greeted(self) -> bool:
        """Whether Hello is done."""
        return self._greeted

    def send(self, message: Message) -> None:
        """Send a message, through the injectors."""
        if not self._host.injectors:
            self._write(message)
            return
        for item in pass_on(self._host.injectors, message, outgoing=True):
            if isinstance(item, Delayed):
                self._delay(item, self._write)
            else:
                self._write(item)

    def close(self) -> None:
        """Close the connection once what was written is out."""
        if self._transport is not None:
            self._transport.close()

    def reset(self) -> None:
        """Reset the connection: RST, and what was not written yet is lost."""
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def freeze(self) -> None:
        """Let nothing pass in either direction, not even the end of the connection."""
        if self._transport is not None:
            self._transport.pause_reading()
            self._frozen = True

    def thaw(self) -> None:
        """End `freeze`; what the client sent meanwhile arrives, what was to be sent is lost."""
        if self._frozen and self._transport is not None:
            self._frozen = False
            self._transport.resume_reading()

    def _write(self, message: Message) -> None:
        transport = self._transport
        if transport is None or transport.is_closing() or self._frozen:
            return
        # The tail of an earlier frame waits for the socket: the firmware sends no next one.
        if self._refused or transport.get_write_buffer_size():
            self._refuse(message)
            return
        number = ID_BY_CLASS[type(message)]
        transport.write(self._frames.encode(number, message.SerializeToString()))

    def _refuse(self, message: Message) -> None:
        if not (self._host.profile.retry_refused and isinstance(message, RETRIED)):
            self.messages_lost += 1
            return
        self._refused.append(message)
        if len(self._refused) == 1:
            self._later(self._host.timings.retry_refused, self._retry)

    def _retry(self) -> None:
        waiting, self._refused = self._refused, []
        for message in waiting:
            self._write(message)

    def _receive(self, number: int, payload: bytes) -> None:
        if not self._greeted and number not in _BEFORE_HELLO:
            self.close()
            return
        message_class = CLASS_BY_ID.get(number)
        if message_class is None:
            self._receive_foreign(number)
            return
        try:
            message = message_class.FromString(payload)
        except DecodeError:
            self.close()
            return
        self._host.count_received(message_class.DESCRIPTOR.name)
        if not self._host.injectors:
            self._dispatch(message)
            return
        for item in pass_on(self._host.injectors, message, outgoing=False):
            if isinstance(item, Delayed):
                self._delay(item, self._dispatch)
            else:
                self._dispatch(item)

    def _receive_foreign(self, number: int) -> None:
        """Answer what every device answers, though it is not about Bluetooth."""
        if number == _LIST_ENTITIES_REQUEST:
            self._write_empty(_LIST_ENTITIES_DONE)
        elif number == _AUTHENTICATION_REQUEST and self._host.profile.password_login:
            self._write_empty(_AUTHENTICATION_RESPONSE)

    def _write_empty(self, number: int) -> None:
        if self._transport is not None:
            self._transport.write(self._frames.encode(number, b""))

    def _dispatch(self, message: Message) -> None:
        own = self._own.get(type(message))
        if own is not None:
            own(message)
        else:
            self._host.handle(self, message)

    def _hello(self, request: pb.HelloRequest) -> None:
        self.client_info = request.client_info
        self.client_minor = request.api_version_minor
        first = not self._greeted
        self._greeted = True
        self.send(
            pb.HelloResponse(
                api_version_major=API_MAJOR,
                api_version_minor=self._host.profile.api_minor,
                server_info=self._host.profile.version,
                name=self._host.name,
            )
        )
        if first:
            self._host.session_opened(self)

    def _disconnect(self, request: pb.DisconnectRequest) -> None:
        self.send(pb.DisconnectResponse())
        self._loop.call_soon(self.close)

    def _disconnected(self, response: pb.DisconnectResponse) -> None:
        self.close()

    def _ping(self, request: pb.PingRequest) -> None:
        self.send(pb.PingResponse())

    def _pong(self, response: pb.PingResponse) -> None:
        """Any inbound message counts as a sign of life; this one says nothing more."""

    def _device_info(self, request: pb.DeviceInfoRequest) -> None:
        self.send(self._host.device_info())

    def _hello_due(self) -> None:
        if not self._greeted:
            self.close()

    def _keepalive(self) -> None:
        timings = self._host.timings
        idle = self._loop.time() - self._last_inbound
        if idle >= timings.drop_after:
            self.reset()
            return
        if idle < timings.ping_after:
            self._later(max(timings.ping_after - idle, _TICK), self._keepalive)
            return
        if self._greeted and not self._pinged:
            self._pinged = True
            self.send(pb.PingRequest())
        wait = min(timings.ping_after, timings.drop_after - idle)
        self._later(max(wait, _TICK), self._keepalive)

    def _delay(self, item: Delayed, then: Callable[[Message], None]) -> None:
        self._later(item.seconds, lambda: then(item.message))

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        """Call `then` later, unless the connection is over before."""

        def fire() -> None:
            self._timers.discard(handle)
            then()

        handle = self._loop.call_later(seconds, fire)
        self._timers.add(handle)


RETRIED: Final = (
    pb.BluetoothDeviceConnectionResponse,
    pb.BluetoothGATTGetServicesDoneResponse,
    pb.BluetoothConnectionsFreeResponse,
    pb.BluetoothScannerStateResponse,
    pb.BluetoothGATTWriteResponse,
    pb.BluetoothGATTNotifyResponse,
    pb.BluetoothGATTErrorResponse,
)
"""Messages that firmware with `retry_refused` sends again."""
