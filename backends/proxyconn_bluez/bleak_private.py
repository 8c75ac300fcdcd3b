"""What bleak keeps private and we cannot do without: the only module that touches it.

bleak's own cache of GATT services lives in its BlueZ manager, and so does its bus, whose loss it
handles while it does not notice that of bluetoothd. What a scanner has seen is in the scanner's
backend. None of them has a public door. tests/bluez/test_bleak.py holds bleak's release to
what is relied on here. Where it is gone, nothing is cached and nothing restored, with a warning.
"""

from __future__ import annotations

import logging
from collections.abc import MutableMapping

from bleak import BleakScanner
from bleak.backends.bluezdbus.client import BleakClientBlueZDBus
from bleak.backends.bluezdbus.manager import get_global_bluez_manager
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.backends.service import BleakGATTServiceCollection
from dbus_fast import Message, MessageFlag
from dbus_fast.aio.message_bus import MessageBus

from proxyconn.radio import adapter_path

_LOGGER = logging.getLogger(__name__)

Seen = MutableMapping[str, tuple[BLEDevice, AdvertisementData]]


async def services_cache() -> MutableMapping[str, BleakGATTServiceCollection]:
    """Return bleak's services by object path of the device; this loop's own, not a copy.

    Raises:
        BleakError, OSError, EOFError: bleak cannot reach BlueZ.
    """
    manager = await get_global_bluez_manager()
    cache = getattr(manager, "_services_cache", None)
    if isinstance(cache, MutableMapping):
        return cache
    _LOGGER.warning("this release of bleak hides its cache of services; it is not used")
    return {}


class BleakBus:
    """The bus that bleak's manager of this loop uses at present."""

    def __init__(self, bus: MessageBus | None) -> None:
        self._bus = bus

    @property
    def alive(self) -> bool:
        """Whether an answer can still come over it."""
        return self._bus is None or self._bus.connected

    def stop_discovery(self, adapter: str) -> None:
        """Undo a StartDiscovery that was sent over this bus and given up; waits for no answer.

        BlueZ answers the calls of one client in their order, and refuses this one if there is no
        discovery (doc/org.bluez.Adapter.rst, StopDiscovery).
        """
        if self._bus and self._bus.connected:
            self._bus.send(
                Message(
                    destination="org.bluez",
                    path=adapter_path(adapter),
                    interface="org.bluez.Adapter1",
                    member="StopDiscovery",
                    flags=MessageFlag.NO_REPLY_EXPECTED,
                )
            )

    def drop(self) -> None:
        """Make bleak lose this bus, and with it all that it knew of bluetoothd; idempotent.

        bleak then tells every client of this loop that its link is lost, and connects anew when it
        is asked for something. A bus that bleak has taken since is left alone.
        """
        if self._bus and self._bus.connected:
            self._bus.disconnect()


async def bleak_bus() -> BleakBus:
    """Return the bus that bleak uses at present.

    Raises:
        BleakError, OSError, EOFError: bleak cannot reach BlueZ.
    """
    manager = await get_global_bluez_manager()
    bus = getattr(manager, "_bus", None)
    if isinstance(bus, MessageBus):
        return BleakBus(bus)
    _LOGGER.warning("this release of bleak hides its bus; a lost bluetoothd goes unnoticed")
    return BleakBus(None)


def close_client_bus(client: BleakClientBlueZDBus) -> None:
    """Close the bus that a client has for itself; idempotent. It has none where bleak hides it."""
    bus = getattr(client, "_bus", None)
    if isinstance(bus, MessageBus) and bus.connected:
        bus.disconnect()


def seen_devices(scanner: BleakScanner) -> Seen:
    """Return what a scanner has seen, by object path; to be added to."""
    seen = getattr(getattr(scanner, "_backend", None), "seen_devices", None)
    if isinstance(seen, MutableMapping):
        return seen
    _LOGGER.warning("this release of bleak hides what a scanner has seen; it is not added to")
    return {}
