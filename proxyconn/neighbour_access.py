"""What a fleet asks of its neighbours and tells them, whether it has any or not."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from proxyconn.radio import Neighbours, OffersLinks, Radio, ScanWish, Surroundings, identity_of


class NeighbourAccess:
    """What a fleet asks of its neighbours and tells them; nothing, as long as it has none.

    Args:
        is_listened_to: says whether anybody wants to hear what radios hear.
        is_held: says whether a radio of this fleet still has a slot for a device, and may free it.
    """

    def __init__(self, is_listened_to: Callable[[], bool], is_held: Callable[[str], bool]) -> None:
        self._is_listened_to = is_listened_to
        self._is_held = is_held
        self._leaving: set[str] = set()
        self._neighbours: Neighbours | None = None
        self._told = False
        self._scan_wishes: frozenset[ScanWish] = frozenset()

    def met(
        self, neighbours: Neighbours | None, end_link: Callable[[str], Awaitable[None]]
    ) -> None:
        """Have these neighbours, or none, from now on; `end_link` ends the link of an address."""
        if neighbours is not self._neighbours:
            self._neighbours, self._told = neighbours, False
            if neighbours:
                neighbours.met(end_link)
                if self._scan_wishes:
                    neighbours.scan_wished(self._scan_wishes)
            self.listening_changed()

    def listening_changed(self) -> None:
        """Tell neighbours whether anybody here listens."""
        listened_to = self._is_listened_to()
        if self._neighbours and listened_to != self._told:
            self._told = listened_to
            self._neighbours.listened_to(listened_to)

    def known(self) -> Surroundings | None:
        """Return what is known of the neighbours; None if there can be none."""
        return self._neighbours.known() if self._neighbours else None

    def scan_wished(self, wishes: frozenset[ScanWish]) -> None:
        """Tell neighbours what is wished here of how radios scan: something else than before."""
        self._scan_wishes = wishes
        if self._neighbours:
            self._neighbours.scan_wished(wishes)

    async def ask(self, address: str, only: str | None, timeout: float) -> None:
        """Ask what other radios are worth, unless one is chosen. Raises LinkError (IN_USE)."""
        if self._neighbours and only is None:
            await self._neighbours.ask(address, timeout)

    async def look_for(self, address_or_name: str) -> None:
        """Ask who hears a device."""
        if self._neighbours:
            await self._neighbours.look_for(address_or_name)

    async def hold(self, address: str, radio: Radio, timeout: float) -> None:
        """Keep neighbours from a device, before a radio of this fleet connects to it.

        Raises:
            LinkError: one of them has it.
            RadioUnavailableError: whether one has it cannot be found out.
        """
        if self._neighbours and not isinstance(radio, OffersLinks):
            self._leaving.discard(address)
            await self._neighbours.hold(address, identity_of(radio), timeout)

    def let_go(self, address: str) -> None:
        """Let neighbours have a device once its slot is free; harmless if it was not held."""
        if self._neighbours:
            self._leaving.add(address)
            self.slots_changed()

    def slots_changed(self) -> None:
        """Look whether a slot has come free that a device was to leave."""
        if not self._leaving or not self._neighbours:
            return
        for address in [address for address in self._leaving if not self._is_held(address)]:
            self._leaving.discard(address)
            self._neighbours.let_go(address)
