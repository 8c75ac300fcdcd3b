"""What somebody who lends a fleet to other programs needs of it, beyond what its users do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn.fleet.radio_hub import Hub, ReportsCallback
from proxyconn.fleet.routed_class import routed_backend
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.models import ScanMode
from proxyconn.radio import Offer, OffersLinks, Radio, Report, ScanWish, identity_of
from proxyconn.routing.fair_shares import Party, Share


@dataclass(frozen=True, slots=True)
class LentSlots:
    """The connection slots of one radio, or of several as if they were one.

    Attributes:
        limit: how many there are.
        free: how many of them are free.
        allocated: addresses of the devices that hold the others, as far as they are known.
    """

    limit: int
    free: int
    allocated: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class OwnOffer:
    """What a link through one radio of this fleet is worth.

    Attributes:
        radio: the radio.
        offer: what it is worth.
        address_type: of the device, as the radio has heard it: 0 public, 1 random.
    """

    radio: Radio
    offer: Offer
    address_type: int


class Lending:
    """The other side of a fleet: reports as they come, clients on behalf of others, true slots.

    Args:
        hub: the fleet's.
    """

    def __init__(self, hub: Hub) -> None:
        self._hub = hub

    def register_reports_callback(self, callback: ReportsCallback) -> Callable[[], None]:
        """Call `callback(radio, reports)` for each batch as a radio heard it; returns unsubscribe.

        The fleet has taken note of the reports by then.
        """
        return self._hub.reports_callbacks.register(callback)

    def register_own_reports_callback(self, callback: ReportsCallback) -> Callable[[], None]:
        """Call `callback(radio, reports)` for each batch of a radio that is not another fleet's.

        It counts for nobody who listens: other fleets are not asked to tell what they hear.
        """
        return self._hub.own_reports_callbacks.register(callback)

    def register_slots_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` whenever slots may be other ones; returns unsubscribe.

        That is more often than one is taken or freed: radios come and go with theirs.
        """
        return self._hub.slots_callbacks.register(callback)

    def attributed(self, radio: Radio, reports: Iterable[Report[Any]]) -> Sequence[Report[Any]]:
        """Return the reports of devices that belong to `radio`: none hears them better."""
        return self._hub.sightings.attributed(radio, reports)

    def radios(self, only: str | None = None) -> list[Radio]:
        """Return every radio, or the one with the identity `only`."""
        return [radio for radio in self._hub.radios if only in (None, identity_of(radio))]

    def slots(self, only: str | None = None) -> LentSlots:
        """Return the slots of all radios together, or of the one with the identity `only`."""
        reports = [slots for radio in self.radios(only) if (slots := radio.allocations())]
        return LentSlots(
            limit=sum(slots.slots for slots in reports),
            free=sum(slots.free for slots in reports),
            allocated=tuple(address for slots in reports for address in slots.allocated),
        )

    def wish_scan(self, who: object, mode: ScanMode | None, only: str | None = None) -> None:
        """Somebody wishes for a scan mode until `end_scan_wish`; the most demanding wish counts.

        Args:
            who: whose wish it is; one each.
            mode: the mode; None for somebody who listens, and has asked for none.
            only: identity of the radio that is meant; None for all of them.
        """
        self._hub.scan.wish(who, mode, only=only)

    def neighbour_wishes_scan(self, who: object, wish: ScanWish) -> None:
        """A neighbour wishes that radios ask devices for scan responses, until `end_scan_wish`."""
        self._hub.scan.wish(who, ScanMode.ACTIVE, only=wish.only, weak=wish.weak, far=True)

    def end_scan_wish(self, who: object) -> None:
        """Somebody has no wish for a scan mode any more; harmless if there was none."""
        self._hub.scan.end_wish(who)

    def scans_actively(self, only: str | None = None) -> bool:
        """Whether radios ask for scan responses by their mode, or may do, for all that is known."""
        return any(self._hub.scan.is_active(radio) is not False for radio in self.radios(only))

    @property
    def wishes(self) -> int:
        """How many links there are and are waited for, whoever wants them."""
        return len(self._hub.queue.links)

    def holder(self, address: str) -> str | None:
        """Return whose link or attempt a device has; None if nobody wants it."""
        if address not in self._hub.queue.links:
            return None
        return self._hub.queue.parties.get(address) or "this program"

    def kept_by(self, address: str) -> str | None:
        """Return whose a device is; None if nobody has it, or who has it is letting it go."""
        queue = self._hub.queue
        present = queue.holders.present(address)
        if present and (present.is_letting_go or present.has_ended):
            return None
        return self.holder(address)

    async def end_link(self, address: str) -> None:
        """Close the link of a device, or end the attempt to open one; harmless without one.

        Raises:
            BleakError: it could not be closed in order; it is given up all the same.
        """
        if isinstance(holder := self._hub.queue.holders.present(address), RoutedClient):
            await holder.disconnect()

    def address_of(self, address_or_name: str) -> str | None:
        """Return the address of the device that is heard by this address or name now."""
        device = self._hub.find(address_or_name)
        return device.address if device else None

    def said_by(self, address: str) -> AdvertisementData | None:
        """Return all that a device says; None if it is not heard."""
        sighting = self._hub.sightings.get(address)
        return sighting.last() if sighting else None

    def offers(self, address: str) -> list[OwnOffer]:
        """Return what links to a device through radios of this fleet are worth, best first.

        Only those that hear it and can be used; those of other fleets are not ours to offer.
        """
        sighting = self._hub.sightings.get(address)
        own = (
            [one for one in sighting.heard if not isinstance(one, OffersLinks)] if sighting else []
        )
        # Most owners hear few of the devices that are asked for: they need not look at every radio.
        if not sighting or not own:
            return []
        routing = self._hub.routing
        waiting = Counter(waiter.only for waiter in self._hub.queue.waiters)
        ahead = {radio: waiting[identity_of(radio)] for radio in own}
        return [
            OwnOffer(
                radio,
                Offer(
                    path.rssi,
                    path.age,
                    path.patience,
                    path.wait,
                    path.failures,
                    path.radio_failures,
                ),
                sighting.address_type(radio),
            )
            for path, radio in routing.candidates(address, self._hub.loop.time(), ahead=ahead)
            if path.usable and radio in own
        ]

    def share_out(self, shares: dict[Party, Share]) -> None:
        """Say what each party may count on, and what it may not exceed."""
        self._hub.queue.shares.shares = shares
        self._hub.queue.serve()

    def pass_on(self, client: RoutedClient, taker: Party) -> None:
        """Make a client another party's, with its link or its attempts to open one."""
        giver, client.party = client.party, taker
        # Between two radios it has no place in the queue, and takes its next one as the taker.
        if self._hub.queue.holders.present(client.address) is client:
            self._hub.queue.pass_on(client.address, giver, taker)

    def backend(self) -> type[RoutedClient]:
        """Return the bleak backend of clients that are given an address or a device."""
        return routed_backend(self._hub)

    def client(
        self,
        address: str,
        address_type: int,
        *,
        party: Party,
        only: str | None = None,
        timeout: float = 20.0,
        disconnected_callback: Callable[[], None] | None = None,
    ) -> RoutedClient:
        """Make a client for a device, heard or not, on behalf of somebody.

        Args:
            address: the device's address.
            address_type: 0 public, 1 random (Core Specification vol 4 E 7.8.12).
            party: whose link it will be.
            only: identity of the radio to take; None for the best.
            timeout: seconds for its connect.
            disconnected_callback: called once when the link ends.
        """
        sighting = self._hub.sightings.get(address)
        device: BLEDevice = (
            sighting.device if sighting else self._hub.make_device(address, address_type)
        )
        return RoutedClient(
            device,
            hub=self._hub,
            party=party,
            only=only,
            timeout=timeout,
            disconnected_callback=disconnected_callback,
        )
