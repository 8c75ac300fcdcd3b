"""Writes what an adapter heard as bytes again, for BlueZ tells only what they mean."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import Final
from uuid import UUID

BASE_UUID_TAIL: Final = "-0000-1000-8000-00805f9b34fb"
"""The Bluetooth Base UUID without its first 32 bits (Core Specification vol 3 B 2.5.1)."""

MOST_DATA: Final = 254
"""Bytes of one AD structure beside its length and its type (Core Specification vol 3 C 11)."""

# AD types (Assigned Numbers 2.3).
UUIDS_16, UUIDS_32, UUIDS_128 = 0x03, 0x05, 0x07
COMPLETE_NAME, TX_POWER = 0x09, 0x0A
SERVICE_DATA_16, SERVICE_DATA_32, SERVICE_DATA_128 = 0x16, 0x20, 0x21
MANUFACTURER_DATA: Final = 0xFF


def advertising_payload(
    name: str | None,
    manufacturer_data: Mapping[int, bytes],
    service_data: Mapping[str, bytes],
    service_uuids: Sequence[str],
    tx_power: int | None,
) -> bytes:
    """Return AD structures that say the same; what does not fit into one is left out.

    Args:
        name: the device's name, taken for the complete one.
        manufacturer_data: company identifier -> data.
        service_data: UUID -> data.
        service_uuids: 128-bit UUIDs as text.
        tx_power: dBm.
    """
    parts: list[tuple[int, bytes]] = []
    by_size: dict[int, bytes] = {}
    for text in service_uuids:
        number = _uuid_bytes(text)
        by_size[len(number)] = by_size.get(len(number), b"") + number
    for size, kind in ((2, UUIDS_16), (4, UUIDS_32), (16, UUIDS_128)):
        if size in by_size:
            parts.append((kind, by_size[size]))
    if tx_power is not None:
        parts.append((TX_POWER, struct.pack("b", tx_power)))
    for company, data in manufacturer_data.items():
        parts.append((MANUFACTURER_DATA, struct.pack("<H", company) + data))
    for text, data in service_data.items():
        number = _uuid_bytes(text)
        kind = {2: SERVICE_DATA_16, 4: SERVICE_DATA_32, 16: SERVICE_DATA_128}[len(number)]
        parts.append((kind, number + data))
    if name:
        parts.append((COMPLETE_NAME, name.encode()))
    return b"".join(
        bytes((len(data) + 1, kind)) + data for kind, data in parts if len(data) <= MOST_DATA
    )


def _uuid_bytes(text: str) -> bytes:
    """Return a UUID in as few bytes as it takes, the least significant first."""
    if text.endswith(BASE_UUID_TAIL):
        number = int(text[:8], 16)
        return struct.pack("<H", number) if number <= 0xFFFF else struct.pack("<I", number)
    return UUID(text).bytes[::-1]
