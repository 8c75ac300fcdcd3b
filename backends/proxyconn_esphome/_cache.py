"""What is known of devices from earlier connections: their services and their MTU."""

from __future__ import annotations

from dataclasses import dataclass

from bleak.backends.service import BleakGATTServiceCollection
from lru import LRU

MAX_DEVICES = 128
"""Devices remembered; the one unused for longest is forgotten first."""

MIN_MTU = 23
"""Bytes: the default ATT MTU (Core Specification vol 3 G 5.2.1)."""

MAX_MTU = 517
"""Bytes: the largest ATT MTU of an ESP32 (ESP_GATT_MAX_MTU_SIZE)."""


@dataclass(slots=True)
class KnownDevice:
    """A device that was connected before.

    Attributes:
        mtu: ATT MTU in bytes that was negotiated last.
        services: its services, if they are known.
        told: the messages that `services` was built from.
        doubted: the messages that the last table was built from, if it may lack something.
        stale: whether an error has shown that the proxy's own cache is out of date.
    """

    mtu: int = MIN_MTU
    services: BleakGATTServiceCollection | None = None
    told: tuple[bytes, ...] = ()
    doubted: tuple[bytes, ...] = ()
    stale: bool = False

    def max_write_without_response(self) -> int:
        """Bytes that fit into one write command: the MTU less opcode and handle."""
        return self.mtu - 3


class GattCache:
    """Known devices by address, shared by every proxy of a fleet."""

    def __init__(self) -> None:
        self._devices: LRU[str, KnownDevice] = LRU(MAX_DEVICES)

    def device(self, address: str) -> KnownDevice:
        """Return what is known of a device, which may be nothing yet."""
        known: KnownDevice | None = self._devices.get(address)
        if known is None:
            known = self._devices[address] = KnownDevice()
        return known

    def forget(self, address: str) -> None:
        """Forget a device; harmless if it is not known."""
        self._devices.pop(address, None)
