"""A connection that leaves advertisements as they came, where reading them is compiled."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from aioesphomeapi.connection import APIConnection
from aioesphomeapi.core import APIConnectionError
from google.protobuf.message import Message

from proxyconn.radio import Report
from proxyconn_esphome.wire.messages import BluetoothLERawAdvertisementsResponse
from proxyconn_esphome.wire.raw_reports import BatchReader

RAW_ADVERTISEMENTS = 93
"""Number of the message with a batch of advertisements (api.proto)."""

MOST_BATCH = 4096
"""Bytes of a batch whose advertisements are not looked at one by one: ESPHome's largest, 16 of 62
bytes each (bluetooth_proxy.cpp FLUSH_BATCH_SIZE), has a third of them."""

MOST_REPORTS = 512
"""Advertisements taken from a larger batch."""

MOST_DATA = 1650
"""Bytes of an advertisement, extended ones included (Core Specification vol 4 E 7.8.54)."""


MaySend = Callable[[], bool]
"""Says whether a proxy is ours at this moment."""


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

    Whoever handles such messages is called with an empty one, and finds here what it would say;
    where a base class never calls `process_packet`, the messages come whole.

    Attributes:
        reads_batches: whether to do so: not for those who read messages in a debug log.
        reports: what the message says that is being handled; None if it says so itself.
        may_send: whether the proxy is ours just now; None if it always is.
    """

    reads_batches = True
    reports: Sequence[Report[bytes]] | None = None
    may_send: MaySend | None = None

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self._reader = BatchReader()

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
        if msg_type_proto == RAW_ADVERTISEMENTS and self.reads_batches and len(data) <= MOST_BATCH:
            try:
                self.reports = self._reader.read(data)
            except ValueError:
                # Protobuf reads fields that are new, and ends the connection for what is malformed.
                super().process_packet(msg_type_proto, data)
                return
            try:
                # This is a sign of life too, and its handlers are called under the same care.
                super().process_packet(msg_type_proto, b"")
            finally:
                self.reports = None
        else:
            super().process_packet(msg_type_proto, data)

    def set_debug(self, enable: bool) -> None:
        """Log every message, or no more."""
        self.reads_batches = not enable
        super().set_debug(enable)


def batches_for(
    wire: object, handler: Callable[[Sequence[Report[bytes]]], None]
) -> Callable[[BluetoothLERawAdvertisementsResponse], None]:
    """Return what hands the reports of each batch of `wire` to `handler`."""
    return lambda message: handler(reports_of(wire, message))


def reports_of(
    wire: object, message: BluetoothLERawAdvertisementsResponse
) -> Sequence[Report[bytes]]:
    """Return what a message says that is being handled, within bounds."""
    if isinstance(wire, RawConnection) and wire.reports is not None:
        return wire.reports
    reports: Sequence[Report[bytes]] = message.advertisements
    if message.ByteSize() > MOST_BATCH:
        return [report for report in reports[:MOST_REPORTS] if len(report.data) <= MOST_DATA]
    return reports
