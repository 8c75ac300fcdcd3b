"""The peer: bleak-esphome under habluetooth's manager, as its authors document it."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from contextlib import AsyncExitStack

from aioesphomeapi.client import APIClient
from bleak_esphome import connect_scanner
from bleak_esphome.backend.client import ESPHomeClientData
from habluetooth import BluetoothManager

LOCALHOST = "127.0.0.1"


class Peer:
    """habluetooth's manager, with a scanner of bleak-esphome for each proxy.

    Attributes:
        manager: habluetooth's manager.
        data: what bleak-esphome keeps of each proxy.
    """

    async def start(self, stack: AsyncExitStack, ways: Iterable[tuple[int, str]]) -> None:
        """Connect to proxies, given by port and key; the stack undoes it."""
        logging.getLogger("habluetooth").setLevel(logging.CRITICAL)
        self.manager = BluetoothManager()
        await self.manager.async_setup()
        stack.callback(self.manager.async_stop)
        self.data = [await self._connect(stack, port, psk) for port, psk in ways]

    async def _connect(self, stack: AsyncExitStack, port: int, noise_psk: str) -> ESPHomeClientData:
        """Do what bleak-esphome's APIConnectionManager does, which knows no port but 6053."""
        client = APIClient(LOCALHOST, port, None, noise_psk=noise_psk)
        await client.connect(login=True)
        stack.push_async_callback(client.disconnect)
        data = connect_scanner(client, await client.device_info(), True)
        assert data.scanner is not None
        stack.callback(data.scanner.async_setup())
        stack.callback(self.manager.async_register_scanner(data.scanner))
        return data
