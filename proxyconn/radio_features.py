"""What some radios tell or do beyond what every `Radio` does."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from proxyconn.models import ScanMode


class IdentifiedRadio(ABC):
    """A radio that is not what it is called: its name may change, and others may have it too."""

    @property
    @abstractmethod
    def identity(self) -> str:
        """What it is for good, whatever it is called: the MAC address of a proxy."""

    @abstractmethod
    def answers_to(self, name: str) -> bool:
        """Whether `name` means it and no other radio."""


class TellsAbsence(ABC):
    """A radio that knows that it is away before it says that it is gone, which it does later."""

    @property
    @abstractmethod
    def is_away(self) -> bool:
        """Whether it was lost, and has failed to come back at once."""


class SharedRadio(ABC):
    """A radio that may serve several programs at once, as those do that an owner lends."""

    @property
    @abstractmethod
    def is_shared(self) -> bool:
        """Whether it does: slots of which this program knows nothing are other programs' then."""


@dataclass(frozen=True, slots=True)
class Offer:
    """What a link to a device through a radio is worth, by the account of who has the radio.

    Attributes:
        rssi: signal strength in dBm, smoothed; NO_RSSI_VALUE if who has the radio does not say.
        age: seconds since the device was heard.
        patience: seconds of silence after which the device is thought gone.
        wait: seconds until the radio is expected to have a slot and a turn.
        failures: attempts of the device through it that failed, fading.
        radio_failures: other devices that failed on it, fading.
    """

    rssi: int
    age: float
    patience: float
    wait: float
    failures: float = 0.0
    radio_failures: float = 0.0


class OffersLinks(ABC):
    """A radio of another fleet: whoever wants it waits in the queue of that one."""

    @abstractmethod
    def offer(self, address: str) -> Offer | None:
        """What a link to a device was worth when that was asked last; None if it is not known."""


class KeepsLinks(ABC):
    """A radio that may hold links from before this program used it."""

    @property
    @abstractmethod
    def inherited(self) -> Collection[str]:
        """Devices whose link is ours and has no client: the next one for them has it as it is."""

    @property
    @abstractmethod
    def foreign(self) -> Mapping[str, str]:
        """Devices whose link is not ours to end, each with whose it probably is, in words."""


@runtime_checkable
class ScanModeRadio(Protocol):
    """A radio that is told how to scan, and says itself if it cannot."""

    @property
    def own_scan_mode(self) -> ScanMode | None:
        """The mode that the user asked of it alone; None for that of the fleet."""
        ...

    @property
    def scans_actively(self) -> bool | None:
        """Whether it asks for scan responses, as it said last; None if it has not."""
        ...

    def set_scan_mode(self, active: bool | None) -> None:
        """Ask devices for their scan responses, or only listen; None as it was before us.

        It holds for as long as the radio is part of the fleet, through restarts of its session.
        """
        ...


@runtime_checkable
class SlotFreeingRadio(Protocol):
    """A radio that gives up a slot when it is told to."""

    def free_slot(self, address: str) -> None:
        """Drop whatever is held for a device. Raises RadioUnavailableError without a session."""
        ...


@runtime_checkable
class SubscribingRadio(Protocol):
    """A radio that hears for one subscriber only."""

    def resubscribe(self) -> None:
        """Ask for the subscription again, at once. Raises RadioUnavailableError without a session.

        Another client that has it may lose it, and its links.
        """
        ...


@runtime_checkable
class RestartableRadio(Protocol):
    """A radio that may be restarted."""

    async def restart(self) -> None:
        """Restart; every link ends.

        Raises:
            RadioUnavailableError: there is no session.
            UnsupportedError: it has no button for that.
        """
        ...


class Named(Protocol):
    """Something with a name."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...


def identity_of(radio: Named) -> str:
    """Return what a radio is for good: its identity if it has one, else its name."""
    return radio.identity if isinstance(radio, IdentifiedRadio) else radio.name
