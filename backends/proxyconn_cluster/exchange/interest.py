"""Which advertisements somebody wants to hear; sorted out where they are heard.

Knows no clock: the time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final
from uuid import UUID

import msgspec
from bluetooth_data_tools import mac_to_int, parse_advertisement_data_bytes

from proxyconn.radio import Report
from proxyconn_cluster.bus.subjects import address_token

SAY_AGAIN_AFTER: Final = 30.0
"""Seconds after which a device that says and is nothing new is passed on all the same."""

MOST_REMEMBERED: Final = 10_000
"""Devices of which one radio remembers what was passed on last."""

MOST_NAMED: Final = 4096
"""Addresses, services and sites of one interest, together: it must fit into one message."""


class Interest(msgspec.Struct, frozen=True):
    """What one listener wants to hear; without any limit, everything.

    Attributes:
        addresses: of the only devices; None for all.
        services: UUIDs, as 128-bit text, of which a device must advertise one; None for any.
        change: dB by which the signal must differ from what was passed on last, unless the device
            says something new or `SAY_AGAIN_AFTER` has passed; None to have every advertisement.
        sites: where it is to be heard; None for everywhere.

    Raises:
        ValueError: an address or a service is none, or there are too many of them.
    """

    addresses: tuple[str, ...] | None = None
    services: tuple[str, ...] | None = None
    change: int | None = None
    sites: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        # Checked where it is made, and where it is received: owners sort by it for everybody.
        named = sum(len(one or ()) for one in (self.addresses, self.services, self.sites))
        if named > MOST_NAMED:
            raise ValueError(f"an interest names {named} things: {MOST_NAMED} at most")
        for address in self.addresses or ():
            address_token(address)
        for service in self.services or ():
            _check_service(service)

    def is_of(self, site: str) -> bool:
        """Whether what is heard at a site is of interest at all."""
        return self.sites is None or site in self.sites

    @property
    def is_everything(self) -> bool:
        """Whether nothing is left out."""
        return self == EVERYTHING


EVERYTHING: Final = Interest()


class Sieve:
    """Picks what any of several listeners wants of what one radio hears.

    Args:
        interests: of all listeners.
    """

    def __init__(self, interests: Iterable[Interest]) -> None:
        self._interests = [
            (
                None if one.addresses is None else {mac_to_int(text) for text in one.addresses},
                None if one.services is None else {text.lower() for text in one.services},
                one.change,
            )
            for one in interests
        ]
        self._everything = any(each == (None, None, None) for each in self._interests)
        self._passed: dict[int, tuple[float, int, object]] = {}

    def pick(self, reports: Iterable[Report[Any]], now: float) -> Sequence[Report[Any]]:
        """Return those that somebody wants, of what was heard at the time `now` in seconds."""
        if self._everything:
            return list(reports)
        return [report for report in reports if self._is_wanted(report, now)]

    def _is_wanted(self, report: Report[Any], now: float) -> bool:
        for addresses, services, change in self._interests:
            if addresses is not None and report.address not in addresses:
                continue
            if services is not None and services.isdisjoint(_services(report.data)):
                continue
            if change is None or self._is_new(report, change, now):
                self._remember(report, now)
                return True
        return False

    def _is_new(self, report: Report[Any], change: int, now: float) -> bool:
        at, rssi, data = self._passed.get(report.address, (float("-inf"), 0, None))
        return (
            now - at >= SAY_AGAIN_AFTER or data != report.data or abs(rssi - report.rssi) >= change
        )

    def _remember(self, report: Report[Any], now: float) -> None:
        if len(self._passed) >= MOST_REMEMBERED:
            self._passed.clear()
        self._passed[report.address] = (now, report.rssi, report.data)


def _check_service(text: str) -> None:
    try:
        fine = str(UUID(text)) == text.lower()
    except ValueError:
        fine = False
    if not fine:
        raise ValueError(f"{text[:64]!r} is no UUID of a service, as 128-bit text")


def _services(data: object) -> Iterable[str]:
    if isinstance(data, bytes):
        return parse_advertisement_data_bytes(data)[1]
    return getattr(data, "service_uuids", ())
