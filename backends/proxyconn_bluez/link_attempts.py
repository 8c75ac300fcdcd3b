"""What BlueZ knows about one device while attempts to connect to it are made."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn_bluez.bleak_private import services_cache
from proxyconn_bluez.bus.devices import address_of, best_first, ble_device, is_connected
from proxyconn_bluez.bus.objects import BlueZObjects

_LOGGER = logging.getLogger(__name__)


class BlueZLink:
    """Follows one device on every adapter."""

    def __init__(self, objects: BlueZObjects, address: str) -> None:
        self._objects = objects
        self._address = address.upper()

    def connected_device(self) -> BLEDevice | None:
        """Return the device on the adapter that holds a link to it; None if none does."""
        same = [one for one in self._objects.devices() if address_of(one[1]) == self._address]
        for path, properties in best_first(same):
            return ble_device(path, properties) if is_connected(properties) else None
        return None

    async def services_are_valid(self, device: BLEDevice) -> bool:
        """Whether every service and characteristic that bleak keeps is still one of BlueZ's."""
        return await services_are_valid(self._objects.__contains__, device.details["path"])

    async def settle(self, device: BLEDevice, timeout: float) -> None:
        """Wait for a link that is up to drop, or a device that is gone to reappear, up to `timeout`
        seconds; all of them if there is neither."""
        path = device.details["path"]
        present = self._objects.device(path)
        if present is None:
            await self._objects.until(self._is_known, timeout)
        elif is_connected(present):
            await self._objects.until(lambda: not is_connected(self._objects.device(path)), timeout)
        else:
            await asyncio.sleep(timeout)

    def _is_known(self) -> bool:
        return any(address_of(one) == self._address for _, one in self._objects.devices())


async def services_are_valid(known: Callable[[str], bool], path: str) -> bool:
    """Whether bleak keeps services for the device at `path`, and all of them are still `known`.

    Args:
        known: whether BlueZ has an object at a path.
        path: the device.
    """
    try:
        services = (await services_cache()).get(path)
    except (BleakError, OSError, EOFError) as exc:
        _LOGGER.debug("%s: services not taken from the cache: %r", path, exc)
        return False
    if services is None:
        return False
    paths = [one.obj[0] for one in services.services.values()]
    paths += [one.obj[0] for one in services.characteristics.values()]
    return bool(paths) and all(map(known, paths))
