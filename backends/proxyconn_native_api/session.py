"""Speaks the native API with one client, over TCP."""

from __future__ import annotations

import asyncio
import hmac
import socket
import struct
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from google.protobuf.message import DecodeError, Message

from proxyconn_native_api.frames import NoiseFrames, Received
from proxyconn_native_api.hang_up import LOOK_EVERY, has_hung_up
from proxyconn_native_api.host import SessionHost
from proxyconn_native_api.intake import SlowIntake
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_proto.ids import CLASS_BY_ID, ID_BY_CLASS

API_MAJOR: Final = 1

_LIST_ENTITIES_REQUEST: Final = 11
_LIST_ENTITIES_DONE: Final = 19
_SUBSCRIBE_STATES_REQUEST: Final = 20
_TICK: Final = 0.001
"""Shortest wait, seconds: a difference of two times may be too small to move a clock."""

_BEFORE_HELLO: Final = frozenset({1, 5, 7})


class Session(asyncio.Protocol):
    """One API client.

    Attributes:
        client_info: what the client calls itself; empty before Hello.
        client_minor: minor of the API version that the client speaks.
        peer: IP address that the client calls from.
        peer_port: TCP port that it calls from.
        is_target: whether the client may be called; only one that has proven the key can say so.
        accepted_at: when it called, in the loop's seconds.
        refused: whether the client was turned away, for want of room.
        messages_lost: messages that the full socket refused.
        closed: done once the connection is over.
    """

    def __init__(
        self, host: SessionHost[Session], sessions: set[Session], *, greets_first: bool = False
    ) -> None:
        self._host = host
        self._sessions = sessions
        self._frames = host.frames()
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._timers: set[asyncio.TimerHandle] = set()
        self.accepted_at = self._last_inbound = self._loop.time()
        self._pinged = False
        self._greeted = False
        self._authenticated = host.password is None
        self._frozen = False
        self._intake: SlowIntake | None = None
        self._held = self._looks = False
        self._greets_first = greets_first
        self.is_target = False
        self.refused = False
        self.client_info = ""
        self.client_minor = 0
        self.peer = ""
        self.peer_port = 0
        self.messages_lost = 0
        self.closed: asyncio.Future[None] = self._loop.create_future()
        self._own: dict[type[Message], Callable[..., None]] = {
            pb.HelloRequest: self._hello,
            pb.AuthenticationRequest: self._authenticate,
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
        self.peer, self.peer_port, *_ = transport.get_extra_info("peername") or ("", 0)
        make_room(self._sessions, self._host.profile.max_unproven)
        full = len(self._sessions) >= self._host.profile.max_clients
        self._sessions.add(self)
        if full or not self._host.injectors.accepts():
            self.refused = True
            transport.close()
            return
        if self._greets_first and isinstance(self._frames, NoiseFrames):
            transport.write(self._frames.greet_first())
        sock = transport.get_extra_info("socket")
        if self._host.send_buffer is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._host.send_buffer)
        if self._host.intake is not None:
            self._intake = SlowIntake(
                self._host.intake, transport, self._later, self._take, self._resume
            )
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
        if self._intake is not None:
            self._intake.add(received.messages)
        else:
            for number, payload in received.messages:
                self._take(number, payload)
        if received.close:
            self.close()

    @property
    def greeted(self) -> bool:
        """Whether Hello is done."""
        return self._greeted

    def send(self, message: Message) -> bool:
        """Send a message, through the injectors; False if the full socket refused it."""
        if not self._host.injectors:
            return self._write(message)
        taken = True
        for item, delay in self._host.injectors.passed(message, outgoing=True):
            if delay:
                self._in(delay, self._write, item)
            else:
                taken &= self._write(item)
        return taken

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
            if self._intake is None or not self._intake.is_full:
                self._resume()

    def _resume(self) -> None:
        if self._transport is not None and not (self._frozen or self._held):
            self._transport.resume_reading()

    def hold(self) -> None:
        """Read nothing more until `release`; what was read already is taken all the same."""
        if self._transport is not None and not self._held:
            self._held = True
            self._transport.pause_reading()
            if not self._looks:
                self._look_for_end(self._transport)

    def release(self) -> None:
        """End `hold`; harmless without one."""
        if self._held:
            self._held = False
            # It was not listened to: its silence says nothing.
            self._last_inbound = self._loop.time()
            self._resume()

    def _look_for_end(self, transport: asyncio.Transport) -> None:
        self._looks = self._held
        if not self._held:
            return
        if has_hung_up(transport.get_extra_info("socket")):
            transport.abort()
        else:
            self._later(LOOK_EVERY, lambda: self._look_for_end(transport))

    def _write(self, message: Message) -> bool:
        transport = self._transport
        if transport is None or transport.is_closing() or self._frozen:
            return True
        # What waits for the socket already: the firmware sends nothing behind such a tail.
        if transport.get_write_buffer_size() > self._host.profile.backlog:
            return self._refuse()
        number = ID_BY_CLASS[type(message)]
        transport.write(self._frames.encode(number, message.SerializeToString()))
        return True

    def send_encoded(self, number: int, payload: bytes) -> None:
        """Send a message that is serialized already, or lose it if the socket is full.

        For what many clients are told alike; the injectors do not see it.
        """
        transport = self._transport
        if transport is None or transport.is_closing() or self._frozen:
            return
        if transport.get_write_buffer_size() > self._host.profile.backlog:
            self.messages_lost += 1
            return
        transport.write(self._frames.encode(number, payload))

    def _refuse(self) -> bool:
        """Take nothing more, as the socket does not: lose a message, or hang up."""
        if self._host.profile.hangs_up_on_slow_clients:
            self.reset()
        else:
            self.messages_lost += 1
        return False

    def _take(self, number: int, payload: bytes) -> None:
        """Take one message, unless the connection is over."""
        if self._transport is not None and not self._transport.is_closing():
            self._receive(number, payload)

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
        for item, delay in self._host.injectors.passed(message, outgoing=False):
            self._in(delay, self._dispatch, item)

    def _receive_foreign(self, number: int) -> None:
        """Answer what every device answers, though it is not about Bluetooth."""
        if number == _LIST_ENTITIES_REQUEST:
            for entity, _ in self._entities():
                self.send(entity)
            self._write_empty(_LIST_ENTITIES_DONE)
        elif number == _SUBSCRIBE_STATES_REQUEST:
            for _, state in self._entities():
                if state is not None:
                    self.send(state)

    def _entities(self) -> Sequence[tuple[Message, Message | None]]:
        return self._host.entities() if self._authenticated else ()

    def _write_empty(self, number: int) -> None:
        if self._transport is not None:
            self._transport.write(self._frames.encode(number, b""))

    def _dispatch(self, message: Message) -> None:
        own = self._own.get(type(message))
        if own is not None:
            own(message)
        elif self._authenticated:
            self._host.handle(self, message)
        else:
            # As the firmware: an unauthenticated access ends the connection (api_connection.cpp).
            self.close()

    def _hello(self, request: pb.HelloRequest) -> None:
        self.client_info = request.client_info
        self.client_minor = request.api_version_minor
        first = not self._greeted
        self._greeted = True
        encrypted = isinstance(self._frames, NoiseFrames)
        self.is_target = encrypted and request.outgoing_connection_target
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

    def _authenticate(self, request: pb.AuthenticationRequest) -> None:
        if not self._host.profile.password_login:
            return
        wanted = self._host.password
        self._authenticated = wanted is None or hmac.compare_digest(
            request.password.encode(), wanted.encode()
        )
        self.send(pb.AuthenticationResponse(invalid_password=not self._authenticated))

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
        if self._held:
            # It hears from us at least: clients take any message for a sign of life.
            self.send(pb.PingRequest())
            self._later(timings.ping_after, self._keepalive)
            return
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

    def _in(self, delay: float, then: Callable[[Message], object], message: Message) -> None:
        if delay:
            self._later(delay, lambda: then(message))
        else:
            then(message)

    def _later(self, seconds: float, then: Callable[[], object]) -> None:
        """Call `then` later, unless the connection is over before."""

        def fire() -> None:
            self._timers.discard(handle)
            then()

        handle = self._loop.call_later(seconds, fire)
        self._timers.add(handle)


def make_room(sessions: set[Session], most: int | None) -> None:
    """End connections without a Hello until one more is within the limit; None for no limit."""
    unproven = [one for one in sessions if not one.greeted]
    while most is not None and len(unproven) >= most:
        [(host, _)] = Counter(one.peer for one in unproven).most_common(1)
        of_host = (one for one in unproven if one.peer == host)
        oldest = min(of_host, key=lambda one: one.accepted_at)
        unproven.remove(oldest)
        # It counts for nothing from now on, not only once the loop has told it of its end.
        sessions.discard(oldest)
        oldest.reset()
