"""UUIDs, short and long."""

from __future__ import annotations

from typing import Final
from uuid import UUID

BASE_UUID_SUFFIX: Final = "-0000-1000-8000-00805f9b34fb"
"""Tail of a 16-bit UUID written as 128 bits (Core Specification vol 3 B 2.5.1)."""


def uuid128(uuid: str | int) -> str:
    """Return a UUID (16-bit number, 4 hex digits or 36 characters) as 128-bit lower-case text.

    Raises ValueError for any other text.
    """
    if isinstance(uuid, int):
        return f"{uuid:08x}{BASE_UUID_SUFFIX}"
    return f"0000{uuid.lower()}{BASE_UUID_SUFFIX}" if len(uuid) == 4 else str(UUID(uuid))


def shortest(uuid: str | int) -> bytes:
    """Return a UUID as it is sent, last octet first: in 2, 4 or 16 bytes. Raises ValueError."""
    text = uuid128(uuid)
    if not text.endswith(BASE_UUID_SUFFIX):
        return UUID(text).bytes[::-1]
    number = int(text[:8], 16)
    return number.to_bytes(2 if number <= 0xFFFF else 4, "little")
