"""What the processes of the cluster benchmark agree on."""

from __future__ import annotations

from typing import Final

SIDES: Final = ("alone", "shared")
"""Each has a proxy and peripherals of its own; the owner of the second one is in a cluster."""

SERVICE: Final = 0xFE00
VALUE: Final = 0xFE01
PAYLOAD: Final = bytes(range(20))
READ: Final = 0
"""Number of the peripheral that is read."""
CONNECTED: Final = 1
"""Number of the peripheral that is connected again and again."""
OPENING: Final = 0.1
"""Seconds until its link is open: a fast one, for a peripheral advertises every 0.1 to 1 s."""
RATE: Final = 20
"""Advertisements a second that each of many proxies hears."""
DEVICES: Final = 1000
"""Devices of which those are; each advertises once a second."""
CHANGING: Final = 0.1
"""Share of the advertisements that say something new."""


def address(side: str, number: int) -> str:
    """Return the address of a side's numbered peripheral, from 0."""
    return f"C4:00:00:00:{SIDES.index(side):02X}:{number:02X}"
