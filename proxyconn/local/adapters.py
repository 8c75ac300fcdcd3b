"""What programs ask of BlueZ by address. Where there is no BlueZ, nothing is known and done."""

from __future__ import annotations

import logging

from bleak import BleakScanner
from bleak.backends.device import BLEDevice

from proxyconn.device import device_path
from proxyconn.local.stack import local_stack

_LOGGER = logging.getLogger(__name__)


async def get_device(address: str) -> BLEDevice | None:
    """Return the device with this address as BlueZ knows it now.

    On several adapters, the one that is connected comes first, then the one with the strongest
    RSSI. None if BlueZ does not know it, is not running, or is not the stack of this machine.
    """
    stack = await local_stack()
    return await stack.get_device(address) if stack else None


async def get_device_by_adapter(address: str, adapter: str) -> BLEDevice | None:
    """Return the device with this address on one adapter (`hciN`), or None as `get_device`."""
    stack = await local_stack()
    return await stack.get_device(address, adapter) if stack else None


async def close_stale_connections(device: BLEDevice, only_other_adapters: bool = False) -> None:
    """Disconnect a device wherever BlueZ holds a link to it.

    Args:
        device: the device; one that is not of BlueZ is left alone.
        only_other_adapters: whether to keep a link on the adapter that `device` is on.
    """
    path = device_path(device)
    stack = await local_stack() if path else None
    if stack:
        await stack.close_connections(device.address, path if only_other_adapters else None)


async def close_stale_connections_by_address(
    address: str, only_other_adapters: bool = False
) -> None:
    """Disconnect a device wherever BlueZ holds a link to it.

    Args:
        address: the device.
        only_other_adapters: whether to keep the link of the device that `get_device` returns.
    """
    if device := await get_device(address):
        await close_stale_connections(device, only_other_adapters)


async def clear_cache(address: str) -> bool:
    """Remove a device from BlueZ, on every adapter: its services, its link and its bond.

    Returns:
        Whether there was one and it was removed. Never raises: a failure is logged.
    """
    try:
        stack = await local_stack()
        return await stack.remove_device(address) if stack else False
    except Exception:
        _LOGGER.warning("%s: could not be removed from BlueZ", address, exc_info=True)
        return False


async def restore_discoveries(scanner: BleakScanner, adapter: str) -> None:
    """Let a scanner that was started know the devices that BlueZ knows on its adapter.

    Args:
        scanner: a BleakScanner; starting it empties it, so start it first.
        adapter: name of its adapter (`hciN`).

    A device that the scanner has heard itself meanwhile is left as it is.
    """
    if stack := await local_stack():
        await stack.restore_discoveries(scanner, adapter)
