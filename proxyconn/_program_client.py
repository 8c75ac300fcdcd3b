"""The bleak client backend of programs that know nothing of the fleet they use."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bleak import BleakClient
from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn._access import FleetAccess
from proxyconn._client import BleakClientWithServiceCache
from proxyconn._device import colon_address
from proxyconn._errors import NotConnectedError
from proxyconn._routed import MIN_MTU
from proxyconn.radio import route_of

T = TypeVar("T")


class ProgramClient(BaseBleakClient):
    """A client of a program's own loop; its link is made and kept in the fleet's.

    Args:
        address_or_ble_device: any device or address; the fleet finds its own way there.
        disconnected_callback: as bleak documents it.
        timeout: seconds for connecting, at most.
        services: UUIDs of the services that are wanted; None for all.
    """

    access: FleetAccess
    """How to reach the fleet."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = 30.0,
        services: set[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        # The address type that a strange device carries, if any, is not told as we tell it.
        known = route_of(address_or_ble_device)
        self._target = address_or_ble_device if known else self.address
        self._name = None if isinstance(address_or_ble_device, str) else address_or_ble_device.name
        self._wanted_services = services
        self._client: BleakClientWithServiceCache | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting = False

    @property
    def name(self) -> str:
        """The device's name, or its address with dashes."""
        if self._client:
            return self._client.name
        return self._name or colon_address(self.address).replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """ATT MTU of the link in bytes."""
        return self._client.mtu_size if self._client else MIN_MTU

    @property
    def is_connected(self) -> bool:
        """Whether the link is up."""
        return self._client is not None and self._client.is_connected

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Connect through the best radio of this moment.

        Raises:
            BleakError, TimeoutError: as the fleet's own clients.
        """
        if self.is_connected or self._connecting:
            raise BleakError(f"{self.address}: already connected, or connecting")
        self._loop = asyncio.get_running_loop()

        async def connect() -> BleakClientWithServiceCache:
            await self.access.close_abandoned()
            self._client = client = self._make_client(pair=pair)
            await client.connect(**kwargs)
            self.access.links.add(self)
            return client

        self._connecting = True
        try:
            self.services = (await self.access.call(connect)).services
        except asyncio.CancelledError:
            # The link may have come up in the fleet's loop before this one learned of it.
            with contextlib.suppress(BleakError):
                await self.disconnect()
            raise
        finally:
            self._connecting = False

    def _make_client(self, *, pair: bool = False) -> BleakClientWithServiceCache:
        return self.access.fleet.client_class(BleakClientWithServiceCache)(
            self._target,
            self._lost,
            self._wanted_services,
            timeout=self._timeout,
            pair=pair,
        )

    @property
    def is_abandoned(self) -> bool:
        """Whether the loop that the link was made for has ended."""
        return self._loop is not None and self._loop.is_closed()

    async def close(self) -> None:
        """Close the link, or end the attempt to open one. To be called in the fleet's loop."""
        self.access.links.discard(self)
        if self._client:
            await self._client.disconnect()

    def _lost(self, client: BleakClient) -> None:
        self.access.links.discard(self)
        if self._loop:
            self.access.tell(self._loop, self._ended, client)

    def _ended(self, client: BleakClient) -> None:
        if self._client is client:
            self.services = None
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Close the link, or end the attempt to open one; harmless if there is neither."""
        if self._client:
            await self.access.call(self.close)
            self.services = None

    async def _do(self, action: Callable[[BleakClientWithServiceCache], Awaitable[T]]) -> T:
        """Do something that needs the link."""
        client = self._client
        if client is None:
            raise NotConnectedError(f"{self.address}: not connected")
        return await self.access.call(lambda: action(client))

    async def _ask(self, action: Callable[[BleakClientWithServiceCache], Awaitable[T]]) -> T:
        """Do something that can be done without a link as well."""
        return await self.access.call(lambda: action(self._client or self._make_client()))

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair over the present link."""
        await self._do(lambda client: client.pair(*args, **kwargs))

    async def unpair(self) -> None:
        """Remove the bond from the radio that holds the link or would be taken."""
        await self._ask(lambda client: client.unpair())

    async def clear_cache(self) -> bool:
        """Forget the services, on the radio that holds the link or would be taken."""
        return await self._ask(lambda client: client.clear_cache())

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters; intervals in 1.25 ms, timeout in 10 ms."""
        await self._do(
            lambda client: client.set_connection_params(
                min_interval, max_interval, latency, timeout
            )
        )

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic."""
        return await self._do(lambda client: client.read_gatt_char(characteristic, **kwargs))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor."""
        return await self._do(lambda client: client.read_gatt_descriptor(descriptor, **kwargs))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic."""
        await self._do(lambda client: client.write_gatt_char(characteristic, data, response))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._do(lambda client: client.write_gatt_descriptor(descriptor, data))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications or indications; `callback` is called in this loop."""
        here = asyncio.get_running_loop()

        def notified(_: BleakGATTCharacteristic, data: bytearray) -> None:
            self.access.tell(here, callback, data)

        await self._do(lambda client: client.start_notify(characteristic, notified, **kwargs))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription."""
        await self._do(lambda client: client.stop_notify(characteristic))
