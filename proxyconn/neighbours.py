"""Other fleets, whose radios a fleet may use, and who may want the same devices."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable


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
