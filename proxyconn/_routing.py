"""What is known of the ways to each device, and what they are worth now."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from proxyconn._errors import OutOfSlotsError
from proxyconn._failures import classify
from proxyconn._holding import Holding
from proxyconn._memory import FailureMemory
from proxyconn._models import (
    NO_RSSI_VALUE,
    AllocationChange,
    AllocationChangeEvent,
    RadioState,
)
from proxyconn._paths import Path, obstacle, rank
from proxyconn._pins import NO_PINS, Pins
from proxyconn._refusals import Refusals
from proxyconn._sightings import STALE_AFTER, Sighting
from proxyconn.radio import Radio

ATTEMPT_LIMIT = 25.0
"""Seconds for which an attempt may occupy a slot: the firmware's own limit is 20 s (ESPHome
esp32_ble_client), and its report takes a moment."""

CLOSE_LIMIT = 12.0
"""Seconds for a slot to come free once its link is not wanted any more: the firmware gives up
waiting for the end of a link after 10 s (ESPHome pull request 16588)."""

Candidate = tuple[Path, Radio]


@dataclass(frozen=True, slots=True)
class _Known:
    """What there is to say about a device before its paths are looked at.

    Attributes:
        radios: those that may reach it.
        sighting: what is heard of it.
        pins: what the user has said about it.
        bonds: names of the radios that it is bonded through; empty if that does not matter.
    """

    radios: list[Radio]
    sighting: Sighting | None
    pins: Pins
    bonds: set[str]

    def elsewhere(self, radio: Radio) -> bool:
        """Whether the device is bonded, and not through `radio`."""
        return bool(self.bonds) and radio.name not in self.bonds


class Routing:
    """The ways to each device. Knows no clock: the time is an argument.

    Args:
        radios: those of the fleet; the list is the fleet's own.
        sightings: address -> what is heard of it; the table is the fleet's own.
        pins: address -> what the user has said about radios for it.
    """

    def __init__(
        self, radios: Sequence[Radio], sightings: Mapping[str, Sighting], pins: Mapping[str, Pins]
    ) -> None:
        self._radios = radios
        self._sightings = sightings
        self.pins = dict(pins)
        self.memory = FailureMemory()
        self.refusals = Refusals()
        self._bonds: dict[str, set[str]] = {}
        self._holding: dict[Radio, Holding] = {}
        self._holders: dict[str, dict[Radio, float]] = {}
        self._given_back: dict[str, tuple[Radio, float]] = {}

    # What the radios tell

    def slots_changed(
        self, radio: Radio, events: Iterable[AllocationChangeEvent], now: float
    ) -> None:
        """Take note of the slots that a radio reports as taken or freed."""
        holding = self.holding(radio)
        for event in events:
            holders = self._holders.setdefault(event.address, {})
            if event.change is AllocationChange.ALLOCATED:
                holders[radio] = now
                holding.taken(event.address, now)
            else:
                holders.pop(radio, None)
                holding.freed(event.address, now)
            self._drop_if_free(event.address)
        self.refusals.reported(radio)

    def radio_removed(self, radio: Radio) -> None:
        """Forget what a radio holds: it has left."""
        self._holding.pop(radio, None)
        self.refusals.forget(radio)
        for address, holders in list(self._holders.items()):
            holders.pop(radio, None)
            self._drop_if_free(address)

    def _drop_if_free(self, address: str) -> None:
        if not self._holders[address]:
            del self._holders[address]
            self._given_back.pop(address, None)

    def holding(self, radio: Radio) -> Holding:
        """Return what was seen of a radio's slots."""
        return self._holding.setdefault(radio, Holding())

    def given_back(self, address: str, radio: Radio, now: float) -> None:
        """Take note that nobody wants the device on `radio` any more."""
        if self.holds(address, radio):
            self._given_back[address] = (radio, now)

    def holder(self, address: str, now: float, but: Radio | None = None) -> Radio | None:
        """Return a radio other than `but` that holds a slot for the address, and may let go of it.

        To be asked while nobody here has a link to the address. One that has had the time to let
        go, and has not, hangs: it is not waited for.
        """
        for radio, since in self._holders.get(address, {}).items():
            given_back, at = self._given_back.get(address, (None, since))
            wanted_until = at if given_back is radio else since
            hangs = now >= max(since + ATTEMPT_LIMIT, wanted_until + CLOSE_LIMIT)
            if radio is not but and not hangs and radio.state is not RadioState.WEDGED:
                return radio
        return None

    def holds(self, address: str, radio: Radio) -> bool:
        """Whether a radio holds a slot for the address."""
        return radio in self._holders.get(address, {})

    def is_heard(self, address: str) -> bool:
        """Whether any radio has heard the device."""
        return address in self._sightings

    # What attempts tell

    def note(self, address: str, radio: Radio, error: BaseException | None, now: float) -> None:
        """Remember how an attempt through `radio` ended; None for success."""
        if error is None:
            self.memory.succeed(address, radio.name)
            if sighting := self._sightings.get(address):
                sighting.attribute(radio)
            return
        failure = classify(error)
        if failure is None or not failure.rule.path_failed:
            return
        # A radio that is full, and has said so, is not to blame; one that contradicts itself is.
        slots = radio.allocations()
        if isinstance(error, OutOfSlotsError):
            if slots is not None and not slots.free:
                return
            self.refusals.add(address, radio, now)
        self.memory.fail(address, radio.name, now)

    def bonded(self, address: str, radio: Radio) -> None:
        """The device is bonded through `radio`."""
        self._bonds.setdefault(address, set()).add(radio.name)

    def unbonded(self, address: str, radio: Radio) -> None:
        """The bond through `radio` is no more."""
        self._bonds.get(address, set()).discard(radio.name)

    # Paths

    def candidates(
        self,
        address: str,
        now: float,
        *,
        pairing: bool = False,
        ahead: Mapping[Radio, int] | None = None,
    ) -> list[Candidate]:
        """Return every path to a device, best first, each with its radio.

        Those are the radios that heard it; for a device that none has heard, all of them.

        Args:
            address: the device.
            now: the time in seconds.
            pairing: whether a new bond will be made, so that no old one matters.
            ahead: callers that will be served before this one, by radio.
        """
        known = self._known(address, pairing)
        pairs = [
            (self._path(address, radio, known, (ahead or {}).get(radio, 0), now), radio)
            for radio in known.radios
        ]
        pairs.sort(key=lambda pair: rank(pair[0]))
        return pairs

    def is_reachable(self, address: str, *, pairing: bool) -> bool:
        """Whether any of the candidates may be tried."""
        known = self._known(address, pairing)
        return any(
            obstacle(
                radio.connectable, radio.state, known.pins.pin(radio.name), known.elsewhere(radio)
            )
            is None
            for radio in known.radios
        )

    def _known(self, address: str, pairing: bool) -> _Known:
        pins = self.pins.get(address, NO_PINS)
        sighting = self._sightings.get(address)
        heard = sighting.heard if sighting else {}
        radios = [
            radio
            for radio in self._radios
            if radio in heard or not heard or radio.name in pins.require
        ]
        bonds = set() if pairing else self._bonds.get(address, set())
        if not any(radio.name in bonds for radio in self._radios):
            bonds = set()
        return _Known(radios, sighting, pins, bonds)

    def _path(self, address: str, radio: Radio, known: _Known, ahead: int, now: float) -> Path:
        sighting = known.sighting
        heard = sighting.heard.get(radio) if sighting else None
        slots = radio.allocations()
        free = radio.free_slots()
        return Path(
            source=radio.name,
            rssi=round(heard.rssi) if heard else NO_RSSI_VALUE,
            age=now - heard.at if heard else float("inf"),
            patience=heard.patience if heard else STALE_AFTER,
            state=radio.state,
            connectable=radio.connectable,
            slots=slots.slots if slots else None,
            free=free,
            connecting=radio.connecting,
            wait=self._wait(radio, free, ahead, now),
            failures=self.memory.on_path(address, radio.name, now),
            radio_failures=self.memory.on_radio(radio.name, now, but=address),
            incumbent=heard is not None and sighting is not None and sighting.best is heard,
            pin=known.pins.pin(radio.name),
            bonded_elsewhere=known.elsewhere(radio),
        )

    def _wait(self, radio: Radio, free: int | None, ahead: int, now: float) -> float:
        """Return the seconds until the radio is expected to have a slot and a turn."""
        holding = self.holding(radio)
        turn = holding.connect * (radio.connecting + ahead)
        if free is None or free > ahead:
            return turn
        return max(turn, holding.until_free(now, ahead - free))
