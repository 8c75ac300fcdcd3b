"""A program: scan, connect, list what is there, disconnect."""

# ruff: noqa: T201
# mypy: disable-error-code="no-untyped-def, no-untyped-call"

from __future__ import annotations

import asyncio

from bleak import BleakScanner

from proxyconn import (
    BleakAbortedError,
    BleakClientWithServiceCache,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    establish_connection,
)


async def main():
    """Show the services of the first device that is heard."""
    print("Scanning for devices...")
    devices = await BleakScanner.discover()
    if not devices:
        print("No devices found")
        return
    device = devices[0]
    print(f"Connecting to {device.name or device.address}...")
    try:
        client = await establish_connection(
            BleakClientWithServiceCache,
            device,
            name=device.name or device.address,
            max_attempts=4,
        )
        print("Connected successfully!")
        for service in client.services:
            print(f" Service: {service.uuid}")
            for char in service.characteristics:
                print(f" Characteristic: {char.uuid}")
        await client.disconnect()
        print("Disconnected")
    except (
        BleakNotFoundError,
        BleakOutOfConnectionSlotsError,
        BleakAbortedError,
        BleakConnectionError,
    ) as e:
        print(f"Failed to connect: {e}")


if __name__ == "__main__":
    asyncio.run(main())
