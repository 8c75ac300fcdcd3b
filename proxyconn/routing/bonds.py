"""Through which radios a device is bonded: a bond is of the device and the radio that made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxyconn.state.facts import Memory

BOND: Final = "bond"
"""Kind of fact."""


class Bonds:
    """The bonds of every device, by the identity of the radio.

    Args:
        state: where they are remembered.
    """

    def __init__(self, state: Memory) -> None:
        self._state = state
        self._bonds: dict[str, set[str]] = {}
        self._refused: dict[str, set[str]] = {}
        for key, _, _ in state.facts(BOND):
            self._bonds.setdefault(key.device, set()).add(key.radio)

    def made(self, address: str, radio: str) -> None:
        """A device has been paired through a radio."""
        self._bonds.setdefault(address, set()).add(radio)
        self._refused.get(address, set()).discard(radio)
        self._state.put(BOND, radio, address, soon=True)

    def removed(self, address: str, radio: str) -> None:
        """A bond is no more."""
        self._bonds.get(address, set()).discard(radio)
        self._state.drop(BOND, radio, address, soon=True)

    def refused(self, address: str, radio: str) -> None:
        """A device has refused for want of security what was asked through a radio.

        What was known of a bond there was wrong; another radio may have one that nobody told of.
        """
        self._refused.setdefault(address, set()).add(radio)
        if radio in self._bonds.get(address, set()):
            self.removed(address, radio)

    def all(self) -> list[tuple[str, str]]:
        """Return the address of the device and the identity of the radio of every bond."""
        return [(address, radio) for address, radios in self._bonds.items() for radio in radios]

    def is_bonded(self, address: str, radio: str) -> bool:
        """Whether a device is known to be bonded through a radio."""
        return radio in self._bonds.get(address, set())

    def radios(self, address: str, available: Iterable[str]) -> set[str]:
        """Return the radios to go through for its bond; none if that does not matter.

        Args:
            address: the device.
            available: identities of the radios there are.
        """
        if address not in self._bonds and address not in self._refused:
            return set()
        there = set(available)
        if known := self._bonds.get(address, set()) & there:
            return known
        refused = self._refused.get(address, set())
        return there - refused if refused & there else set()
