"""The client: its cache, and its connection parameters."""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from bleak.backends.device import BLEDevice

from proxyconn import BleakClientWithServiceCache, establish_connection


async def connect_with_cache(device: BLEDevice):
    """Connect without any retry."""
    client = BleakClientWithServiceCache(device)
    await client.connect()
    services = client.services
    await client.clear_cache()
    await client.disconnect()
    return services


async def clear_cache_of_client(device: BLEDevice):
    """Forget the services of a connected device."""
    client = await establish_connection(BleakClientWithServiceCache, device, name="MyDevice")
    await client.clear_cache()
    await client.disconnect()
    return client


async def set_connection_params(device: BLEDevice):
    """Ask for an interval of a second."""
    client = await establish_connection(BleakClientWithServiceCache, device, name="MyDevice")
    await client.set_connection_params(
        min_interval=800,
        max_interval=800,
        latency=0,
        timeout=600,
    )
    return client
