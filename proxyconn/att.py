"""Facts of the Attribute Protocol and of its UUIDs that every client of a device needs."""

from __future__ import annotations

from typing import Final

from bleak.uuids import normalize_uuid_16

MIN_MTU: Final = 23
"""Bytes: the default ATT MTU (Core Specification vol 3 G 5.2.1)."""

INVALID_HANDLE: Final = 0x01
"""ATT error of a handle that names nothing (Core Specification vol 3 F 3.4.1.1)."""

CCCD: Final = normalize_uuid_16(0x2902)
"""UUID of the Client Characteristic Configuration descriptor, which turns notifications on
(Core Specification vol 3 G 3.3.3.3)."""

BASE_UUID_TAIL: Final = "-0000-1000-8000-00805f9b34fb"
"""The Bluetooth Base UUID without its first 32 bits (Core Specification vol 3 B 2.5.1)."""
