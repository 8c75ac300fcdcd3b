"""Where the radios of a fleet report to, and where a path is chosen from what they report."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._device import colon_address
from proxyconn._errors import (
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._failures import classify
from proxyconn._models import AllocationChangeEvent, RadioState
from proxyconn._paths import Path, rank
from proxyconn._sightings import Sighting
from proxyconn.radio import ROUTE, PayloadT, Radio, Route

SWEEP_EVERY = 60.0
"""Seconds between two looks for devices that nobody hears any more."""

HELD_TIMEOUT = 20.0
"""Seconds to wait for another radio to let go of a device: the firmware's limit for one attempt."""

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
        self.closed = False
        self.links: dict[str, Radio] = {}
        self._swept = 0.0
        self._slot_waiters: list[tuple[str, asyncio.Future[None]]] = []
        self._report_waiters: set[asyncio.Future[None]] = set()
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
        self,
        radio: Radio,
        address: str,
        address_type: int,
        rssi: int,
        payload: PayloadT,
        parse: Callable[[PayloadT], AdvertisementData],
    ) -> None:
        """A radio heard a device."""
        now = self._loop.time()
        advertisement = parse(payload)._replace(rssi=rssi)
        sighting = self.sightings.get(address)
        if sighting is None:
            self._sweep(now)
            details = {
                "source": radio.name,
                "address_type": address_type,
                ROUTE: self._make_route(self, address),
            }
            device = BLEDevice(address, advertisement.local_name, details)
            sighting = self.sightings[address] = Sighting(device, advertisement, radio)
        sighting.hear(radio, advertisement, now)
        self._call(self.detection_callbacks, sighting.device, advertisement)

    def _sweep(self, now: float) -> None:
        """Forget devices that went silent: some change their address every few minutes."""
        if now - self._swept < SWEEP_EVERY:
            return
        self._swept = now
        for address, sighting in list(self.sightings.items()):
            if address not in self.links and sighting.is_stale(now):
                del self.sightings[address]

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """A radio reported its slots."""
        for event in events:
            self._call(self.allocation_callbacks, event)
        for report_waiter in self._report_waiters:
            if not report_waiter.done():
                report_waiter.set_result(None)
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

    # Devices and paths

    def find(self, address_or_name: str) -> BLEDevice | None:
        """Return the device heard lately with this address or name; None if there is none."""
        now = self._loop.time()
        sightings = [s for s in self.sightings.values() if not s.is_stale(now)]
        address, folded = colon_address(address_or_name), address_or_name.casefold()
        matches: tuple[Callable[[BLEDevice], bool], ...] = (
            lambda device: device.address == address,
            lambda device: device.name == address_or_name,
            lambda device: device.name is not None and device.name.casefold() == folded,
        )
        for match in matches:
            for sighting in sightings:
                if match(sighting.device):
                    return sighting.device
        return None

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
            RadioUnavailableError: no radio that hears it is ready, or the fleet is closed.
        """
        if self.closed:
            raise RadioUnavailableError(
                f"{address}: its fleet is closed; connect inside `async with`"
            )
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
        if failure is None or not failure.rule.path_failed:
            return
        # A radio that is full, and has said so, is not to blame; one that contradicts itself is.
        if not isinstance(error, OutOfSlotsError) or radio.free_slots():
            sighting.fail(radio, self._loop.time())

    def link_ended(self, address: str) -> None:
        """A link is gone; the device is likely to be heard again."""
        radio = self.links.pop(address, None)
        sighting = self.sightings.get(address)
        if radio and sighting:
            sighting.touch(radio, self._loop.time())

    async def reserve(self, address: str, radio: Radio) -> None:
        """Make `radio` the only one that is asked for a link to the device.

        Waits until every other radio has let go of it.

        Raises:
            LinkError: another client of this fleet has it, or another radio does not let go.
        """
        holder = self.links.get(address)
        if holder:
            raise LinkError(
                f"{address}: another client of this program is connected through {holder.name}",
                kind=ErrorKind.IN_USE,
                source=holder.name,
            )
        self.links[address] = radio
        try:
            async with asyncio.timeout(HELD_TIMEOUT):
                while other := self._other_holder(address, radio):
                    await self._next_report()
        except TimeoutError:
            del self.links[address]
            raise LinkError(
                f"{address}: {other} still holds the last attempt",
                kind=ErrorKind.TRANSIENT,
                source=other,
            ) from None
        except BaseException:
            del self.links[address]
            raise

    def _other_holder(self, address: str, radio: Radio) -> str | None:
        for other in self.radios:
            slots = other.allocations()
            if other is not radio and slots and address in slots.allocated:
                return other.name
        return None

    async def _next_report(self) -> None:
        future: asyncio.Future[None] = self._loop.create_future()
        self._report_waiters.add(future)
        try:
            await future
        finally:
            self._report_waiters.discard(future)

    async def wait_for_slot(self, address: str, timeout: float) -> bool:
        """Wait until a radio that hears the device reports a free slot; False after `timeout` s.

        True at once if one has a slot that has not just refused the device.
        """
        ranked = self._ranked(address)
        if ranked and ranked[0][0].usable and ranked[0][0].has_slot and not ranked[0][0].failures:
            return True
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
