"""A connection that leaves advertisements as they came, where reading them is compiled."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from aioesphomeapi.connection import APIConnection
from aioesphomeapi.core import APIConnectionError
from google.protobuf.message import Message

from proxyconn.radio import Report
from proxyconn_esphome.wire.messages import BluetoothLERawAdvertisementsResponse
from proxyconn_esphome.wire.raw_reports import BatchReader

RAW_ADVERTISEMENTS = 93
"""Number of the message with a batch of advertisements (api.proto)."""

PING_RESPONSE = 8
"""Number of the message that says no more than that the proxy is there (api.proto)."""

ALIVE_EVERY = 1.0
"""Seconds from one batch that is taken for such a message to the next: it costs as much as half a
batch, and is asked for after twenty (aioesphomeapi KEEP_ALIVE_FREQUENCY)."""

MOST_BATCH = 4096
"""Bytes of a batch whose advertisements are not looked at one by one: ESPHome's largest, 16 of 62
bytes each (bluetooth_proxy.cpp FLUSH_BATCH_SIZE), has a third of them."""

MOST_REPORTS = 512
"""Advertisements taken from a larger batch."""

MOST_DATA = 1650
"""Bytes of an advertisement, extended ones included (Core Specification vol 4 E 7.8.54)."""


MaySend = Callable[[], bool]
"""Says whether a proxy is ours at this moment."""

TakeBatch = Callable[[Sequence[Report[bytes]], float], None]
"""Takes the advertisements of one message, and the loop's time."""


class Messages(Protocol):
    """Where messages come from."""

    def add_message_callback(
        self, on_message: Callable[[Any], None], msg_types: tuple[type[Any], ...]
    ) -> Callable[[], None]:
        """Call `on_message` with each message of the types; returns the unsubscribe."""
        ...


_LOGGER = logging.getLogger(__name__)


class NotOursError(APIConnectionError):
    """Nothing may be sent to a proxy that is somebody else's by now."""


def transport_of(helper: object) -> asyncio.WriteTransport | None:
    """Return the transport that aioesphomeapi writes with; None when it has none."""
    # It keeps no more of it than the method.
    write = getattr(helper, "_writelines", None)
    transport = getattr(write, "__self__", None)
    return transport if isinstance(transport, asyncio.WriteTransport) else None


class RawConnection(APIConnection):
    """aioesphomeapi's connection, which makes no message of a batch that can be read without.

    Where a base class never calls `process_packet`, they all come as messages.

    Attributes:
        reads_batches: whether to do so: not for those who read messages in a debug log.
        take_batch: called with what is read; None as long as nobody wants it.
        may_send: whether the proxy is ours just now; None if it always is.
    """

    reads_batches = True
    take_batch: TakeBatch | None = None
    may_send: MaySend | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reader = BatchReader()
        self._time = asyncio.get_running_loop().time
        self._alive_at = float("-inf")

    def send_messages(self, msgs: tuple[Message, ...]) -> None:
        """Write messages: every one passes here, pings and goodbyes too.

        Raises:
            NotOursError: the proxy is not ours any more; the connection is ended without a goodbye.
            APIConnectionError: the connection is gone.
        """
        if self.may_send is not None and not self.may_send():
            error = NotOursError("the proxy is not ours any more")
            self.cut(error)
            raise error
        super().send_messages(msgs)

    def cut(self, error: APIConnectionError) -> None:
        """End the connection at once; what was not written yet is not written any more."""
        # What aioesphomeapi closes, it lets write what is left.
        helper = getattr(self, "_frame_helper", None)
        if transport := transport_of(helper):
            transport.abort()
        self.report_fatal_error(error)

    def process_packet(self, msg_type_proto: int, data: bytes) -> None:
        """Take what the proxy sent."""
        take = self.take_batch
        if (
            msg_type_proto != RAW_ADVERTISEMENTS
            or take is None
            or not self.reads_batches
            or len(data) > MOST_BATCH
        ):
            super().process_packet(msg_type_proto, data)
            return
        try:
            reports = self._reader.read(data)
        except ValueError:
            # Protobuf reads fields that are new, and ends the connection for what is malformed.
            super().process_packet(msg_type_proto, data)
            return
        now = self._time()
        if now >= self._alive_at + ALIVE_EVERY:
            self._alive_at = now
            super().process_packet(PING_RESPONSE, b"")
        try:
            take(reports, now)
        except Exception:
            # As for a handler of messages: its defect must not end the connection.
            _LOGGER.exception("%s: a batch of advertisements was not taken", self.log_name)

    def set_debug(self, enable: bool) -> None:
        """Log every message, or no more."""
        self.reads_batches = not enable
        super().set_debug(enable)


def take_batches(wire: Messages, take: TakeBatch) -> Callable[[], None]:
    """Call `take` with the advertisements of each batch that comes; returns the unsubscribe."""
    time = asyncio.get_running_loop().time
    remove = wire.add_message_callback(
        lambda message: take(reports_of(message), time()), (BluetoothLERawAdvertisementsResponse,)
    )
    if not isinstance(wire, RawConnection):
        return remove
    wire.take_batch = take

    def remove_both() -> None:
        wire.take_batch = None
        remove()

    return remove_both


def reports_of(message: BluetoothLERawAdvertisementsResponse) -> Sequence[Report[bytes]]:
    """Return what a message says, within bounds."""
    # A list of its own: protobuf's takes longer to go through.
    reports: Sequence[Report[bytes]] = message.advertisements[:]
    if message.ByteSize() > MOST_BATCH:
        return [report for report in reports[:MOST_REPORTS] if len(report.data) <= MOST_DATA]
    return reports
