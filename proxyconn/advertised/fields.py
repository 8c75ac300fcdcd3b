"""What the fields of an advertisement count as: signal, name, UUIDs, and whose they are."""

from __future__ import annotations

from collections.abc import Iterable
from copy import deepcopy
from typing import Any, Final, Protocol, TypeAlias, runtime_checkable

from bleak.backends.scanner import AdvertisementData

from proxyconn.models import NO_RSSI_VALUE

Fields: TypeAlias = tuple[
    str | None,
    dict[int, bytes],
    dict[str, bytes],
    list[str],
    int | None,
    int,
    tuple[Any, ...],
]
"""What an advertisement says, in the order of bleak's AdvertisementData, which is one of them."""

PADDING: Final = "\0 "
"""What makers fill a name of fixed length up with."""

NO_SIGNAL_FROM: Final = 0
"""dBm from which on a signal strength is none: 0 is a field that was missing, 127 stands for "not
available" (Core Specification vol 4 E 7.7.65.2), and no receiver hears what lies between."""


def measured(rssi: int) -> int:
    """Return a signal strength in dBm, NO_RSSI_VALUE for what cannot have been measured."""
    return rssi if NO_RSSI_VALUE < rssi < NO_SIGNAL_FROM else NO_RSSI_VALUE


def plain_name(name: str | None) -> str | None:
    """Return a name without its padding, or None if nothing is left."""
    return (name and name.rstrip(PADDING)) or None


def once_each(uuids: Iterable[str]) -> list[str]:
    """Return UUIDs once each, in order: advertisement and scan response may both have one."""
    return list(dict.fromkeys(uuids))


def own_platform_data(platform_data: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a copy that its owner may change, of what a platform adds to an advertisement."""
    return deepcopy(platform_data) if platform_data else platform_data


def own_copy(advertisement: AdvertisementData) -> AdvertisementData:
    """Return an advertisement whose lists and dicts are its owner's."""
    name, manufacturer_data, service_data, uuids, tx_power, rssi, platform_data = advertisement
    return AdvertisementData(
        name,
        manufacturer_data.copy(),
        service_data.copy(),
        uuids.copy(),
        tx_power,
        rssi,
        own_platform_data(platform_data),
    )


@runtime_checkable
class NameReader(Protocol):
    """A radio that can tell shortened names from complete ones; those of others are complete."""

    def has_shortened_name(self, payload: Any) -> bool:
        """Whether the name in what it heard is a shortened one (AD type 0x08, not 0x09)."""
        ...
