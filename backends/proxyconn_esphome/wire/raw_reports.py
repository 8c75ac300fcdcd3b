"""A batch of advertisements as it is on the wire (message 93), read without a message for each.

Only worth it where this is compiled: Python reads the message that protobuf makes of it faster.
"""

from __future__ import annotations

from proxyconn.advertised.reports import LAST_ADDRESS, PlainReport

REPORT, ADDRESS, RSSI, ADDRESS_TYPE, DATA = 0x0A, 0x08, 0x10, 0x18, 0x22
"""Tags (api.proto): field number by 8, and 2 for what has a length, 0 for a number."""

LAST_SHIFT = 63
"""Bits of a number that are read; larger ones are left to protobuf."""

BITS_32 = 0xFFFFFFFF
"""What counts of a number whose field has 32 bits."""


class _Reader:
    """Reads protobuf's encoding (protobuf.dev/programming-guides/encoding).

    Attributes:
        data: what is read.
        bytes: the same, which C finds without asking.
        at: where the next byte is.
    """

    __slots__ = ("at", "bytes", "data")

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.bytes = data
        self.at = 0

    def number(self, end: int) -> int:
        """Return the next number; it must end before `end`. Raises ValueError."""
        value = shift = 0
        while self.at < end and shift < LAST_SHIFT:
            byte = self.bytes[self.at]
            self.at += 1
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
        raise ValueError("a number does not end, or has more than 63 bits")

    def length(self, end: int) -> int:
        """Return where what has a length ends; at `end` at the latest. Raises ValueError."""
        size = self.number(end)
        if size > end - self.at:
            raise ValueError("cut off")
        return self.at + size

    def report(self, end: int) -> PlainReport:
        """Return what is said up to `end`. Raises ValueError for what is not a report's."""
        # Its constructor would take half of the time that all of this takes.
        report = PlainReport.__new__(PlainReport)
        report.address = report.address_type = report.rssi = 0
        report.data = b""
        while self.at < end:
            tag = self.bytes[self.at]
            self.at += 1
            if tag == ADDRESS:
                report.address = self.number(end)
            elif tag == RSSI:
                # The sign is in the lowest bit.
                zigzag = self.number(end) & BITS_32
                rssi = zigzag >> 1
                report.rssi = -rssi - 1 if zigzag & 1 else rssi
            elif tag == ADDRESS_TYPE:
                report.address_type = self.number(end) & BITS_32
            elif tag == DATA:
                stop = self.length(end)
                report.data = self.bytes[self.at : stop]
                self.at = stop
            else:
                raise ValueError("an unknown field")
        return report


def read_reports(data: bytes) -> list[PlainReport]:
    """Return what a message says, without reports of what is no device.

    Raises:
        ValueError: it is malformed, or has fields that are not known here; protobuf knows.
    """
    reader = _Reader(data)
    end = len(data)
    reports = []
    while reader.at < end:
        tag = reader.bytes[reader.at]
        reader.at += 1
        if tag != REPORT:
            raise ValueError("an unknown field")
        report = reader.report(reader.length(end))
        if report.address <= LAST_ADDRESS:
            reports.append(report)
    return reports
