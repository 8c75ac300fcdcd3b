"""What is known of the ways to each device, and what they are worth now."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from proxyconn.advertisements.merged_device import STALE_AFTER, Sighting
from proxyconn.errors import OutOfSlotsError
from proxyconn.failures.rules import classify
from proxyconn.models import (
    NO_RSSI_VALUE,
    AllocationChange,
    AllocationChangeEvent,
    RadioState,
)
from proxyconn.radio import (
    IdentifiedRadio,
    KeepsLinks,
    Offer,
    OffersLinks,
    Radio,
    identity_of,
)
from proxyconn.routing.bonds import Bonds
from proxyconn.routing.failure_memory import FailureMemory
from proxyconn.routing.path_score import Path, obstacle, rank
from proxyconn.routing.pins import NO_PINS, Pins
from proxyconn.routing.slot_forecast import Holding
from proxyconn.routing.slot_refusals import Refusals
from proxyconn.state.facts import Memory, NoMemory

ATTEMPT_LIMIT = 25.0
"""Seconds for which an attempt may occupy a slot: the firmware's own limit is 20 s (ESPHome
esp32_ble_client), and its report takes a moment."""

CLOSE_LIMIT = 12.0
"""Seconds for a slot to come free once its link is not wanted any more: the firmware gives up
waiting for the end of a link after 10 s (ESPHome pull request 16588)."""

LINK = "link"
"""Kind of fact: a device was connected through a radio; its name, and address type there."""

Candidate = tuple[Path, Radio]


@dataclass(slots=True)
class _Known:
    """What there is to say about a device before its paths are looked at.

    Attributes:
        radios: those that may reach it.
        sighting: what is heard of it.
        pins: what the user has said about it.
        bonds: identities of the radios that it is bonded through; empty if that does not matter.
        pairing: whether a new bond will be made.
    """

    radios: list[Radio]
    sighting: Sighting | None
    pins: Pins
    bonds: set[str]
    pairing: bool

    def elsewhere(self, radio: Radio) -> bool:
        """Whether the device is bonded, and not through `radio`."""
        return bool(self.bonds) and identity_of(radio) not in self.bonds


class KnownPaths:
    """The ways to each device. Knows no clock: the time is an argument.

    Args:
        radios: those of the fleet; the list is the fleet's own.
        sightings: address -> what is heard of it; the table is the fleet's own.
        pins: address -> what the user has said about radios for it.
        state: what is remembered from before; None for nothing.
        now: the time in seconds.
    """

    def __init__(
        self,
        radios: Sequence[Radio],
        sightings: Mapping[str, Sighting],
        pins: Mapping[str, Pins],
        state: Memory | None = None,
        now: float = 0.0,
    ) -> None:
        self._radios = radios
        self._sightings = sightings
        self.pins = dict(pins)
        self._state = state or NoMemory()
        self.memory = FailureMemory(self._identity_meant, self._state)
        self.memory.recall(now)
        self.bonds = Bonds(self._state)
        self.refusals = Refusals()
        self._holding: dict[Radio, Holding] = {}
        self._holders: dict[str, dict[Radio, float]] = {}
        self._given_back: dict[str, tuple[Radio, float]] = {}
        self._keepers: dict[Radio, KeepsLinks] = {}

    # Whom names mean

    def pins_for(self, address: str) -> Pins:
        """Return what the user has said about radios for a device, by what they are called now."""
        pins = self.pins.get(address, NO_PINS)
        return pins if pins is NO_PINS else pins.renamed(self._name_meant)

    def _name_meant(self, text: str) -> str:
        radio = self.radio_meant(text)
        return radio.name if radio else text

    def _identity_meant(self, text: str) -> str:
        radio = self.radio_meant(text)
        return identity_of(radio) if radio else text

    def radio_meant(self, text: str) -> Radio | None:
        """Return the radio that a name, or a MAC address, means."""
        for radio in self._radios:
            if radio.name == text:
                return radio
        for radio in self._radios:
            if isinstance(radio, IdentifiedRadio) and radio.answers_to(text):
                return radio
        return None

    # What the radios tell

    def slots_changed(
        self, radio: Radio, events: Iterable[AllocationChangeEvent], now: float
    ) -> None:
        """Take note of the slots that a radio reports as taken or freed."""
        for event in events:
            holding = self.holding(radio)
            holders = self._holders.setdefault(event.address, {})
            if event.change is AllocationChange.ALLOCATED:
                holders[radio] = now
                holding.taken(event.address, now)
            else:
                holders.pop(radio, None)
                holding.freed(event.address, now)
            self._drop_if_free(event.address)
        self.refusals.reported(radio)
        if isinstance(radio, KeepsLinks) and radio.inherited:
            self._keepers[radio] = radio
        else:
            self._keepers.pop(radio, None)

    def radio_removed(self, radio: Radio) -> None:
        """Forget what a radio holds: it has left."""
        self._holding.pop(radio, None)
        self._keepers.pop(radio, None)
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
        return address in self._sightings or any(_offers(one, address) for one in self._radios)

    def is_known(self, address: str) -> bool:
        """Whether there is an address type to ask for the device with."""
        return self.is_heard(address) or self.last_link(address) is not None

    # What attempts tell

    def note(self, address: str, radio: Radio, error: BaseException | None, now: float) -> None:
        """Remember how an attempt through `radio` ended; None for success."""
        if error is None:
            self.memory.succeed(address, identity_of(radio))
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
        self.memory.fail(address, identity_of(radio), now)

    def connected(self, address: str, radio: Radio, name: str | None, address_type: int) -> None:
        """Remember a link: how a device that nobody has heard yet is reached again."""
        value = {"name": name, "address_type": address_type}
        self._state.put(LINK, identity_of(radio), address, value=value, soon=True)

    def last_link(self, address: str) -> tuple[str | None, int] | None:
        """Return name and address type of a device when it was last connected; None if never."""
        links = [
            (age, (value["name"], value["address_type"]))
            for key, value, age in self._state.facts(LINK)
            if key.device == address
        ]
        return min(links, key=lambda link: link[0])[1] if links else None

    # Links from before

    def left_behind(self) -> set[str]:
        """Return the devices to which any radio has a link from before."""
        return {one for keeper in self._keepers.values() for one in keeper.inherited}

    def inherited(self) -> Iterator[tuple[str, str | None, int]]:
        """Yield address, name and address type of devices whose links radios still have."""
        for radio, keeper in self._keepers.items():
            for address in keeper.inherited:
                known = self._state.get(LINK, identity_of(radio), address)
                if known:
                    yield address, known["name"], known["address_type"]

    def heir(self, address: str, now: float, *, pairing: bool) -> Radio | None:
        """Return the radio that has a link to a device from before, if it may be tried."""
        candidates = self.candidates(address, now, pairing=pairing)
        return next(
            (one for path, one in candidates if path.usable and self._keeps(one, address)), None
        )

    def _keeps(self, radio: Radio, address: str) -> bool:
        """Whether a radio has a link to a device from before, which a client may have."""
        keeper = self._keepers.get(radio)
        return keeper is not None and address in keeper.inherited

    def bonded(self, address: str, radio: Radio) -> None:
        """The device is bonded through `radio`."""
        self.bonds.made(address, identity_of(radio))

    def unbonded(self, address: str, radio: Radio) -> None:
        """The bond through `radio` is no more."""
        self.bonds.removed(address, identity_of(radio))

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

        Those are the radios that heard it; for a device that none has heard, all of this fleet:
        who has a radio of another one says whether that hears it.

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
        if len(pairs) > 1:
            pairs.sort(key=lambda pair: rank(pair[0]))
        return pairs

    def is_reachable(self, address: str, *, pairing: bool, but: Collection[Radio] = ()) -> bool:
        """Whether any of the candidates may be tried, all `but` some of them."""
        return any(radio not in but for radio in self.ways(address, pairing=pairing))

    def ways(self, address: str, *, pairing: bool) -> list[Radio]:
        """Return the radios of the usable candidates, in no order: what each is worth costs more.

        Arguments as in `candidates`.
        """
        known = self._known(address, pairing)
        pins = known.pins
        return [
            radio
            for radio in known.radios
            if obstacle(
                radio.connectable, radio.state, pins.pin(radio.name), known.elsewhere(radio)
            )
            is None
        ]

    def _known(self, address: str, pairing: bool) -> _Known:
        pins = self.pins_for(address)
        sighting = self._sightings.get(address)
        heard = sighting.heard if sighting else {}
        radios = [
            radio
            for radio in self._radios
            if radio in heard
            or (not heard and not isinstance(radio, OffersLinks))
            or radio.name in pins.require
            or self._keeps(radio, address)
            or _offers(radio, address)
        ]
        there = map(identity_of, self._radios)
        bonds = set() if pairing else self.bonds.radios(address, there)
        return _Known(radios, sighting, pins, bonds, pairing)

    def _path(self, address: str, radio: Radio, known: _Known, ahead: int, now: float) -> Path:
        sighting = known.sighting
        heard = sighting.heard.get(radio) if sighting else None
        slots = radio.allocations()
        free = radio.free_slots()
        identity = identity_of(radio)
        path = Path(
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
            failures=self.memory.on_path(address, identity, now),
            radio_failures=self.memory.on_radio(identity, now, but=address),
            incumbent=heard is not None and sighting is not None and sighting.best is heard,
            pin=known.pins.pin(radio.name),
            bonded_elsewhere=known.elsewhere(radio),
            refused=not known.pairing and self.bonds.was_refused(address, identity, now),
        )
        offer = _offer(radio, address)
        return _as_offered(path, offer) if offer else path

    def _wait(self, radio: Radio, free: int | None, ahead: int, now: float) -> float:
        """Return the seconds until the radio is expected to have a slot and a turn."""
        holding = self.holding(radio)
        turn = holding.connect * (radio.connecting + ahead)
        if free is None or free > ahead:
            return turn
        return max(turn, holding.until_free(now, ahead - free))


def _offer(radio: Radio, address: str) -> Offer | None:
    """Return what who has a radio says that a link through it is worth."""
    return radio.offer(address) if isinstance(radio, OffersLinks) else None


def _offers(radio: Radio, address: str) -> bool:
    """Whether who has a radio says that it hears a device."""
    offer = _offer(radio, address)
    return offer is not None and offer.rssi != NO_RSSI_VALUE


def _as_offered(path: Path, offer: Offer) -> Path:
    """Return a path as who has its radio sees it; failures may have been seen by either."""
    return replace(
        path,
        rssi=offer.rssi,
        age=offer.age,
        patience=offer.patience,
        wait=offer.wait,
        failures=max(path.failures, offer.failures),
        radio_failures=max(path.radio_failures, offer.radio_failures),
    )
