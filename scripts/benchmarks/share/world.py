"""What the processes of the sharing benchmark agree on."""

from __future__ import annotations

from typing import Final

SIDES: Final = ("direct", "owner")
"""Each has a proxy and peripherals of its own; the second one's belongs to an owner."""

PERIPHERALS: Final = 8
SERVICE: Final = 0xFE00
VALUE: Final = 0xFE01
PAYLOAD: Final = bytes(range(20))
CONNECTED: Final = 1
"""Number of the peripheral that is connected again and again."""
OPENING: Final = 0.1
"""Seconds until its link is open: a fast one, for a peripheral advertises every 0.1 to 1 s."""
LISTENERS: Final = (1, 10, 50)
ADVERTISEMENTS: Final = 200
"""Advertisements a second that the proxy of each side hears."""


def address(side: str, number: int) -> str:
    """Return the address of a side's numbered peripheral, from 0."""
    return f"C4:00:00:00:{SIDES.index(side):02X}:{number:02X}"
