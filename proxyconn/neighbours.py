"""Other fleets, whose radios a fleet may use, and who may want the same devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RadioOwner:
    """Somebody who shares radios: a neighbour, or this fleet.

    Attributes:
        owner: its id.
        site: where it is.
        own: whether it is this fleet.
        lease: seconds of silence after which it has gone.
        heard_at: when it was heard of last, in the loop's seconds; of this fleet, now.
        silent: whether it has said nothing for too long to be asked.
        radios: how many it shares.
        links: slots of them that are taken.
        slots: slots that there are, of radios that report any.
    """

    owner: str
    site: str
    own: bool
    lease: float
    heard_at: float
    silent: bool
    radios: int
    links: int
    slots: int


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a fleet knows of the fleets around it, without asking anybody.

    Attributes:
        fleet: the name that all of them have in common.
        site: where this fleet is.
        owner: its own id; of a program that shares no radios, what the others call it.
        servers: the broker between them, for people.
        connected: whether the broker is there.
        since: since when that is so, in the loop's seconds.
        cut_off: whether it is known that the leases cannot be renewed.
        leases: how many proxies are this fleet's.
        received, sent: messages since the connection was made.
        owners: who shares radios, this fleet among them if it does.
        troubles: who speaks and cannot be understood, in sentences that say why.
    """

    fleet: str
    site: str
    owner: str
    servers: str
    connected: bool
    since: float
    cut_off: bool
    leases: int
    received: int
    sent: int
    owners: tuple[RadioOwner, ...]
    troubles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScanWish:
    """A wish that radios ask devices for their scan responses.

    Attributes:
        only: identity of the radio that should; None for every one.
        weak: whether it counts only for radios of whose mode nobody has said anything.
    """

    only: str | None = None
    weak: bool = False


class Neighbours(ABC):
    """What a fleet needs of the backend that knows the fleets around it.

    Their radios are radios of this fleet as any others; what they are worth for a device is asked
    of them when somebody wants one (`OffersLinks`).
    """

    @abstractmethod
    def met(self, end_link: Callable[[str], Awaitable[None]]) -> None:
        """Know what ends our link to a device, should it turn out to be a neighbour's."""

    @abstractmethod
    async def ask(self, address: str, timeout: float) -> None:
        """Have every neighbour say what its radios are worth for a device now.

        Args:
            address: the device.
            timeout: seconds, at most; those who have not answered by then are passed over.

        Raises:
            LinkError: somebody has the device connected, or connects to it (kind IN_USE).
        """

    @abstractmethod
    async def look_for(self, address_or_name: str) -> None:
        """Have neighbours tell what they hear of a device; waits for their answers only."""

    @abstractmethod
    async def hold(self, address: str, radio: str, timeout: float) -> None:
        """Return once no neighbour may connect to a device.

        Args:
            address: the device.
            radio: identity of the radio that is about to connect to it.
            timeout: seconds to wait, at most.

        Raises:
            LinkError: a neighbour has it (kind IN_USE).
            RadioUnavailableError: whether one has it cannot be found out now.
        """

    @abstractmethod
    def let_go(self, address: str) -> None:
        """Let neighbours have a device once no radio holds it; harmless if it was not held."""

    @abstractmethod
    def listened_to(self, wanted: bool) -> None:
        """Somebody wants to hear what radios hear, or nobody does any more."""

    @abstractmethod
    def known(self) -> Surroundings:
        """Return what is known of them at this moment; asks nobody."""

    @abstractmethod
    def scan_wished(self, wishes: frozenset[ScanWish]) -> None:
        """All that is wished here of how radios scan, whenever that is something else."""
