"""Through which radios a device is bonded: a bond is of the device and the radio that made it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from proxyconn.state.bounds import BOND
from proxyconn.state.facts import Memory

REFUSED_FOR: Final = 3600.0
"""Seconds for which a radio without a bond is the last one to be tried for a device that asked for
one: it need not be what the next caller asks for."""


class Bonds:
    """The bonds of every device, by the identity of the radio.

    Args:
        state: where they are remembered.
    """

    def __init__(self, state: Memory) -> None:
        self._state = state
        self._bonds: dict[str, set[str]] = {}
        self._refused: dict[tuple[str, str], float] = {}
        self._doubted: dict[tuple[str, str], float] = {}
        for key, _, _ in state.facts(BOND):
            self._bonds.setdefault(key.device, set()).add(key.radio)

    def made(self, address: str, radio: str) -> None:
        """A device has been paired through a radio."""
        self._bonds.setdefault(address, set()).add(radio)
        self._refused.pop((address, radio), None)
        self._doubted.pop((address, radio), None)
        self._state.put(BOND, radio, address, soon=True)

    def removed(self, address: str, radio: str) -> None:
        """A bond is no more."""
        self._bonds.get(address, set()).discard(radio)
        self._doubted.pop((address, radio), None)
        self._state.drop(BOND, radio, address, soon=True)

    def refused(self, address: str, radio: str, now: float) -> None:
        """A device has refused for want of security what was asked through a radio.

        What was known of a bond there was wrong; another radio may have one that nobody told of.
        """
        self._refused = {key: at for key, at in self._refused.items() if now - at < REFUSED_FOR}
        self._refused[address, radio] = now
        if radio in self._bonds.get(address, set()):
            self.removed(address, radio)

    def doubted(self, address: str, radio: str, now: float) -> None:
        """A link through a radio ended for want of security.

        One that was disturbed may end so; a bond to which it happens twice within `REFUSED_FOR` is
        one that either side has lost.
        """
        self._doubted = {key: at for key, at in self._doubted.items() if now - at < REFUSED_FOR}
        if (address, radio) in self._doubted:
            self.refused(address, radio, now)
        elif self.is_bonded(address, radio):
            self._doubted[address, radio] = now

    def all(self) -> list[tuple[str, str]]:
        """Return the address of the device and the identity of the radio of every bond."""
        return [(address, radio) for address, radios in self._bonds.items() for radio in radios]

    def is_bonded(self, address: str, radio: str) -> bool:
        """Whether a device is known to be bonded through a radio."""
        return radio in self._bonds.get(address, set())

    def was_refused(self, address: str, radio: str, now: float) -> bool:
        """Whether a device has asked for a bond lately that a radio did not have."""
        at = self._refused.get((address, radio))
        return at is not None and now - at < REFUSED_FOR

    def radios(self, address: str, available: Iterable[str]) -> set[str]:
        """Return the radios that have its bond; none if none has.

        Args:
            address: the device.
            available: identities of the radios there are.
        """
        known = self._bonds.get(address)
        return known.intersection(available) if known else set()
