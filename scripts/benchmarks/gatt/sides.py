"""Who is measured: our clients and bleak-esphome's, each on two levels, and neither.

*direct* is a plain `bleak.BleakClient` with the one backend class, ours or theirs. *managed* is
what users of each hold: a client of our fleet, or habluetooth's wrapper, which both choose the path
when they connect. *bare* makes the same exchange of messages on a connection and no more: what is
left of a client's time without it is the client's own.
"""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from typing import Any, Protocol

from aioesphomeapi import api_pb2
from bleak import BleakClient, BleakScanner
from bleak.backends.device import BLEDevice

api: Any = api_pb2
"""aioesphomeapi's messages, whose generated module has no types."""

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
        self._fleet = await stack.enter_async_context(
            Fleet([proxy], discover=False, state=None, owner=False)
        )
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
        """Connect to the proxy."""
        from scripts.benchmarks.peer import Peer

        peer = Peer()
        await peer.start(stack, [(port, noise_psk)])
        self._manager, (self._data,) = peer.manager, peer.data

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


class Exchange:
    """Stands in for a client: the messages of a connection, and nothing made of them."""

    def __init__(self, bare: Bare, device: BLEDevice) -> None:
        self.services = self
        self._bare = bare
        self._number = int(device.address.replace(":", ""), 16)

    def get_characteristic(self, uuid: object) -> bool:
        """Say that there is any characteristic."""
        return True

    async def connect(self, *, dangerous_use_bleak_cache: bool) -> None:
        """Open a link and, unless cached, have the services told."""
        request = _CONNECT_WITH_CACHE if dangerous_use_bleak_cache else _CONNECT_WITHOUT_CACHE
        await self._bare.ask(
            api.BluetoothDeviceRequest(
                address=self._number, request_type=request, has_address_type=True, address_type=1
            )
        )
        if not dangerous_use_bleak_cache:
            await self._bare.ask(api.BluetoothGATTGetServicesRequest(address=self._number))

    async def disconnect(self) -> None:
        """Close the link."""
        await self._bare.ask(
            api.BluetoothDeviceRequest(address=self._number, request_type=_DISCONNECT)
        )


class Bare:
    """aioesphomeapi's connection alone: what every client over it pays."""

    async def start(self, stack: AsyncExitStack, port: int, noise_psk: str) -> None:
        """Connect to the proxy."""
        from proxyconn_esphome.wire.native_api import WireClient

        client = WireClient(LOCALHOST, port, None, noise_psk=noise_psk)
        await client.connect(login=True)
        stack.push_async_callback(client.disconnect)
        self._wire = client.wire()
        self._loop = asyncio.get_running_loop()
        self._answer: asyncio.Future[None] | None = None
        for answer in (
            api.BluetoothDeviceConnectionResponse,
            api.BluetoothGATTGetServicesDoneResponse,
        ):
            self._wire.add_message_callback(self._on_answer, (answer,))
        for told in (api.BluetoothGATTGetServicesResponse, api.BluetoothConnectionsFreeResponse):
            self._wire.add_message_callback(lambda message: None, (told,))
        self._wire.send_message(api.SubscribeBluetoothLEAdvertisementsRequest(flags=1))

    def _on_answer(self, message: object) -> None:
        if self._answer and not self._answer.done():
            self._answer.set_result(None)

    async def ask(self, message: Any) -> None:
        """Send a request and wait for its answer."""
        self._answer = self._loop.create_future()
        self._wire.send_message(message)
        async with asyncio.timeout(10):
            await self._answer

    def device(self, address: str) -> BLEDevice | None:
        """Return the device, heard or not."""
        return BLEDevice(address, None, {})

    def client(self, device: BLEDevice) -> Any:
        """Return what stands in for a client."""
        return Exchange(self, device)

    def forget_services(self, address: str) -> None:
        """Nothing: nothing is remembered."""


_CONNECT_WITH_CACHE, _CONNECT_WITHOUT_CACHE, _DISCONNECT = 4, 5, 1

CLASSES: dict[str, type[Side]] = {
    "ours-direct": OursDirect,
    "peer-direct": PeerDirect,
    "ours-managed": OursManaged,
    "peer-managed": PeerManaged,
    "bare": Bare,
}
