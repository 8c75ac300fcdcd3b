"""What tests do with plain bleak on one adapter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from tests.vm.household import ADDRESS

DEADLINE = 20.0
"""Seconds within which anything has happened, on a processor emulated in software."""


async def heard(adapter: str = "hci0") -> tuple[BLEDevice, AdvertisementData]:
    """Scan until an adapter hears the thermometer and its scan response."""
    async with asyncio.timeout(DEADLINE), BleakScanner(bluez={"adapter": adapter}) as scanner:
        async for device, advertisement in scanner.advertisement_data():
            if device.address == ADDRESS and advertisement.manufacturer_data:
                return device, advertisement
    raise TimeoutError


@asynccontextmanager
async def connected(adapter: str = "hci0") -> AsyncIterator[BleakClient]:
    """Connect to the thermometer for a while."""
    device, _ = await heard(adapter)
    async with BleakClient(device, timeout=DEADLINE) as client:
        yield client
