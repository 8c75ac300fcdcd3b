"""Devices that have a characteristic for everything, how to connect to them, and how to wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from bleak.backends.device import BLEDevice

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec

DEADLINE = 5.0
"""Seconds within which anything that should happen has happened."""

VALUE = b"hello \x00\x7f"
READ = "0000fff1-0000-1000-8000-00805f9b34fb"
ECHO = "0000fff2-0000-1000-8000-00805f9b34fb"
TICK = "0000fff3-0000-1000-8000-00805f9b34fb"
SECRET = "0000fff4-0000-1000-8000-00805f9b34fb"
COMMAND = "0000fff5-0000-1000-8000-00805f9b34fb"


def address(number: int) -> str:
    """Return the address of the numbered peripheral."""
    return f"C4:00:00:00:00:{number:02X}"


def device(number: int, rssi: dict[str, int], interval: float) -> Peripheral:
    """Return a peripheral.

    Args:
        number: of it.
        rssi: which proxies hear it, and how loud, dBm.
        interval: seconds between two advertisements.
    """
    props = Properties
    echo = props.READ | props.WRITE | props.NOTIFY
    return Peripheral(
        address(number),
        f"device {number}",
        services=[
            ServiceSpec(
                0xFFF0,
                [
                    CharacteristicSpec(0xFFF1, props.READ, VALUE),
                    CharacteristicSpec(0xFFF2, echo, b"", on_write=lambda data: data[::-1]),
                    CharacteristicSpec(0xFFF3, props.NOTIFY, notify_every=0.01),
                    CharacteristicSpec(0xFFF4, props.READ, b"secret", encrypted=True),
                    CharacteristicSpec(0xFFF5, props.READ | props.WRITE_WITHOUT_RESPONSE, b""),
                ],
            )
        ],
        rssi=rssi,
        interval=interval,
        latency=0.005,
        att_latency=0.001,
    )


async def until(met: Callable[[], bool], seconds: float = DEADLINE) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - nothing tells of it
            await asyncio.sleep(0.005)


async def connect(fleet: Fleet, number: int = 1, **kwargs: Any) -> BleakClientWithServiceCache:
    """Connect to a device through a fleet."""
    found: BLEDevice = await fleet.find_device(address(number), DEADLINE)
    kwargs.setdefault("deadline", DEADLINE)
    return await establish_connection(
        BleakClientWithServiceCache, found, f"device {number}", **kwargs
    )
