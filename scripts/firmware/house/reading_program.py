"""A program that knows nothing of proxies: reads a value of a device, and prints it in hex."""

from __future__ import annotations

import asyncio
import sys

from bleak import BleakClient


async def main(address: str, uuid: str) -> None:
    """Read the characteristic."""
    async with BleakClient(address) as client:
        print(bytes(await client.read_gatt_char(uuid)).hex())


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
