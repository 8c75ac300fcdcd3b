"""What the processes of the GATT benchmark agree on."""

from __future__ import annotations

import struct
from typing import Final

SIDES: Final = ("ours-direct", "peer-direct", "ours-managed", "peer-managed", "bare")
"""The clients that are measured; each has a proxy and peripherals of its own."""

MOST_CONNECTIONS: Final = 100
SPARE: Final = MOST_CONNECTIONS
"""Number of the peripheral that is connected and disconnected while the others stay connected."""

SERVICE: Final = 0xFE00
VALUE: Final = 0xFE01
"""Read it: 20 bytes. Subscribe to it: it notifies 20 bytes as often as STREAM is told."""
CPU: Final = 0xFE02
"""Read it: CPU seconds that the proxies' process has used, a little-endian double."""
STREAM: Final = 0xFE03
"""Write it: how many peripherals shall now notify, how many times each, and a UDP port that is told
when all of that is sent; 0 for none."""

PAYLOAD: Final = bytes(range(20))
"""As many bytes as fit into one notification at the default MTU of 23."""

STREAM_FORMAT: Final = struct.Struct("<HIH")
CPU_FORMAT: Final = struct.Struct("<d")


def address(side: str, number: int) -> str:
    """Return the address of a side's numbered peripheral, from 0."""
    return f"C4:00:00:00:{SIDES.index(side):02X}:{number:02X}"
