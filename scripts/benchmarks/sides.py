"""Who is measured: our clients and bleak-esphome's, each on two levels.

*direct* is a plain `bleak.BleakClient` with the one backend class, ours or theirs. *managed* is
what users of each hold: a client of our fleet, or habluetooth's wrapper, which both choose the path
when they connect.
"""

from __future__ import annotations

import logging
from contextlib import AsyncExitStack
from typing import Any, Protocol

from aioesphomeapi.client import APIClient
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice

LOCALHOST = "127.0.0.1"


class Side(Protocol):
    """One way to reach the proxy's devices."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy; the stack undoes it."""

    def device(self, address: str) -> BLEDevice | None:
        """Return a device, once it was heard."""
        ...

    def client(self, device: BLEDevice) -> BleakClient:
        """Return a client for a device."""
        ...

    def forget_services(self, address: str) -> None:
        """Make the next connection that is told not to use cached services ask for them."""


class OursDirect:
    """ProxySession and ESPHomeClient."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy."""
        from proxyconn import Proxy
        from proxyconn_esphome import ESPHomeClient, ESPHomeScanner, ProxySession

        self._backend = ESPHomeClient
        self._session = ProxySession(Proxy(LOCALHOST, port, noise_psk=noise_psk))
        await stack.enter_async_context(self._session)
        await self._session.ready(10)
        self._scanner = BleakScanner(backend=ESPHomeScanner, session=self._session)
        await stack.enter_async_context(self._scanner)

    def device(self, address: str) -> BLEDevice | None:
        """Return a device, once it was heard."""
        found = self._scanner.discovered_devices_and_advertisement_data.get(address)
        return found[0] if found else None

    def client(self, device: BLEDevice) -> BleakClient:
        """Return a client for a device."""
        return BleakClient(device, backend=self._backend)

    def forget_services(self, address: str) -> None:
        """Nothing: it asks when it is told to."""


class OursManaged:
    """Fleet and BleakClientWithServiceCache."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy."""
        from proxyconn import Fleet, Proxy

        proxy = Proxy(LOCALHOST, port, noise_psk=noise_psk)
        self._fleet = await stack.enter_async_context(Fleet([proxy], discover=False))
        await self._fleet.ready()

    def device(self, address: str) -> BLEDevice | None:
        """Return a device, once it was heard."""
        return next((dev for dev in self._fleet.devices if dev.address == address), None)

    def client(self, device: BLEDevice) -> BleakClient:
        """Return a client for a device."""
        from proxyconn import BleakClientWithServiceCache

        return BleakClientWithServiceCache(device)

    def forget_services(self, address: str) -> None:
        """Nothing: it asks when it is told to."""


class PeerManaged:
    """bleak-esphome under habluetooth's manager, through its wrapper of BleakClient."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy as bleak-esphome's APIConnectionManager does on port 6053."""
        from bleak_esphome import connect_scanner
        from habluetooth import BluetoothManager

        logging.getLogger("habluetooth").setLevel(logging.CRITICAL)
        self._manager = BluetoothManager()
        await self._manager.async_setup()
        stack.callback(self._manager.async_stop)
        client = APIClient(LOCALHOST, port, None, noise_psk=noise_psk)
        await client.connect(login=True)
        stack.push_async_callback(client.disconnect)
        self._data = connect_scanner(client, await client.device_info(), True)
        assert self._data.scanner is not None
        stack.callback(self._data.scanner.async_setup())
        stack.callback(self._manager.async_register_scanner(self._data.scanner))

    def device(self, address: str) -> BLEDevice | None:
        """Return a device, once it was heard."""
        return self._manager.async_ble_device_from_address(address, True)

    def client(self, device: BLEDevice) -> BleakClient:
        """Return a client for a device."""
        from habluetooth import HaBleakClientWrapper

        return HaBleakClientWrapper(device, _is_retry_client=True)

    def forget_services(self, address: str) -> None:
        """It takes them from its cache even when told not to."""
        number = int(address.replace(":", ""), 16)
        self._data.bluetooth_device.cache.clear_gatt_services_cache(number)


class PeerDirect(PeerManaged):
    """bleak-esphome's ESPHomeClient as the backend of a plain BleakClient."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy."""
        from bleak_esphome.backend.client import ESPHomeClient

        await super().start(stack, port, noise_psk)
        data = self._data

        class BoundClient(ESPHomeClient):
            def __init__(self, device: BLEDevice, **kwargs: Any) -> None:
                super().__init__(device, client_data=data, **kwargs)

        self._backend = BoundClient

    def client(self, device: BLEDevice) -> BleakClient:
        """Return a client for a device."""
        return BleakClient(device, backend=self._backend)


CLASSES: dict[str, type[Side]] = {
    "ours-direct": OursDirect,
    "peer-direct": PeerDirect,
    "ours-managed": OursManaged,
    "peer-managed": PeerManaged,
}
