"""Where the radios of a fleet report to, and where their reports meet."""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from bleak.backends.device import BLEDevice

from proxyconn.advertised.fields import Fields, plain_name
from proxyconn.advertisements.device_table import SightingTable
from proxyconn.advertisements.merged_device import Sighting
from proxyconn.callbacks import Callbacks
from proxyconn.device import colon_address
from proxyconn.errors import (
    BleakNotFoundError,
    ErrorKind,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.fleet.scan_control import ScanControl
from proxyconn.models import AllocationChangeEvent, ScanMode
from proxyconn.neighbour_access import NeighbourAccess
from proxyconn.radio import ROUTE, OffersLinks, PayloadT, Radio, Report, Route
from proxyconn.routing.connection_queue import LinkQueue
from proxyconn.routing.dropped_links import DroppedLinks
from proxyconn.routing.known_paths import KnownPaths
from proxyconn.routing.path_score import Path
from proxyconn.routing.pins import Pins
from proxyconn.state.facts import Memory, NoMemory

LOOK_EVERY = 5.0
"""Seconds between two looks for devices that are not heard any more, if anybody wants to know."""

AllocationCallback = Callable[[AllocationChangeEvent], object]
ReportsCallback = Callable[[Radio, Iterable[Report[Any]]], object]


class Hub:
    """The radios of one fleet and what they hear. Fulfils `RadioSink`.

    Args:
        make_route: makes the route to a device, from this hub and the device's address.
        pins: address -> what the user has said about radios for it.
        state: what is remembered from before; None for nothing.
        only_looks: whether nothing is heard or connected.
        scan: how radios scan; None to leave each as it is.

    Attributes:
        scan: what decides how they do.
        neighbours: the fleets that share their radios with this one.
    """

    def __init__(
        self,
        make_route: Callable[[Hub, str], Route],
        pins: Mapping[str, Pins],
        state: Memory | None = None,
        *,
        only_looks: bool = False,
        scan: ScanMode | None = None,
    ) -> None:
        self.loop = asyncio.get_running_loop()
        self._make_route = make_route
        self._only_looks = only_looks
        self.radios: list[Radio] = []
        self._names: dict[Radio, str] = {}
        self.neighbours = NeighbourAccess(self._is_listened_to, self._is_held)
        changed = self.neighbours.listening_changed
        self.sightings = SightingTable(self.make_device, changed)
        self.allocation_callbacks = Callbacks[AllocationChangeEvent]("the fleet")
        self.reports_callbacks = Callbacks[Radio, Iterable[Report[Any]]]("the fleet", changed)
        self.own_reports_callbacks = Callbacks[Radio, Iterable[Report[Any]]]("the fleet")
        self.state_callbacks = Callbacks[[]]("the fleet")
        self.slots_callbacks = Callbacks[[]]("the fleet")
        self.end_callbacks = Callbacks[[]]("the fleet")
        self.closed = False
        self.memory: Memory = state or NoMemory()
        self.routing = KnownPaths(self.radios, self.sightings, pins, self.memory, self.loop.time())
        self.queue = LinkQueue(self.routing, lambda: self.radios, self.describe_radios)
        self.dropped = DroppedLinks(self.queue.holders, self.link_ended)
        self._looking: asyncio.TimerHandle | None = None
        self.scan = (
            ScanControl(list, scan)
            if only_looks
            else ScanControl(lambda: self.radios, scan, self.neighbours.scan_wished)
        )

    def _is_listened_to(self) -> bool:
        return bool(self.reports_callbacks.registered) or self.sightings.is_listened_to

    def _is_held(self, address: str) -> bool:
        holder = self.routing.holder(address, self.loop.time())
        return holder is not None and not isinstance(holder, OffersLinks)

    def close(self) -> None:
        """Open no more links, and end every wait for one, or for anything that is heard."""
        self.closed = True
        if self._looking:
            self._looking.cancel()
        self.scan.close()
        for address in self.queue.waiting:
            self.queue.end_wait(address, self.closed_error(address))
        self.end_callbacks()

    def closed_error(self, address: str | None = None) -> RadioUnavailableError:
        """Return the error for who still wants a fleet, or one of its devices, that is closed."""
        text = (
            f"{address}: its fleet is closed; connect inside `async with`"
            if address
            else "the fleet is closed; use it inside `async with`"
        )
        return RadioUnavailableError(text, kind=ErrorKind.FLEET_CLOSED)

    def require_listening(self) -> None:
        """Raise UnsupportedError if the fleet only looks."""
        if self._only_looks:
            raise UnsupportedError(
                "this fleet only looks: it hears and connects nothing; "
                "open it without subscribe=Subscribe.NEVER"
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
        self._names.pop(radio, None)
        self.neighbours.slots_changed()

    def state_changed(self, radio: Radio) -> None:
        """A radio's state, or its name, is another one now."""
        if self._names.get(radio) != radio.name:
            self._names[radio] = radio.name
            self.sightings.rename_radio(radio)
        if not radio.state.is_usable:
            usable = {other for other in self.radios if other.state.is_usable}
            self.sightings.leave_radio(radio, usable)
        self.scan.radio_changed(radio)
        self.state_callbacks()
        self.slots_callbacks()
        self.queue.radios_changed()

    def heard(
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], Fields],
    ) -> None:
        """A radio heard devices."""
        now = self.loop.time()
        sightings = self.sightings
        if now >= sightings.sweep_at:
            sightings.sweep(now, keep=self.queue.links)
            self.routing.memory.sweep(now)
        has_grown = sightings.hear(radio, reports, parse, now)
        if self.reports_callbacks.registrations.now:
            self.reports_callbacks(radio, reports)
        if self.own_reports_callbacks.registrations.now and not isinstance(radio, OffersLinks):
            self.own_reports_callbacks(radio, reports)
        if has_grown:
            self.scan.device_is_new()
            self.queue.serve()

    def make_device(self, address: str, address_type: int) -> BLEDevice:
        """Return a device that is reached through this fleet."""
        details = {"address_type": address_type, ROUTE: self._make_route(self, address)}
        return BLEDevice(address, None, details)

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """A radio's slots or attempts are other ones now."""
        self.routing.slots_changed(radio, events, self.loop.time())
        for event in events:
            self.allocation_callbacks(event)
        self.slots_callbacks()
        self.neighbours.slots_changed()
        self.queue.serve()

    def link_opened(self, radio: Radio, address: str) -> None:
        """A radio has a link, and reads its services now."""
        self.queue.journal.opened(address, radio.name, self.loop.time())

    # What is not heard any more

    def register_lost_callback(self, callback: Callable[[BLEDevice], object]) -> Callable[[], None]:
        """Call `callback(device)` when a device is not heard any more; returns unsubscribe."""
        remove = self.sightings.lost_callbacks.register(callback)
        if self._looking is None and not self.closed:
            self._look_later()
        return remove

    def _look_later(self) -> None:
        self._looking = self.loop.call_later(LOOK_EVERY, self._look)

    def _look(self) -> None:
        """Look for devices that went silent, as long as anybody wants to know."""
        self._looking = None
        if self.sightings.lost_callbacks.registered:
            self.sightings.forget_silent(self.loop.time(), keep=self.queue.links)
            self._look_later()

    # What there is

    def find(self, address_or_name: str) -> BLEDevice | None:
        """Return the device heard lately with this address or name; None if there is none."""
        now = self.loop.time()
        named = self.sightings.get(colon_address(address_or_name))
        if named and self._can_be_found(named, now):
            return named.device
        name = plain_name(address_or_name) or ""
        folded, alike = name.casefold(), None
        for sighting in self.sightings.values():
            said = list(sighting.names())
            if not any(one.casefold() == folded for one in said):
                continue
            if self._can_be_found(sighting, now):
                if name in said:
                    return sighting.device
                alike = alike or sighting.device
        return alike or self.inherited(address_or_name)

    def inherited(self, address_or_name: str) -> BLEDevice | None:
        """Return the device so called whose link a radio has from before: it does not advertise."""
        wanted = colon_address(address_or_name)
        folded = (plain_name(address_or_name) or "").casefold()
        for address, name, address_type in self.routing.inherited():
            if address == wanted or (name and name.casefold() == folded):
                return self._made(address, name, address_type)
        return None

    def connected_before(self, address: str) -> BLEDevice | None:
        """Return a device as it was when it was last connected; None if it never was."""
        link = self.routing.last_link(address)
        return self._made(address, *link) if link else None

    def _made(self, address: str, name: str | None, address_type: int) -> BLEDevice:
        return BLEDevice(address, name, self.make_device(address, address_type).details)

    def is_called(self, device: BLEDevice, address_or_name: str) -> bool:
        """Whether this is the address of a device, or a name of it but for its case."""
        if device.address == colon_address(address_or_name):
            return True
        sighting = self.sightings.get(device.address)
        folded = (plain_name(address_or_name) or "").casefold()
        return sighting is not None and any(name.casefold() == folded for name in sighting.names())

    def known_device(self, address: str, address_type: int | None) -> BLEDevice:
        """Return a device, heard or not. Raises BleakNotFoundError without an address type."""
        if sighting := self.sightings.get(address):
            return sighting.device
        if address_type is not None:
            return self.make_device(address, address_type)
        device = self.connected_before(address)
        if device is None:
            raise BleakNotFoundError(
                f"{address}: not heard so far, so its address type is not known; "
                "pass `address_type`: 0 for a public address, 1 for a random one",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        return device

    def why_not_found(self, address_or_name: str, timeout: float) -> str:
        """Say why `find` found nothing for `timeout` seconds, and what to do about it."""
        address, name = colon_address(address_or_name), plain_name(address_or_name)
        for sighting in self.sightings.values():
            device = sighting.device
            pins = self.routing.pins_for(device.address)
            named = device.address == address or name in list(sighting.names())
            if named and pins.require:
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
        pins = self.routing.pins_for(sighting.device.address)
        if not pins.require:
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
        return [path for path, _ in self.routing.candidates(address, self.loop.time())]

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
        self.routing.note(address, radio, error, self.loop.time())
        if error is None:
            self.queue.journal.ready(address, radio.name, self.loop.time())

    async def bonded(self, address: str, radio: Radio) -> None:
        """A device is paired through `radio`: return when a restart would know of it, too."""
        self.routing.bonded(address, radio)
        await self.memory.saved()

    def link_ended(self, address: str) -> None:
        """A link or an attempt is over; the device is likely to be heard again."""
        radio = self.queue.give_back(address)
        self.neighbours.let_go(address)
        sighting = self.sightings.get(address)
        if radio and sighting:
            sighting.touch(radio, self.loop.time())
