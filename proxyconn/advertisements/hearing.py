"""What is done with every advertisement of every radio; compiled where there is a compiler.

Names and types of what is compiled are in `hearing.pxd`, as for each module that has such a file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from typing import Any, Final, Protocol

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn.advertised.fields import NO_SIGNAL_FROM, Fields, measured, own_platform_data
from proxyconn.advertised.memory import fetch, let_go, new_tuple
from proxyconn.advertised.reports import COMPILED, LAST_ADDRESS, PlainReport, plain_reports
from proxyconn.advertisements.merged_device import (
    RHYTHM_SMOOTHING,
    RSSI_SMOOTHING,
    STALE_AT_LEAST,
    Heard,
)
from proxyconn.callbacks import Callbacks
from proxyconn.models import NO_RSSI_VALUE
from proxyconn.radio import Radio, Report

FEW: Final = 256
"""Devices of which a processor's nearer caches hold what is known; looking ahead costs more."""

_LOGGER = logging.getLogger(__name__)


class Table(Protocol):
    """Where it is noted.

    Attributes:
        callbacks: called with every advertisement.
        change_callbacks: called with those that say something else than the one before.
    """

    callbacks: Callbacks[[BLEDevice, AdvertisementData]]
    change_callbacks: Callbacks[[BLEDevice, AdvertisementData]]

    def first_heard(self, radio: Radio, report: Report[Any], rssi: int, now: float) -> Heard:
        """Return what the radio hears of a device whose signal it has not measured so far."""


def look_ahead(known: dict[int, Heard], reports: list[PlainReport], every: bool) -> list[Heard]:
    """Return what the radio hears of the devices, the last report's first, to be worked through.

    Nothing where that would not help: one of them is new, or there are few.

    No cache holds what is known of hundreds of devices. What `hear` is about to need of it is
    fetched for the whole batch at once, layer by layer, so that it need not wait for each piece.
    With `every`, that is what somebody is told; else only of those that say something else.
    """
    found: list[Heard] = []
    if len(known) <= FEW:
        return found
    for report in reports:
        heard = known.get(report.address)
        if heard is None:
            return []
        found.append(heard)
        fetch(heard)
    for heard in found:
        fetch(heard.sighting)
    needed = []
    for at, heard in enumerate(found):
        report, sighting = reports[at], heard.sighting
        if every or report.data is not sighting.payload:
            needed.append(sighting)
            fetch(sighting.device)
            fetch(sighting.turns)
            fetch(sighting.said)
    for sighting in needed:
        fetch(sighting.turns.latest)
        said = sighting.said
        fetch(said[1])
        fetch(said[2])
        fetch(said[3])
    found.reverse()
    return found


def hear(  # noqa: C901, PLR0915 - one flat loop: this runs for every advertisement of every proxy
    table: Table,
    radio: Radio,
    known: dict[int, Heard],
    reports: Iterable[Report[Any]],
    parse: Callable[[Any], Fields],
    now: float,
) -> None:
    """Note what a radio heard (`known`: by address, `now`: in seconds) and tell those who asked."""
    every, changes = table.callbacks.registrations, table.change_callbacks.registrations
    ahead: list[Heard] = []
    if COMPILED:
        reports = plain_reports(reports)
        ahead = look_ahead(known, reports, bool(every.now))
    for report in reports:
        rssi = report.rssi
        heard = ahead.pop() if ahead else known.get(report.address)
        if heard is None:
            if report.address > LAST_ADDRESS:
                continue
            rssi, earlier = measured(rssi), now
            heard = table.first_heard(radio, report, rssi, now)
        else:
            earlier = heard.at
            if now > earlier:
                heard.interval += RHYTHM_SMOOTHING * (now - earlier - heard.interval)
                heard.at = now
            if rssi < NO_SIGNAL_FROM and rssi > NO_RSSI_VALUE:
                heard.rssi += RSSI_SMOOTHING * (rssi - heard.rssi)
                heard.last_rssi = rssi
            else:
                rssi = NO_RSSI_VALUE
        sighting = heard.sighting
        if report.address_type != heard.address_type:
            sighting.correct(heard, report.address_type)
        best = sighting.best
        if heard is not best and (
            best is None or heard.rssi > best.rssi or now - best.at > STALE_AT_LEAST
        ):
            sighting.weigh(heard, now)
        data = report.data
        registered = every.now
        if data is not sighting.payload and data != sighting.payload:
            sighting.payload = data
            sighting.take(parse(data), heard, earlier)
            registered += changes.now
        for registration in registered:
            callback = registration.callback
            if callback is None:
                continue
            name, companies, services, uuids, tx_power, _, platform_data = sighting.said
            own = (
                name,
                companies.copy() if companies else {},
                services.copy() if services else {},
                uuids[:] if uuids else [],
                tx_power,
                rssi,
                own_platform_data(platform_data) if platform_data else (),
            )
            try:
                callback(sighting.device, new_tuple(AdvertisementData, own))
                if COMPILED:
                    let_go(own)
            except Exception:
                # One listener's defect must not deafen the others, nor the radio.
                _LOGGER.exception("a callback of the fleet failed: %r", callback)
