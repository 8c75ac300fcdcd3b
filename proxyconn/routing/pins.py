"""What users say about radios and devices: take this one, not that one, only those."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from proxyconn.device import colon_address

Names = str | Iterable[str]
"""One name of a radio, or several; its MAC address will do as well."""


class Pin(StrEnum):
    """What was said about one radio for one device."""

    NEUTRAL = "neutral"
    PREFERRED = "preferred"
    AVOIDED = "avoided"
    REQUIRED = "required"
    EXCLUDED = "excluded"
    """Other radios are required."""
    BANNED = "banned"


@dataclass(frozen=True, slots=True)
class Pins:
    """What was said about the radios for one device.

    Attributes:
        prefer: radios to take unless another one is better by far.
        avoid: radios to take only for want of others.
        require: the only radios to take; empty for any.
        ban: radios never to take.
    """

    prefer: frozenset[str] = frozenset()
    avoid: frozenset[str] = frozenset()
    require: frozenset[str] = frozenset()
    ban: frozenset[str] = frozenset()

    def pin(self, radio: str) -> Pin:
        """Return what was said about one radio."""
        if radio in self.ban:
            return Pin.BANNED
        if self.require:
            return Pin.REQUIRED if radio in self.require else Pin.EXCLUDED
        if radio in self.prefer:
            return Pin.PREFERRED
        return Pin.AVOIDED if radio in self.avoid else Pin.NEUTRAL

    def renamed(self, name_meant: Callable[[str], str]) -> Pins:
        """Return the same with other names, as `name_meant` makes them."""
        sets = (self.prefer, self.avoid, self.require, self.ban)
        return Pins(*(frozenset(map(name_meant, names)) for names in sets))

    def allows(self, radio: str) -> bool:
        """Whether links may be opened through a radio."""
        return radio not in self.ban and (not self.require or radio in self.require)

    def with_pin(self, radio: str, pin: Pin) -> Pins:
        """Return the same with something else said about one radio.

        Raises:
            ValueError: EXCLUDED is what follows of another radio's being REQUIRED.
        """
        if pin is Pin.EXCLUDED:
            raise ValueError("require another radio, or ban this one, to exclude it")
        others = frozenset({radio})
        said = dict(zip(_SAYABLE, (self.prefer, self.avoid, self.require, self.ban), strict=True))
        said = {one: radios - others for one, radios in said.items()}
        if pin in said:
            said[pin] |= others
        return Pins(*said.values())


_SAYABLE = (Pin.PREFERRED, Pin.AVOIDED, Pin.REQUIRED, Pin.BANNED)
"""In the order of the attributes of Pins."""


NO_PINS = Pins()


def names(value: Names | None) -> frozenset[str]:
    """Return one name or several as a set."""
    if value is None:
        return frozenset()
    return frozenset({value} if isinstance(value, str) else value)


def pins_by_address(
    prefer: Mapping[str, Names] | None,
    avoid: Mapping[str, Names] | None,
    require: Mapping[str, Names] | None,
) -> dict[str, Pins]:
    """Return the pins of each device from three tables: address -> names of radios."""
    tables = [
        {colon_address(address): names(value) for address, value in (table or {}).items()}
        for table in (prefer, avoid, require)
    ]
    addresses = {address for table in tables for address in table}
    return {
        address: Pins(*(table.get(address, frozenset()) for table in tables))
        for address in addresses
    }
