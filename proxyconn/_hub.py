"""Where the radios of a fleet report to, and where their reports meet."""

from __future__ import annotations

import asyncio
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn._device import colon_address
from proxyconn._errors import ErrorKind, RadioUnavailableError
from proxyconn._models import AllocationChangeEvent
from proxyconn._paths import USABLE_STATES, Path
from proxyconn._pins import Pins
from proxyconn._queue import LinkQueue
from proxyconn._routing import Routing
from proxyconn._sightings import Sighting
from proxyconn._table import SightingTable
from proxyconn.radio import ROUTE, PayloadT, Radio, Report, Route

_LOGGER = logging.getLogger(__name__)

AllocationCallback = Callable[[AllocationChangeEvent], object]


class Hub:
    """The radios of one fleet and what they hear. Fulfils `RadioSink`.

    Args:
        make_route: makes the route to a device, from this hub and the device's address.
        pins: address -> what the user has said about radios for it.
    """

    def __init__(self, make_route: Callable[[Hub, str], Route], pins: Mapping[str, Pins]) -> None:
        self._make_route = make_route
        self.radios: list[Radio] = []
        self.sightings = SightingTable(self.make_device)
        self.allocation_callbacks: list[AllocationCallback] = []
        self.state_callbacks: list[Callable[[], object]] = []
        self.closed = False
        self.routing = Routing(self.radios, self.sightings, pins)
        self.queue = LinkQueue(self.routing, lambda: self.radios, self.describe_radios)
        self._loop = asyncio.get_running_loop()

    def close(self) -> None:
        """Open no more links, and end every wait for one."""
        self.closed = True
        for address in self.queue.waiting:
            self.queue.end_wait(address, self.closed_error(address))

    def closed_error(self, address: str) -> RadioUnavailableError:
        """Return the error for a connect to a device of this fleet once it is closed."""
        return RadioUnavailableError(
            f"{address}: its fleet is closed; connect inside `async with`",
            kind=ErrorKind.FLEET_CLOSED,
        )

    # RadioSink

    def radio_added(self, radio: Radio) -> None:
        """A radio joined the fleet."""
        self.radios.append(radio)
        self.state_changed(radio)

    def radio_removed(self, radio: Radio) -> None:
        """A radio left: nothing is reached through it any more."""
        if radio in self.radios:
            self.radios.remove(radio)
        self.routing.radio_removed(radio)
        self.sightings.forget_radio(radio)
        self.state_changed(radio)

    def state_changed(self, radio: Radio) -> None:
        """A radio's state is another one now."""
        if radio.state not in USABLE_STATES:
            usable = {other for other in self.radios if other.state in USABLE_STATES}
            self.sightings.leave_radio(radio, usable)
        self._call(self.state_callbacks)
        self.queue.serve()

    def heard(
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], AdvertisementData],
    ) -> None:
        """A radio heard devices."""
        now = self._loop.time()
        if self.sightings.sweep(now, keep=self.queue.links):
            self.routing.memory.sweep(now)
        before = len(self.sightings)
        self.sightings.hear(radio, reports, parse, now)
        if len(self.sightings) != before:
            self.queue.serve()

    def make_device(self, address: str, address_type: int) -> BLEDevice:
        """Return a device that is reached through this fleet."""
        details = {"address_type": address_type, ROUTE: self._make_route(self, address)}
        return BLEDevice(address, None, details)

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """A radio's slots or attempts are other ones now."""
        self.routing.slots_changed(radio, events, self._loop.time())
        for event in events:
            self._call(self.allocation_callbacks, event)
        self.queue.serve()

    def _call(self, callbacks: Sequence[Callable[..., object]], *args: Any) -> None:
        for callback in tuple(callbacks):
            try:
                callback(*args)
            except Exception:
                # One listener's defect must not deafen the others, nor the radio.
                _LOGGER.exception("a callback of the fleet failed: %r", callback)

    # What there is

    def find(self, address_or_name: str) -> BLEDevice | None:
        """Return the device heard lately with this address or name; None if there is none."""
        now = self._loop.time()
        address, folded = colon_address(address_or_name), address_or_name.casefold()
        named = self.sightings.get(address)
        if named and self._can_be_found(named, now):
            return named.device
        sightings = [s for s in self.sightings.values() if self._can_be_found(s, now)]
        matches: tuple[Callable[[BLEDevice], bool], ...] = (
            lambda device: device.name == address_or_name,
            lambda device: device.name is not None and device.name.casefold() == folded,
        )
        for match in matches:
            for sighting in sightings:
                if match(sighting.device):
                    return sighting.device
        return None

    def why_not_found(self, address_or_name: str, timeout: float) -> str:
        """Say why `find` found nothing for `timeout` seconds, and what to do about it."""
        address = colon_address(address_or_name)
        for sighting in self.sightings.values():
            device = sighting.device
            pins = self.routing.pins.get(device.address)
            named = device.address == address or device.name == address_or_name
            if named and pins and pins.require:
                hearers = ", ".join(radio.name for radio in sighting.heard)
                unknown = sorted(pins.require - {radio.name for radio in self.radios})
                return (
                    f"heard by {hearers}, but within {timeout:g} s not by what is required for it: "
                    f"{', '.join(sorted(pins.require))}"
                    + (f"; there is no radio called {' or '.join(unknown)}" if unknown else "")
                )
        return (
            f"no radio heard it within {timeout:g} s ({self.describe_radios()}); check that it "
            "advertises, is in range, and that its name or address is spelled right"
        )

    def _can_be_found(self, sighting: Sighting, now: float) -> bool:
        pins = self.routing.pins.get(sighting.device.address)
        if pins is None or not pins.require:
            return not sighting.is_stale(now)
        return any(
            not heard.is_stale(now)
            for radio, heard in sighting.heard.items()
            if pins.allows(radio.name)
        )

    def paths(self, address: str) -> list[Path]:
        """Return every path to a device, best first; none if no radio hears it."""
        if address not in self.sightings:
            return []
        return [path for path, _ in self.routing.candidates(address, self._loop.time())]

    def describe_radios(self) -> str:
        """Say how every radio is doing, in one line."""
        if not self.radios:
            return "there is no radio"
        alike: dict[str, list[str]] = defaultdict(list)
        for radio in self.radios:
            how = f"{radio.state}" + (f": {radio.problem}" if radio.problem else "")
            alike[how].append(radio.name)
        return "; ".join(f"{', '.join(names)} {how}" for how, names in alike.items())

    # Attempts and links

    def attempt_ended(self, address: str, radio: Radio, error: BaseException | None) -> None:
        """Remember how an attempt through `radio` ended; None for success."""
        self.routing.note(address, radio, error, self._loop.time())

    def link_ended(self, address: str) -> None:
        """A link or an attempt is over; the device is likely to be heard again."""
        radio = self.queue.give_back(address)
        sighting = self.sightings.get(address)
        if radio and sighting:
            sighting.touch(radio, self._loop.time())
