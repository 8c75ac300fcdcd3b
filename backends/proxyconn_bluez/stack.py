"""BlueZ as the Bluetooth stack of this machine: each question on a connection of its own."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bleak import BleakScanner
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError

from proxyconn.radio import (
    RadioUnavailableError,
    adapter_path,
    device_object_path,
    split_device_path,
)
from proxyconn_bluez.bleak_private import seen_devices
from proxyconn_bluez.bus.connection import ADAPTER, DEVICE, call
from proxyconn_bluez.bus.devices import (
    address_of,
    advertisement,
    best_first,
    ble_device,
    is_connected,
)
from proxyconn_bluez.bus.objects import BlueZObjects, Properties, bluez_objects
from proxyconn_bluez.bus.watch import BlueZWatch
from proxyconn_bluez.client import BlueZClient
from proxyconn_bluez.link_attempts import BlueZLink

DISCONNECT_TIMEOUT = 5.0
"""Seconds for a link to drop after BlueZ was asked to close it."""

_LOGGER = logging.getLogger(__name__)


@asynccontextmanager
async def _objects_if_any() -> AsyncIterator[BlueZObjects | None]:
    """Open BlueZ's objects, or yield None where there is no BlueZ."""
    try:
        opened = bluez_objects()
        objects = await opened.__aenter__()
    except RadioUnavailableError as exc:
        _LOGGER.debug("no BlueZ: %s", exc)
        yield None
        return
    try:
        yield objects
    finally:
        await opened.__aexit__(None, None, None)


def _instances(objects: BlueZObjects, address: str) -> list[tuple[str, Properties]]:
    """Return the device with this address on every adapter, best first."""
    named = address.upper()
    return best_first([one for one in objects.devices() if address_of(one[1]) == named])


class BlueZStack:
    """Answers what the core asks of the local stack. Keeps nothing between two calls."""

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """BlueZClient."""
        return BlueZClient

    @asynccontextmanager
    async def link(self, device: BLEDevice) -> AsyncIterator[BlueZLink | None]:
        """Follow one device for as long as the context lasts; None where there is no BlueZ."""
        async with _objects_if_any() as objects:
            yield BlueZLink(objects, device.address) if objects else None

    def watch(self) -> BlueZWatch:
        """Return a watch, not yet started."""
        return BlueZWatch()

    async def get_device(self, address: str, adapter: str | None = None) -> BLEDevice | None:
        """Look a device up: the connected one first, then the strongest."""
        async with _objects_if_any() as objects:
            if objects is None:
                return None
            if adapter is None:
                found = _instances(objects, address)
            else:
                path = device_object_path(adapter, address)
                properties = objects.device(path)
                found = [(path, properties)] if properties is not None else []
            devices = (ble_device(path, properties) for path, properties in found)
            return next((device for device in devices if device), None)

    async def close_connections(self, address: str, keep_path: str | None = None) -> None:
        """Disconnect the device on every adapter but that of the object path `keep_path`."""
        async with _objects_if_any() as objects:
            if objects is None:
                return
            paths = [
                path
                for path, properties in _instances(objects, address)
                if is_connected(properties) and path != keep_path
            ]
            await asyncio.gather(*(_disconnect(objects, path) for path in paths))

    async def remove_device(self, address: str) -> bool:
        """Remove the device from every adapter; return whether one of them had it.

        Raises:
            BleakDBusError, OSError, EOFError: no adapter let it go.
        """
        async with _objects_if_any() as objects:
            if objects is None:
                return False
            paths = [path for path, _ in _instances(objects, address)]
            results = await asyncio.gather(
                *(_remove(objects, path) for path in paths), return_exceptions=True
            )
            failures = [result for result in results if isinstance(result, BaseException)]
            for failure in failures:
                _LOGGER.debug("%s: could not be removed: %r", address, failure)
            if failures and len(failures) == len(paths):
                raise failures[0]
            return bool(paths)

    async def restore_discoveries(self, scanner: BleakScanner, adapter: str) -> None:
        """Let a scanner know the devices that the adapter knows."""
        async with _objects_if_any() as objects:
            if objects is None:
                return
            seen = seen_devices(scanner)
            for path, properties in objects.devices():
                parts = split_device_path(path)
                device = ble_device(path, properties)
                if device and parts and parts[0] == adapter:
                    seen.setdefault(path, (device, advertisement(path, properties)))


async def _disconnect(objects: BlueZObjects, path: str) -> None:
    _LOGGER.debug("%s: closing a stale connection", path)
    try:
        await call(objects.bus, path, DEVICE, "Disconnect")
    except (BleakDBusError, OSError, EOFError) as exc:
        _LOGGER.debug("%s: could not be disconnected: %r", path, exc)
        return
    if not await objects.until(lambda: not is_connected(objects.device(path)), DISCONNECT_TIMEOUT):
        _LOGGER.warning("%s: still connected %g s after a disconnect", path, DISCONNECT_TIMEOUT)


async def _remove(objects: BlueZObjects, path: str) -> None:
    parts = split_device_path(path)
    if parts is not None:
        await call(objects.bus, adapter_path(parts[0]), ADAPTER, "RemoveDevice", "o", [path])
