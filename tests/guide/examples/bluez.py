"""What programs ask of BlueZ by address, and the source of a device."""

# mypy: disable-error-code="no-untyped-def, arg-type"

from __future__ import annotations

from bleak.backends.device import BLEDevice

from proxyconn import (
    BleakClientWithServiceCache,
    clear_cache,
    close_stale_connections_by_address,
    device_source,
    establish_connection,
    get_device,
)


async def connect_after_restart(device: BLEDevice):
    """Close what was left open, and connect."""
    await close_stale_connections_by_address("AA:BB:CC:DD:EE:FF")
    client = await establish_connection(BleakClientWithServiceCache, device, name=device.name)
    return client  # noqa: RET504


async def forget_device() -> bool:
    """Have BlueZ forget the device; say whether it knew it."""
    return await clear_cache("AA:BB:CC:DD:EE:FF")


async def connect_to_known_device() -> BleakClientWithServiceCache:
    """Connect to the device as BlueZ knows it."""
    device = await get_device("AA:BB:CC:DD:EE:FF")
    if device is None:
        raise RuntimeError("device not currently known to BlueZ")
    client = await establish_connection(BleakClientWithServiceCache, device, name=device.name)
    return client  # noqa: RET504


def is_local(device: BLEDevice) -> bool:
    """Tell an adapter's device from a proxy's."""
    if device_source(device) is None:  # noqa: SIM103
        return True
    else:  # noqa: RET505
        return False
