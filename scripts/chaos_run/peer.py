"""The peer: bleak-esphome under habluetooth's manager, tried by bleak-retry-connector.

Each proxy is kept connected by bleak-esphome's own APIConnectionManager, which knows no port but
6053: so every proxy listens there, on a loopback address of its own (Linux).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Any

import bluetooth_data_tools
from bleak import BleakClient

from proxyconn import Alarm, Allocations

from .sides import Lost, Way
from .world import API_PORT


class Peer:
    """What a program does that uses proxies through these three packages."""

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Connect to the proxies; the stack undoes it."""
        # habluetooth compares the times of advertisements by this clock, and timers by the loop's.
        bluetooth_data_tools.monotonic_time_coarse = asyncio.get_running_loop().time
        # Imported only now, they take that clock.
        from bleak_esphome import APIConnectionManager, ESPHomeDeviceConfig
        from habluetooth import BluetoothManager

        logging.getLogger("habluetooth").setLevel(logging.CRITICAL)
        self._manager = BluetoothManager()
        await self._manager.async_setup()
        stack.callback(self._manager.async_stop)
        for way in ways:
            assert way.port == API_PORT
            config = ESPHomeDeviceConfig(address=way.host, noise_psk=way.key)
            proxy = APIConnectionManager(config)
            stack.push_async_callback(proxy.stop)
            await proxy.start()

    def ready(self) -> int:
        """Return how many proxies have a session; more is not told."""
        return self._manager.async_scanner_count(connectable=False)

    def unready(self) -> str:
        """Say how many have one."""
        return f"{self.ready()} have a session"

    def hears(self, address: str) -> bool:
        """Whether any proxy has heard a device."""
        return self._device(address) is not None

    def _device(self, address: str) -> Any:
        return self._manager.async_ble_device_from_address(address, True)

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect, within a deadline of the caller's."""
        # Imported as late as this, they are those that habluetooth's manager has put in place.
        from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

        async with asyncio.timeout(deadline):
            return await establish_connection(
                BleakClientWithServiceCache,
                self._device(address),
                address,
                lost,
                ble_device_callback=lambda: self._device(address),
            )

    def keep(self, address: str, lost: Callable[[], None]) -> None:
        """Keep nothing connected: there is nothing of the kind."""

    def signals(self) -> list[tuple[str, str, int]]:
        """Return none: it keeps no smoothed ones."""
        return []

    def alarms(self) -> list[Alarm]:
        """Return none: it has no such watch."""
        return []

    def reported(self) -> dict[str, Allocations]:
        """Return none: what the proxies hold in truth will do."""
        return {}
