"""The way to aioesphomeapi's connection: the one place that goes past its public face.

`APIClient` offers a high-level call for each Bluetooth request, and each of those scans every call
that is pending for every reply. We want its framing, encryption, login and keepalive, but one
dispatcher of our own, and for that the connection itself; there is no public way to it. Nor is
there one to say later which MAC address is expected, as there is for the name, to put the addresses
in another order, or to see how much of what was written has not been read. And its server for
proxies that call takes those alone whose MAC addresses it was told before.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any, Protocol

from aioesphomeapi.client import APIClient
from aioesphomeapi.connection import APIConnection
from aioesphomeapi.core import APIConnectionCancelledError
from aioesphomeapi.outgoing_connection import OutgoingConnectionServer
from google.protobuf.message import Message

from proxyconn.advertised.reports import COMPILED
from proxyconn_esphome.wire.raw_connection import (
    MaySend,
    NotOursError,
    RawConnection,
    transport_of,
)

BITE = 16384
"""Bytes: more than a proxy ever has to say at once."""

_LOGGER = logging.getLogger(__name__)


class Wire(Protocol):
    """What we use of `aioesphomeapi.connection.APIConnection`."""

    def send_message(self, msg: Message) -> None:
        """Write one message. Raises APIConnectionError if the connection is gone."""
        ...

    def send_messages(self, msgs: tuple[Message, ...]) -> None:
        """Write several messages at once. Raises APIConnectionError if the connection is gone."""
        ...

    def add_message_callback(
        self, on_message: Callable[[Any], None], msg_types: tuple[type[Any], ...]
    ) -> Callable[[], None]:
        """Call `on_message` with each message of the types; returns the unsubscribe."""
        ...


class NotCalledError(APIConnectionCancelledError):
    """The proxy is not called: it calls by itself. Nobody is warned of that."""


class WireClient(APIClient):
    """An APIClient that lends its connection.

    Attributes:
        waits: whether to wait for the proxy's call instead of calling it.
        may_send: whether the proxy is ours just now; None if it always is.
    """

    waits = False
    may_send: MaySend | None = None

    async def start_resolve_host(
        self,
        on_stop: Callable[[bool], Coroutine[Any, Any, None]] | None = None,
        log_errors: bool = True,
    ) -> None:
        """Begin to call the proxy. Raises NotCalledError if it calls by itself."""
        if self.waits:
            raise NotCalledError(f"{self.log_name}: it calls by itself")
        if self.may_send is not None and not self.may_send():
            raise NotCalledError(f"{self.log_name}: it is not ours to call")
        await super().start_resolve_host(on_stop, log_errors)

    def _create_connection(
        self, on_stop: Callable[[bool], Coroutine[Any, Any, None]] | None, log_errors: bool
    ) -> APIConnection:
        """Create a connection that does not make messages of advertisements, if that is faster.

        A newer aioesphomeapi may create its connection otherwise; then it makes messages.
        """
        if (COMPILED or self.may_send) and self._connection is None:
            try:
                stopped = partial(self._on_stop, on_stop)
                debug = self._debug_enabled
                made = RawConnection(self._params, stopped, debug, self.log_name, log_errors)
            except (AttributeError, TypeError) as exc:
                if self.may_send:
                    raise
                _LOGGER.debug("%s: advertisements come as messages: %r", self.log_name, exc)
            else:
                made.reads_batches = COMPILED and not debug
                made.may_send = self.may_send
                self._connection = made
                return made
        return super()._create_connection(on_stop, log_errors)

    def wire(self) -> Wire:
        """Return the connection. Raises APIConnectionError if it is not up."""
        return self._get_connection()

    last_peer: str | None = None
    """IP address that took the last call; None if none did."""

    async def start_connection(self) -> None:
        """Connect to whichever of the addresses answers first."""
        self.last_peer = None
        await super().start_connection()
        self.last_peer = self.connected_address

    def call_at(self, hosts: list[str]) -> None:
        """Take other addresses from the next attempt on, or another order of them."""
        self._params.addresses = list(hosts)

    def take_small_bites(self) -> None:
        """Read at most BITE bytes at once, so that other tasks have their turn in between.

        asyncio reads 256 KiB, and a flood of the smallest messages makes over a second of those.
        """
        transport = self._transport()
        if transport and hasattr(transport, "max_size"):  # asyncio's own has; others need not
            transport.max_size = BITE

    def unread(self) -> int:
        """Return the bytes that wait for the proxy to read what was written before them."""
        transport = self._transport()
        return transport.get_write_buffer_size() if transport else 0

    def abort(self) -> None:
        """End the connection without waiting for the proxy to read what was written."""
        if transport := self._transport():
            transport.abort()

    def _transport(self) -> asyncio.WriteTransport | None:
        return transport_of(getattr(self._connection, "_frame_helper", None))

    def cut(self) -> None:
        """End the connection at once and without a goodbye: the proxy is not ours any more."""
        if isinstance(self._connection, RawConnection):
            self._connection.cut(NotOursError("the proxy is not ours any more"))

    def expect_mac(self, mac: str) -> None:
        """Refuse any other device from the next handshake on; 12 lower-case hex digits."""
        self._params.expected_mac = mac

    def declare_target(self, declared: bool) -> None:
        """Say, from the next Hello on, whether the proxy may call us by itself."""
        self._params.outgoing_connection_target = declared


Answer = Callable[[str, str, str, socket.socket], None]
"""Takes a call: name and MAC address that the caller says it has, the IP address that it has, and
the connected socket."""

MOST_HELLO = 128
"""Bytes of the hello that a proxy calls with: name and MAC address (api_frame_helper_noise.cpp)."""

_HELLO_START = 4
"""Bytes before the name: marker, two of length, and the number of the protocol."""


class _EveryMac(dict[str, Any]):
    """Has the same target for whatever MAC address is asked for."""

    def __init__(self, target: object) -> None:
        super().__init__()
        self._target = target

    def get(self, key: str, default: Any = None) -> Any:
        return self._target


class CallServer(OutgoingConnectionServer):
    """Listens for proxies that call, whoever they are; each must say so within 10 s.

    Args:
        port: TCP port; on every address of this machine.
        answer: told of each call.
    """

    def __init__(self, port: int, answer: Answer) -> None:
        super().__init__(port)
        self._answer = answer
        self._targets = _EveryMac(self)

    async def async_adopt_connection(self, sock: socket.socket) -> bool:
        """Pass a call on; its hello is whole and still to be read."""
        try:
            # The socket does not block, and what is asked for is there.
            hello = sock.recv(MOST_HELLO, socket.MSG_PEEK)[_HELLO_START:]
            host = str(sock.getpeername()[0]).removeprefix("::ffff:")
        except OSError:
            sock.close()
            return False
        name, mac, *_ = hello.split(b"\0")
        self._answer(name.decode(errors="replace"), mac.decode("ascii").lower(), host, sock)
        return True
