"""Every device that any radio of a fleet hears. Knows no clock: the time is an argument."""

from __future__ import annotations

import logging
from collections.abc import Callable, Container, Iterable, Iterator, Mapping

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn._models import NO_RSSI_VALUE
from proxyconn._sightings import RHYTHM_SMOOTHING, RSSI_SMOOTHING, STALE_AT_LEAST, Heard, Sighting
from proxyconn.radio import PayloadT, Radio, Report

SWEEP_EVERY = 60.0
"""Seconds between two looks for devices that nobody hears any more."""

MOST_SIGHTINGS = 20_000
"""Devices remembered at most: phones change their address every few minutes."""

LAST_ADDRESS = 0xFFFFFFFFFFFF
"""A device's address has 48 bits (Core Specification vol 6 B 1.3); what is larger is none."""

KEPT_SIGHTINGS = 15_000
"""Devices left after those that were heard longest ago had to go."""

_LOGGER = logging.getLogger(__name__)

DetectionCallback = Callable[[BLEDevice, AdvertisementData], object]


class SightingTable(Mapping[str, Sighting]):
    """Address -> what is heard of the device.

    Args:
        make_device: makes the device that users hold, from its address and address type.

    Attributes:
        callbacks: called with every advertisement.
        change_callbacks: called with those that say something else than the one before.
    """

    def __init__(self, make_device: Callable[[str, int], BLEDevice]) -> None:
        self._make_device = make_device
        self._sightings: dict[str, Sighting] = {}
        self._by_radio: dict[Radio, dict[int, Heard]] = {}
        self._swept = 0.0
        self.callbacks: list[DetectionCallback] = []
        self.change_callbacks: list[DetectionCallback] = []

    def __getitem__(self, address: str) -> Sighting:
        return self._sightings[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sightings)

    def __len__(self) -> int:
        return len(self._sightings)

    def hear(  # noqa: C901 - one flat loop: this runs for every advertisement of every proxy
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], AdvertisementData],
        now: float,
    ) -> None:
        """Take what a radio heard, and tell those who asked."""
        known = self._by_radio.get(radio)
        if known is None:
            known = self._by_radio[radio] = {}
        every, changes = tuple(self.callbacks), tuple(self.change_callbacks)
        fresh_for = every + changes
        new_tuple = tuple.__new__
        for report in reports:
            rssi = report.rssi
            heard = known.get(report.address)
            if heard is None:
                if report.address > LAST_ADDRESS:
                    continue
                heard = known[report.address] = self._first_heard(radio, report, now)
            else:
                heard.interval += RHYTHM_SMOOTHING * (now - heard.at - heard.interval)
                heard.at = now
                if rssi != NO_RSSI_VALUE:
                    heard.rssi += RSSI_SMOOTHING * (rssi - heard.rssi)
                    heard.last_rssi = rssi
            sighting = heard.sighting
            best = sighting.best
            if heard is not best and (
                best is None or heard.rssi > best.rssi or now - best.at > STALE_AT_LEAST
            ):
                sighting.weigh(heard, now)
            data = report.data
            callbacks = every
            if data != sighting.payload:
                sighting.payload = data
                sighting.take(parse(data))
                # Whoever was wrong about it first must not be believed for ever.
                sighting.device.details["address_type"] = report.address_type
                callbacks = fresh_for
            if callbacks:
                # AdvertisementData(...) takes twice as long, and sighting.report(rssi) a call.
                advertisement = new_tuple(
                    AdvertisementData, (*sighting.said, rssi, sighting.platform_data)
                )
                for callback in callbacks:
                    try:
                        callback(sighting.device, advertisement)
                    except Exception:
                        # One listener's defect must not deafen the others, nor the radio.
                        _LOGGER.exception("a callback of the fleet failed: %r", callback)

    def _first_heard(self, radio: Radio, report: Report[PayloadT], now: float) -> Heard:
        address = int_to_bluetooth_address(report.address)
        sighting = self._sightings.get(address)
        if sighting is None:
            device = self._make_device(address, report.address_type)
            sighting = self._sightings[address] = Sighting(device)
        heard = sighting.heard[radio] = Heard(radio, sighting, report.rssi, now)
        sighting.weigh(heard, now)
        return heard

    def leave_radio(self, radio: Radio, others: Container[Radio]) -> None:
        """Attribute the devices of a radio that cannot be used to `others` that hear them."""
        for sighting in self._sightings.values():
            if sighting.best and sighting.best.radio is radio:
                heard = [one for one in sighting.heard.values() if one.radio in others]
                if heard:
                    sighting.attribute(max(heard, key=lambda one: one.rssi).radio)

    def forget_radio(self, radio: Radio) -> None:
        """Forget what a radio heard: it has left."""
        self._by_radio.pop(radio, None)
        for address, sighting in list(self._sightings.items()):
            sighting.lose(radio)
            if not sighting.heard:
                del self._sightings[address]

    def sweep(self, now: float, keep: Container[str]) -> bool:
        """Forget devices that went silent, but those to `keep`; False if it is not time yet."""
        crowded = len(self) >= MOST_SIGHTINGS
        if now - self._swept < SWEEP_EVERY and not crowded:
            return False
        self._swept = now
        idle = [
            (sighting.at(), address) for address, sighting in self.items() if address not in keep
        ]
        gone = {address for _, address in idle if self[address].is_stale(now)}
        if crowded and len(self) - len(gone) > KEPT_SIGHTINGS:
            gone |= {address for _, address in sorted(idle)[: len(self) - KEPT_SIGHTINGS]}
        for address in gone:
            del self._sightings[address]
        for radio, known in self._by_radio.items():
            self._by_radio[radio] = {
                number: heard
                for number, heard in known.items()
                if heard.sighting.device.address not in gone
            }
        return True
