"""Advertising payloads (Core Specification Supplement part A)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from bluetooth_data_tools import BLEGAPType

from proxyconn_virtual.advertising.uuids import shortest

MAX_LEGACY: Final = 31
"""Bytes of legacy advertising data, and of a scan response (Core Specification vol 6 B 2.3.1)."""

MAX_EXTENDED: Final = 1650
"""Bytes of extended advertising data (Core Specification vol 6 B 2.3.4.9)."""

_LONGEST_STRUCTURE: Final = 254
_UUID_LISTS: Final = {
    2: BLEGAPType.TYPE_16BIT_SERVICE_UUID_COMPLETE,
    4: BLEGAPType.TYPE_32BIT_SERVICE_UUID_COMPLETE,
    16: BLEGAPType.TYPE_128BIT_SERVICE_UUID_COMPLETE,
}
_SERVICE_DATA: Final = {
    2: BLEGAPType.TYPE_SERVICE_DATA,
    4: BLEGAPType.TYPE_SERVICE_DATA_32BIT_UUID,
    16: BLEGAPType.TYPE_SERVICE_DATA_128BIT_UUID,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Advertisement:
    """What a peripheral says at one time.

    Attributes:
        data: advertising data, at most 31 bytes, or 1650 if extended; see `payload`.
        scan_response: what a proxy that scans actively hears besides, at most 31 bytes.
        extended: sent as extended advertising (Bluetooth 5), which no ESPHome release hears: only
            proxies do that have `ProxySpec.hears_extended` (the simulated radio only). It has no
            scan response.

    Raises:
        ValueError: something is too long.
    """

    data: bytes
    scan_response: bytes = b""
    extended: bool = False

    def __post_init__(self) -> None:
        if self.extended and self.scan_response:
            raise ValueError("an extended advertisement has no scan response: put all into `data`")
        longest = MAX_EXTENDED if self.extended else MAX_LEGACY
        for name, content, limit in (
            ("advertising data", self.data, longest),
            ("scan response", self.scan_response, MAX_LEGACY),
        ):
            if len(content) > limit:
                raise ValueError(
                    f"the {name} has {len(content)} bytes, and {limit} fit: leave something out, "
                    "or say it in turns"
                )


Advertising = Advertisement | Sequence[Advertisement] | Callable[[int], Advertisement]
"""What a peripheral says: always the same, several things in turns, or what a function returns that
is called with the number, from 0, of each time it advertises."""


def structure(kind: int, content: bytes) -> bytes:
    """Return an AD structure of a type. Raises ValueError for more than 254 bytes."""
    if len(content) > _LONGEST_STRUCTURE:
        raise ValueError(f"{len(content)} bytes are too many for one structure: 254 fit")
    return bytes((len(content) + 1, kind)) + content


def payload(
    *,
    flags: int | None = None,
    name: str | None = None,
    services: Sequence[str | int] = (),
    service_data: Mapping[str | int, bytes] | None = None,
    manufacturer_data: Mapping[int, bytes] | None = None,
    tx_power: int | None = None,
    appearance: int | None = None,
) -> bytes:
    """Return advertising data, or a scan response, in the order of these arguments.

    Args:
        flags: 0x06 for a discoverable Bluetooth LE device; not in a scan response.
        name: complete local name.
        services: UUIDs of services, each sent in its shortest form.
        service_data: UUID of a service -> data.
        manufacturer_data: company identifier -> data.
        tx_power: dBm, -127..127.
        appearance: 16-bit number (Assigned Numbers 2.6).

    Raises:
        ValueError: a UUID is none, or a structure too long.
        OverflowError: a number is out of its range.
    """
    parts = []
    if flags is not None:
        parts.append(structure(BLEGAPType.TYPE_FLAGS, flags.to_bytes(1, "little")))
    if name is not None:
        parts.append(structure(BLEGAPType.TYPE_COMPLETE_LOCAL_NAME, name.encode()))
    uuids = [shortest(uuid) for uuid in services]
    for size, kind in _UUID_LISTS.items():
        if listed := b"".join(uuid for uuid in uuids if len(uuid) == size):
            parts.append(structure(kind, listed))
    for uuid, content in (service_data or {}).items():
        short = shortest(uuid)
        parts.append(structure(_SERVICE_DATA[len(short)], short + content))
    for company, content in (manufacturer_data or {}).items():
        raw = company.to_bytes(2, "little") + content
        parts.append(structure(BLEGAPType.TYPE_MANUFACTURER_SPECIFIC_DATA, raw))
    if tx_power is not None:
        level = tx_power.to_bytes(1, "little", signed=True)
        parts.append(structure(BLEGAPType.TYPE_TX_POWER_LEVEL, level))
    if appearance is not None:
        parts.append(structure(BLEGAPType.TYPE_APPEARANCE, appearance.to_bytes(2, "little")))
    return b"".join(parts)
