"""An integration: what a thermometer measures, read over a connection, or heard."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncGenerator

from bleak import BleakScanner

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection

TEMPERATURE = "00002a6e-0000-1000-8000-00805f9b34fb"
"""0.01 °C, signed (Temperature, Bluetooth Assigned Numbers 3.8)."""

COMPANY = 0xFFFF
"""Company identifier of its packets: 0.01 °C, signed."""

BETWEEN_READINGS = 600.0
"""Seconds."""


async def read(fleet: Fleet, name: str) -> float:
    """Return the temperature, °C, that the thermometer with a name measures."""
    device = await fleet.find_device(name, timeout=10)
    client = await establish_connection(BleakClientWithServiceCache, device, name, deadline=60)
    try:
        return celsius(bytes(await client.read_gatt_char(TEMPERATURE)))
    finally:
        await client.disconnect()


async def readings(fleet: Fleet, name: str) -> AsyncGenerator[float]:
    """Yield the temperature every ten minutes."""
    while True:
        yield await read(fleet, name)
        await asyncio.sleep(BETWEEN_READINGS)


async def listen(name: str) -> float:
    """Return the temperature, °C, that the thermometer with a name says next, with plain bleak."""
    async with BleakScanner() as scanner:
        async for device, advertisement in scanner.advertisement_data():
            if device.name == name and COMPANY in advertisement.manufacturer_data:
                return celsius(advertisement.manufacturer_data[COMPANY])
    raise LookupError(f"{name} was not heard")


def celsius(value: bytes) -> float:
    """Return the temperature of two bytes."""
    (hundredths,) = struct.unpack("<h", value)
    return float(hundredths) / 100
