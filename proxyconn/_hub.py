"""Where the radios of a fleet report to, and where a path is chosen from what they report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._errors import (
    BleakNotFoundError,
    ErrorKind,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._failures import classify
from proxyconn._models import AllocationChangeEvent, RadioState
from proxyconn._paths import Path, rank
from proxyconn._sightings import Sighting
from proxyconn.radio import ROUTE, Radio, Route

_LOGGER = logging.getLogger(__name__)

DetectionCallback = Callable[[BLEDevice, AdvertisementData], object]
AllocationCallback = Callable[[AllocationChangeEvent], object]


class Hub:
    """The radios of one fleet and what they hear. Fulfils `RadioSink`.

    Args:
        make_route: makes the route to a device, from this hub and the device's address.
    """

    def __init__(self, make_route: Callable[[Hub, str], Route]) -> None:
        self._make_route = make_route
        self.radios: list[Radio] = []
        self.sightings: dict[str, Sighting] = {}
        self.detection_callbacks: list[DetectionCallback] = []
        self.allocation_callbacks: list[AllocationCallback] = []
        self.state_callbacks: list[Callable[[], object]] = []
        self._slot_waiters: list[tuple[str, asyncio.Future[None]]] = []
        self._loop = asyncio.get_running_loop()

    # RadioSink

    def radio_added(self, radio: Radio) -> None:
        """A radio joined the fleet."""
        self.radios.append(radio)
        self.state_changed(radio)

    def radio_removed(self, radio: Radio) -> None:
        """A radio left: nothing is reached through it any more."""
        if radio in self.radios:
            self.radios.remove(radio)
        for address, sighting in list(self.sightings.items()):
            sighting.lose(radio)
            if not sighting.heard:
                del self.sightings[address]
        self.state_changed(radio)

    def state_changed(self, radio: Radio) -> None:
        """A radio's state is another one now."""
        self._call(self.state_callbacks)

    def heard(
        self, radio: Radio, address: str, address_type: int, advertisement: AdvertisementData
    ) -> None:
        """A radio heard a device."""
        now = self._loop.time()
        sighting = self.sightings.get(address)
        if sighting is None:
            details = {
                "source": radio.name,
                "address_type": address_type,
                ROUTE: self._make_route(self, address),
            }
            device = BLEDevice(address, advertisement.local_name, details)
            sighting = self.sightings[address] = Sighting(device, advertisement, radio)
        sighting.hear(radio, advertisement, now)
        self._call(self.detection_callbacks, sighting.device, advertisement)

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """A radio reported its slots."""
        for event in events:
            self._call(self.allocation_callbacks, event)
        if not radio.free_slots():
            return
        for address, future in self._slot_waiters:
            sighting = self.sightings.get(address)
            if not future.done() and sighting and radio in sighting.heard:
                future.set_result(None)

    def _call(self, callbacks: Sequence[Callable[..., object]], *args: Any) -> None:
        for callback in list(callbacks):
            try:
                callback(*args)
            except Exception:
                # One listener's defect must not deafen the others, nor the radio.
                _LOGGER.exception("a callback of the fleet failed: %r", callback)

    # Paths

    def paths(self, address: str) -> list[Path]:
        """Return every path to a device, best first; none if no radio hears it."""
        return [path for path, _ in self._ranked(address)]

    def _ranked(self, address: str) -> list[tuple[Path, Radio]]:
        sighting = self.sightings.get(address)
        if sighting is None:
            return []
        now = self._loop.time()
        pairs = [(sighting.path(radio, now), radio) for radio in sighting.heard]
        return sorted(pairs, key=lambda pair: rank(pair[0]))

    def choose(self, address: str) -> Radio:
        """Return the best radio for a device.

        Raises:
            BleakNotFoundError: no radio hears it.
            UnsupportedError: only radios that cannot connect hear it.
            RadioUnavailableError: no radio that hears it is ready.
        """
        candidates = self._ranked(address)
        for path, radio in candidates:
            if path.usable:
                return radio
        if not candidates:
            raise BleakNotFoundError(
                f"{address}: no radio hears it ({self.describe_radios()})",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        names = ", ".join(path.source for path, _ in candidates)
        if not any(path.connectable for path, _ in candidates):
            raise UnsupportedError(
                f"{address}: heard only by radios that do not connect ({names}); "
                "set `bluetooth_proxy: active: true` on one of them",
                source=candidates[0][0].source,
            )
        if any(path.state is RadioState.READY for path, _ in candidates):
            raise BleakNotFoundError(
                f"{address}: not heard any more by {names}", kind=ErrorKind.DEVICE_NOT_FOUND
            )
        raise RadioUnavailableError(
            f"{address}: no radio that hears it can be used ({self.describe_radios()})",
            source=candidates[0][0].source,
        )

    def describe_radios(self) -> str:
        """Say how every radio is doing, in one line."""
        if not self.radios:
            return "there is no radio"
        return "; ".join(
            f"{radio.name} {radio.state}" + (f": {radio.problem}" if radio.problem else "")
            for radio in self.radios
        )

    def note(self, address: str, radio: Radio, error: BaseException | None) -> None:
        """Remember how an attempt through `radio` ended; None for success."""
        sighting = self.sightings.get(address)
        if sighting is None:
            return
        if error is None:
            sighting.succeed(radio)
            return
        failure = classify(error)
        if failure and failure.rule.path_failed and failure.kind is not ErrorKind.OUT_OF_SLOTS:
            sighting.fail(radio, self._loop.time())

    async def wait_for_slot(self, address: str, timeout: float) -> bool:
        """Wait for a report of a free slot on a radio that hears the device; False after
        `timeout` s."""
        future: asyncio.Future[None] = self._loop.create_future()
        waiter = (address, future)
        self._slot_waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            self._slot_waiters.remove(waiter)
        return True
