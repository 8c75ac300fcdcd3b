"""The way to aioesphomeapi's connection: the one place that goes past its public face.

`APIClient` offers a high-level call for each Bluetooth request, and each of those scans every call
that is pending for every reply. We want its framing, encryption, login and keepalive, but one
dispatcher of our own, and for that the connection itself; there is no public way to it. Nor is
there one to say later which MAC address is expected, as there is for the name, or to see how much
of what was written has not been read.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from aioesphomeapi.client import APIClient
from google.protobuf.message import Message

BITE = 16384
"""Bytes: more than a proxy ever has to say at once."""


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


class WireClient(APIClient):
    """An APIClient that lends its connection."""

    def wire(self) -> Wire:
        """Return the connection. Raises APIConnectionError if it is not up."""
        return self._get_connection()

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
        helper = getattr(self._connection, "_frame_helper", None)
        # The method of the transport that aioesphomeapi writes with; None when it has none.
        write = getattr(helper, "_writelines", None)
        transport = getattr(write, "__self__", None)
        return transport if isinstance(transport, asyncio.WriteTransport) else None

    def expect_mac(self, mac: str) -> None:
        """Refuse any other device from the next handshake on; 12 lower-case hex digits."""
        self._params.expected_mac = mac
