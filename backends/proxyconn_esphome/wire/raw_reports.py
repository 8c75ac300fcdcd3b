"""A batch of advertisements as it is on the wire (message 93), read without a message for each.

Only worth it where this is compiled: Python reads the message that protobuf makes of it faster.
"""

from __future__ import annotations

from proxyconn.advertised.memory import lies_at, only_kept
from proxyconn.advertised.reports import LAST_ADDRESS, PlainReport

REPORT, ADDRESS, RSSI, ADDRESS_TYPE, DATA = 0x0A, 0x08, 0x10, 0x18, 0x22
"""Tags (api.proto): field number by 8, and 2 for what has a length, 0 for a number."""

LAST_SHIFT = 63
"""Bits of a number that are read; larger ones are left to protobuf."""

LENGTH_BYTES = 5
"""Bytes of a length at most (protobuf takes 32 bits for one)."""

BITS_32 = 0xFFFFFFFF
"""What counts of a number whose field has 32 bits."""

PLACES = 1024
"""Devices of which it is known what they said last; a power of two, more than one proxy hears."""


class BatchReader:
    """Reads protobuf's encoding (protobuf.dev/programming-guides/encoding) of many batches.

    Attributes:
        data: what is read.
        bytes: the same, which C finds without asking.
        at: where the next byte is.
        last: the last report of each device, in the place of its address's lowest bits.
    """

    __slots__ = ("at", "bytes", "data", "last")

    def __init__(self) -> None:
        self.data = b""
        self.bytes = self.data
        self.at = 0
        self.last: list[PlainReport | None] = [None] * PLACES

    def read(self, data: bytes) -> list[PlainReport]:
        """Return what a message says, without reports of what is no device.

        Raises:
            ValueError: it is malformed, or has fields that are not known here; protobuf knows.
        """
        self.data = data
        self.bytes = data
        self.at = 0
        end = len(data)
        reports = []
        while self.at < end:
            tag = self.bytes[self.at]
            self.at += 1
            if tag != REPORT:
                raise ValueError("an unknown field")
            report = self.report(self.length(end))
            if report is not None:
                reports.append(report)
        return reports

    def number(self, end: int) -> int:
        """Return the next number; it must end before `end`. Raises ValueError."""
        value = shift = 0
        at = self.at
        while at < end and shift < LAST_SHIFT:
            byte = self.bytes[at]
            at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                self.at = at
                return value
            shift += 7
        raise ValueError("a number does not end, or has more than 63 bits")

    def length(self, end: int) -> int:
        """Return where what has a length ends; at `end` at the latest. Raises ValueError."""
        start = self.at
        size = self.number(end)
        if size > end - self.at:
            raise ValueError("cut off")
        if self.at - start > LENGTH_BYTES:
            raise ValueError("a length has more bytes than protobuf takes")
        return self.at + size

    def report(self, end: int) -> PlainReport | None:
        """Return what is said up to `end`; None of what is no device.

        Raises:
            ValueError: there is something that a report does not have.
        """
        address = address_type = rssi = start = stop = 0
        while self.at < end:
            tag = self.bytes[self.at]
            self.at += 1
            if tag == ADDRESS:
                address = self.number(end)
            elif tag == RSSI:
                # The sign is in the lowest bit.
                zigzag = self.number(end) & BITS_32
                rssi = zigzag >> 1
                rssi = -rssi - 1 if zigzag & 1 else rssi
            elif tag == ADDRESS_TYPE:
                address_type = self.number(end) & BITS_32
            elif tag == DATA:
                stop = self.length(end)
                start = self.at
                self.at = stop
            else:
                raise ValueError("an unknown field")
        if address > LAST_ADDRESS:
            return None
        report = self.said_last(address)
        report.address_type = address_type
        report.rssi = rssi
        if not lies_at(self.data, start, stop, report.data):
            report.data = self.bytes[start:stop]
        return report

    def said_last(self, number: int) -> PlainReport:
        """Return a report to write in for a device, with what was said last in its place."""
        place = number & (PLACES - 1)
        last = self.last[place]
        if last is None or not only_kept(last):
            # Its constructor would take half of the time that all of this takes.
            fresh = PlainReport.__new__(PlainReport)
            fresh.address = number if last is None else last.address
            fresh.data = b"" if last is None else last.data
            last = self.last[place] = fresh
        known = last.address
        if known != number:
            last.address = number
        return last
