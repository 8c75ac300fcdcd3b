"""Which radio is taken for a device, and when one connect tries another one."""

from __future__ import annotations

import asyncio
from collections.abc import Collection

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn.errors import (
    BleakNotFoundError,
    ErrorKind,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.failures.rules import classify
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import Radio, identity_of
from proxyconn.routing.known_paths import Candidate

SHORTEST_ATTEMPT = 0.5
"""Seconds below which another radio is not worth trying: a link and its services take as long."""

TIDY_TIME = 1.0
"""Seconds for a radio's client to end by itself when its time is up, and to say why."""

NO_WAY = (RadioUnavailableError, UnsupportedError, BleakNotFoundError)
"""What the queue raises if there is no radio to wait for."""


def is_the_radios(error: Exception) -> bool:
    """Whether an attempt failed for a reason that need not hold for another radio."""
    failure = classify(error)
    return failure is not None and failure.rule.path_failed


class RadioChoice:
    """The radios for one device as they are now, for what is asked of one without a link.

    Args:
        hub: the fleet's.
        address: the device.
        device: the device, for when no radio has heard it; None if that is not known.
        only: identity of the only radio to take; None for the best.
    """

    def __init__(self, hub: Hub, address: str, device: BLEDevice | None, only: str | None) -> None:
        self._hub = hub
        self._address = address
        self._device = device
        self._only = only

    def device_for(self, radio: Radio) -> BLEDevice:
        """Return the device as `radio` is to be asked for it."""
        device = self.known_device()
        sighting = self._hub.sightings.get(self._address)
        if sighting is None:
            return device
        details = {**device.details, "address_type": sighting.address_type(radio)}
        return BLEDevice(device.address, device.name, details)

    def known_device(self) -> BLEDevice:
        """Return the device. Raises BleakNotFoundError if nobody knows it."""
        sighting = self._hub.sightings.get(self._address)
        device = sighting.device if sighting else self._device
        # Of a link from before, which its radio still holds, there may be no more than that.
        device = device or self._hub.connected_before(self._address)
        if device is None:
            raise BleakNotFoundError(
                f"{self._address}: no radio has heard it ({self._hub.describe_radios()})",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        return device

    def has_other_way(self, error: Exception, pairing: bool, failed: Collection[Radio]) -> bool:
        """Whether a radio that has not failed yet may succeed where this error came up."""
        if self._only is not None:
            return False
        is_reachable = self._hub.routing.is_reachable
        return is_the_radios(error) and is_reachable(self._address, pairing=pairing, but=failed)

    def any_client(self) -> BaseBleakClient | None:
        """Return a client of the best radio, whether it can be used or not; None without any."""
        candidates = self._candidates()
        if not candidates:
            return None
        radio = next((radio for path, radio in candidates if path.usable), candidates[0][1])
        sighting = self._hub.sightings.get(self._address)
        device = sighting.device if sighting else self._device
        return radio.create_client(device or self._hub.make_device(self._address, 0))

    def _candidates(self) -> list[Candidate]:
        return self._hub.routing.candidates(self._address, asyncio.get_running_loop().time())

    def idle_client(self) -> BaseBleakClient:
        """Return a client of the radio that would be taken. Raises as `best_radio`."""
        radio = self.best_radio()
        return radio.create_client(self.device_for(radio))

    def best_radio(self) -> Radio:
        """Return the radio that would be taken. Raises RadioUnavailableError if none can be."""
        self.known_device()
        for path, radio in self._candidates():
            if path.usable and self._only in (None, identity_of(radio)):
                return radio
        raise RadioUnavailableError(
            f"{self._address}: no radio can be used for it ({self._hub.describe_radios()})"
        )
