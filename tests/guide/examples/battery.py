"""An operation that is tried again."""

# ruff: noqa: T201
# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from proxyconn import (
    BleakClientWithServiceCache,
    establish_connection,
    retry_bluetooth_connection_error,
)


@retry_bluetooth_connection_error(attempts=3)
async def read_battery(client: BleakClientWithServiceCache) -> int:
    """Return the battery level in percent."""
    data = await client.read_gatt_char("00002a19-0000-1000-8000-00805f9b34fb")
    return data[0]


async def main(device):
    """Show the battery level."""
    client = await establish_connection(BleakClientWithServiceCache, device, name=device.name)
    try:
        level = await read_battery(client)
        print(f"Battery: {level}%")
    finally:
        await client.disconnect()
