"""Every device that any radio of a fleet hears. Knows no clock: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.advertised.fields import Fields
from proxyconn.advertisements.hearing import hear
from proxyconn.advertisements.merged_device import Heard, Sighting
from proxyconn.callbacks import Callbacks
from proxyconn.models import NO_RSSI_VALUE
from proxyconn.radio import PayloadT, Radio, Report

SWEEP_EVERY = 60.0
"""Seconds between two looks for devices that nobody hears any more."""

MOST_SIGHTINGS = 20_000
"""Devices remembered at most: phones change their address every few minutes."""

KEPT_SIGHTINGS = 15_000
"""Devices left after those that were heard longest ago had to go."""

DetectionCallback = Callable[[BLEDevice, AdvertisementData], object]


class SightingTable(Mapping[str, Sighting]):
    """Address -> what is heard of the device.

    Args:
        make_device: makes the device that users hold, from its address and address type.
        changed: called when a callback has come or gone.

    Attributes:
        callbacks: called with every advertisement; what they are given is their own.
        change_callbacks: called with those that say something else than the one before.
        lost_callbacks: called with each device that is not heard any more.
        sweep_at: when it is time to look for devices that went silent, in seconds.
    """

    def __init__(
        self,
        make_device: Callable[[str, int], BLEDevice],
        changed: Callable[[], object] | None = None,
    ) -> None:
        self._make_device = make_device
        self._sightings: dict[str, Sighting] = {}
        self._by_radio: dict[Radio, dict[int, Heard]] = {}
        self.sweep_at = SWEEP_EVERY
        self.callbacks = Callbacks[BLEDevice, AdvertisementData]("the fleet", changed)
        self.change_callbacks = Callbacks[BLEDevice, AdvertisementData]("the fleet", changed)
        self.lost_callbacks = Callbacks[BLEDevice]("the fleet", changed)

    @property
    def is_listened_to(self) -> bool:
        """Whether anybody wants to be told of what is heard."""
        every = (self.callbacks, self.change_callbacks, self.lost_callbacks)
        return any(callbacks.registered for callbacks in every)

    def __getitem__(self, address: str) -> Sighting:
        return self._sightings[address]

    def __iter__(self) -> Iterator[str]:
        return iter(self._sightings)

    def __len__(self) -> int:
        return len(self._sightings)

    def hear(
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], Fields],
        now: float,
    ) -> bool:
        """Take what a radio heard, and tell those who asked; return whether a device is new."""
        known = self._by_radio.get(radio)
        if known is None:
            known = self._by_radio[radio] = {}
        before = len(self._sightings)
        hear(self, radio, known, reports, parse, now)
        return len(self._sightings) != before

    def first_heard(self, radio: Radio, report: Report[Any], rssi: int, now: float) -> Heard:
        """Return what the radio hears of a device whose signal it has not measured so far."""
        address = int_to_bluetooth_address(report.address)
        sighting = self._sightings.get(address)
        if sighting is None:
            device = self._make_device(address, report.address_type)
            sighting = self._sightings[address] = Sighting(device)
            if len(self._sightings) >= MOST_SIGHTINGS:
                self.sweep_at = now
        heard = sighting.heard.get(radio)
        if heard is None:
            heard = Heard(radio, sighting, rssi, now, report.address_type)
            sighting.heard[radio] = heard
        else:
            heard.hear_again(rssi, now)
        if rssi != NO_RSSI_VALUE:
            self._by_radio[radio][report.address] = heard
        sighting.weigh(heard, now)
        return heard

    def attributed(self, radio: Radio, reports: Iterable[Report[Any]]) -> list[Report[Any]]:
        """Return the reports of devices that are attributed to the radio that made them."""
        known = self._by_radio.get(radio, {})
        return [report for report in reports if self._is_best(radio, known, report.address)]

    def _is_best(self, radio: Radio, known: Mapping[int, Heard], number: int) -> bool:
        if heard := known.get(number):
            return heard.sighting.best is heard
        sighting = self._sightings.get(int_to_bluetooth_address(number))
        return bool(sighting and sighting.best and sighting.best.radio is radio)

    def rename_radio(self, radio: Radio) -> None:
        """Take note that a radio is called otherwise now."""
        for sighting in self._sightings.values():
            if sighting.best and sighting.best.radio is radio:
                sighting.attribute(radio)

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
        for sighting in self._sightings.values():
            sighting.lose(radio)
        self._forget([address for address, one in self._sightings.items() if not one.heard])

    def sweep(self, now: float, keep: Container[str]) -> bool:
        """Forget devices that went silent, but those to `keep`; False if it is not time yet."""
        if now < self.sweep_at:
            return False
        crowded = len(self) >= MOST_SIGHTINGS
        self.forget_silent(now, keep)
        if crowded and len(self) > KEPT_SIGHTINGS:
            idle = sorted(
                (one.at(), address) for address, one in self.items() if address not in keep
            )
            self._forget([address for _, address in idle[: len(self) - KEPT_SIGHTINGS]])
        return True

    def forget_silent(self, now: float, keep: Container[str]) -> None:
        """Forget devices that went silent, by the rhythm of each, but those to `keep`."""
        self.sweep_at = now + SWEEP_EVERY
        self._forget(
            [
                address
                for address, sighting in self._sightings.items()
                if sighting.is_stale(now) and address not in keep
            ]
        )

    def _forget(self, addresses: Collection[str]) -> None:
        """Forget devices, and tell those who asked."""
        if not addresses:
            return
        lost = [self._sightings.pop(address).device for address in addresses]
        gone = set(addresses)
        for radio, known in self._by_radio.items():
            self._by_radio[radio] = {
                number: heard
                for number, heard in known.items()
                if heard.sighting.device.address not in gone
            }
        for device in lost:
            self.lost_callbacks(device)
