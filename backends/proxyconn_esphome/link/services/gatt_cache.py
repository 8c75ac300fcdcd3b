"""What is known of devices from earlier connections: their services and their MTU."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from bleak.backends.service import BleakGATTServiceCollection
from lru import LRU

from proxyconn.att import MIN_MTU
from proxyconn.radio import Memory, NoMemory
from proxyconn_esphome.link.connecting_proxy import ConnectingProxy
from proxyconn_esphome.link.gatt_operations import max_command

SERVICES = "services"
"""Kind of fact: the messages that tell a device's services, and its MTU."""

MAX_DEVICES = 128
"""Devices remembered; the one unused for longest is forgotten first."""

MAX_MTU = 517
"""Bytes: the largest ATT MTU of an ESP32 (ESP_GATT_MAX_MTU_SIZE)."""


@dataclass(slots=True)
class KnownDevice:
    """A device that was connected before.

    Attributes:
        mtu: ATT MTU in bytes that was negotiated last; None if no proxy has reported one.
        services: its services, if they are known.
        told: the messages that `services` was built from.
        doubted: the messages that the last table was built from, if it may lack something.
        kept_by: proxies that may keep a table of their own: they have discovered the device.
        stale: those of them whose table is out of date, and is to be cleared.
    """

    mtu: int | None = None
    services: BleakGATTServiceCollection | None = None
    told: tuple[bytes, ...] = ()
    doubted: tuple[bytes, ...] = ()
    kept_by: set[ConnectingProxy] = field(default_factory=set)
    stale: set[ConnectingProxy] = field(default_factory=set)

    def max_write_without_response(self) -> int:
        """Bytes that fit into one write command for certain."""
        return max_command(self.mtu or MIN_MTU)

    def distrust(self, proxy: ConnectingProxy) -> None:
        """Use the services no more: `proxy` keeps a table that is out of date, or may."""
        self.services, self.told = None, ()
        self.stale |= self.kept_by | {proxy}
        self.kept_by.clear()


def forget(known: KnownDevice, remembered: Any) -> None:
    """Take nothing of what was remembered."""


Recall = Callable[[KnownDevice, Any], None]


class GattCache:
    """Known devices by address, shared by every proxy of a fleet.

    Args:
        state: what is remembered of earlier runs; None for nothing.
        recall: takes what was remembered of a device.
    """

    def __init__(self, state: Memory | None = None, recall: Recall = forget) -> None:
        self._recall = recall
        self._state = state or NoMemory()
        self._devices: LRU[str, KnownDevice] = LRU(MAX_DEVICES)

    def device(self, address: str) -> KnownDevice:
        """Return what is known of a device, which may be nothing yet."""
        known: KnownDevice | None = self._devices.get(address)
        if known is None:
            known = self._devices[address] = KnownDevice()
            if remembered := self._state.get(SERVICES, device=address):
                self._recall(known, remembered)
        return known

    def remember(self, address: str) -> None:
        """Keep what is known of a device for the next run, which may find its link still up."""
        known = self.device(address)
        told = [base64.b64encode(message).decode() for message in known.told]
        value = {"mtu": known.mtu, "told": told}
        self._state.put(SERVICES, device=address, value=value, soon=True)

    def forget(self, address: str, proxy: ConnectingProxy) -> KnownDevice:
        """Forget a device but for who may keep a table of it: `proxy`, and others that say so."""
        old = self.device(address)
        old.distrust(proxy)
        self._state.drop(SERVICES, device=address)
        known = self._devices[address] = KnownDevice(stale=old.stale)
        return known
