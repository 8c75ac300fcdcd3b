"""What somebody needs of a fleet who shows it to people, beyond what its users do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.advertisements.merged_device import Sighting
from proxyconn.fleet.alarms import Alarm
from proxyconn.fleet.inside.interventions import Interventions
from proxyconn.fleet.radio_hub import Hub, ReportsCallback
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn.radio import Radio, Surroundings, identity_of
from proxyconn.routing.failure_memory import PathFailure
from proxyconn.routing.fair_shares import Party
from proxyconn.routing.journal import Journal
from proxyconn.routing.path_score import Path
from proxyconn.routing.pins import NO_PINS, Pins


@dataclass(frozen=True, slots=True)
class Waiting:
    """A caller in the queue.

    Attributes:
        address: the device.
        party: whose it is; None for the program itself.
        only: name of the only radio it wants; None for any.
        declined_at: since when it lets free radios go for a better one, in the loop's seconds; None
            if it does not.
        unreachable_since: since when no radio can be used for it; None if one can.
    """

    address: str
    party: Party
    only: str | None
    declined_at: float | None
    unreachable_since: float | None


class Inspection:
    """The inside of a fleet, to be looked at and not to be changed, but by `act`.

    Args:
        hub: the fleet's.
        alarms: says what should not be.

    Attributes:
        act: what may be done to the fleet by hand.
        alarms: returns what should not be and has been for a while, the oldest first.
    """

    def __init__(self, hub: Hub, alarms: Callable[[], list[Alarm]]) -> None:
        self._hub = hub
        self.act = Interventions(hub)
        self.alarms = alarms

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the fleet runs in."""
        return self._hub.loop

    @property
    def radios(self) -> list[Radio]:
        """Every radio, in the order they were found."""
        return list(self._hub.radios)

    @property
    def sightings(self) -> Mapping[str, Sighting]:
        """Address -> what every radio hears of the device."""
        return self._hub.sightings

    @property
    def journal(self) -> Journal:
        """What became of each wish for a link."""
        return self._hub.queue.journal

    @property
    def links(self) -> Mapping[str, Radio | None]:
        """Address -> radio of every link and attempt; None for a caller that waits."""
        return self._hub.queue.links

    def party(self, address: str) -> Party:
        """Return whose link or attempt a device has; None if it is the program's own."""
        return self._hub.queue.parties.get(address)

    def waiting(self) -> list[Waiting]:
        """Return the queue, the first to be served first."""
        names = {identity_of(radio): radio.name for radio in self._hub.radios}
        return [
            Waiting(
                waiter.address,
                waiter.party,
                None if waiter.only is None else names.get(waiter.only, waiter.only),
                waiter.declined_at,
                waiter.unreachable_since,
            )
            for waiter in self._hub.queue.waiters
        ]

    def paths(self, address: str) -> list[Path]:
        """Return every path to a device, best first; none if no radio hears it."""
        return self._hub.paths(address)

    def pins(self, address: str) -> Pins:
        """Return what was said about radios for a device."""
        return self._hub.routing.pins.get(address, NO_PINS)

    def holds_since(self, radio: Radio, address: str) -> float | None:
        """Return since when a radio holds a slot for a device; None if it holds none."""
        return self._hub.routing.holding(radio).since(address)

    def failures(self) -> Sequence[PathFailure]:
        """Return the failures that are remembered."""
        return self._hub.routing.memory.failures(self._hub.loop.time())

    def bonds(self) -> list[tuple[str, str]]:
        """Return address and identity of the radio of every bond."""
        return self._hub.routing.bonds.all()

    def surroundings(self) -> Surroundings | None:
        """Return what is known of the fleets around this one; None if there can be none."""
        return self._hub.neighbours.known()

    def services(self, address: str) -> BleakGATTServiceCollection | None:
        """Return the GATT table of a device that is connected; None of any other."""
        holder = self._hub.queue.holders.present(address)
        return holder.services if isinstance(holder, RoutedClient) else None

    def mtu(self, address: str) -> int | None:
        """Return the ATT MTU of a link in bytes; None without one."""
        holder = self._hub.queue.holders.present(address)
        connected = isinstance(holder, RoutedClient) and holder.is_connected
        return holder.mtu_size if isinstance(holder, RoutedClient) and connected else None

    def register_reports_callback(self, callback: ReportsCallback) -> Callable[[], None]:
        """Call `callback(radio, reports)` for each batch as a radio heard it; returns unsubscribe.

        The fleet has taken note of the reports by then.
        """
        return self._hub.reports_callbacks.register(callback)

    def register_slots_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` whenever slots, or radios, may be other ones; returns unsubscribe."""
        return self._hub.slots_callbacks.register(callback)

    def register_state_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` whenever a radio comes, goes or changes; returns unsubscribe."""
        return self._hub.state_callbacks.register(callback)
