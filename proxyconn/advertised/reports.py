"""A report as plain values, which is what compiled code reads fastest."""

from __future__ import annotations

from collections.abc import Iterable
from types import FunctionType
from typing import Any, Final, Protocol

from proxyconn.advertised.fields import measured

LAST_ADDRESS: Final = 0xFFFFFFFFFFFF
"""A device's address has 48 bits (Core Specification vol 6 B 1.3); what is larger is none."""


class AnyReport(Protocol):
    """What a radio heard, in whatever form; `proxyconn.radio.Report` says what is what."""

    @property
    def address(self) -> int:
        """The device's address."""
        ...

    @property
    def address_type(self) -> int:
        """Its type."""
        ...

    @property
    def rssi(self) -> int:
        """Signal strength in dBm."""
        ...

    @property
    def data(self) -> Any:
        """What was said."""
        ...


class PlainReport:
    """One advertisement that a radio heard, as values of its own.

    Attributes:
        address: the device's address, 48 bits, first octet most significant.
        address_type: 0 public, 1 random, as in HCI (Core Specification vol 4 E 7.7.65.2).
        rssi: signal strength in dBm.
        data: what was said.
    """

    __slots__ = ("address", "address_type", "data", "rssi")

    def __init__(self, address: int, address_type: int, rssi: int, data: Any) -> None:
        self.address = address
        self.address_type = address_type
        self.rssi = rssi
        self.data = data

    def __repr__(self) -> str:
        return f"<PlainReport {self.address:012X} {self.rssi} dBm {self.data!r}>"


def plain_reports(reports: Iterable[AnyReport]) -> list[PlainReport]:
    """Return reports as plain ones, without those of what is no device."""
    if type(reports) is list:
        for report in reports:
            # Compiled code reads them without a look at their type.
            if type(report) is not PlainReport:
                break
        else:
            return reports
    plain = []
    for report in reports:
        if type(report) is PlainReport:
            plain.append(report)
        elif 0 <= report.address <= LAST_ADDRESS:
            rssi = measured(report.rssi)
            plain.append(PlainReport(report.address, report.address_type, rssi, report.data))
    return plain


COMPILED: Final = not isinstance(plain_reports, FunctionType)
"""Whether what hears advertisements runs as compiled C, and not as Python."""
