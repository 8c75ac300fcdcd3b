"""The bleak client backend of programs that know nothing of the fleet they use."""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection
from bleak.exc import BleakError

from proxyconn.att import MIN_MTU
from proxyconn.connect.delegating_client import Subscription
from proxyconn.device import colon_address
from proxyconn.fleet.routed_client import CLOSED, RoutedClient
from proxyconn.linked_client import LinkedClient
from proxyconn.programs.loop_crossing import FleetAccess
from proxyconn.radio import route_of

RETRY_ARGUMENTS = ("_is_retry_client",)
"""What retry loops tell a client of themselves."""

CLOSE_TIME = 0.5
"""Seconds that a cancelled connect waits for the end of a link that came up all the same; it is
dropped then, confirmed or not."""

T = TypeVar("T")


class ProgramClient(LinkedClient):
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
        self._retries = {name: kwargs[name] for name in RETRY_ARGUMENTS if name in kwargs}
        self._client: RoutedClient | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._connecting = self._left = False
        self._cancelled: set[asyncio.Task[Any]] = set()

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
        return self._client is not None and self._client.is_connected and not self._left

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Connect through the best radio of this moment.

        Raises:
            BleakError, TimeoutError: as the fleet's own clients.
        """
        if self.is_connected or self._connecting:
            raise BleakError(f"{self.address}: already connected, or connecting")
        self._loop = asyncio.get_running_loop()

        async def connect() -> BleakGATTServiceCollection | None:
            await self.access.close_abandoned()
            self._client = client = self._make_client()
            client.set_disconnected_callback(_loss_told(self, client))
            await client.connect(pair, **kwargs)
            self.access.links.add(self)
            return client.services

        self._connecting, self._left = True, False
        try:
            self.services = await self._call(connect)
        except asyncio.CancelledError:
            # The link may come up in the fleet's loop though nobody here learns of it any more.
            with contextlib.suppress(BleakError, TimeoutError):
                async with asyncio.timeout(CLOSE_TIME):
                    await self.access.call(self.close, patience=0.0)
            raise
        finally:
            self._connecting = False

    def _make_client(self) -> RoutedClient:
        return self.access.backend(
            self._target, timeout=self._timeout, services=self._wanted_services, **self._retries
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

    def lost(self, client: RoutedClient | None) -> None:
        """Take note that a link has ended; None for one of long ago. In the fleet's loop."""
        self.access.links.discard(self)
        if self._loop:
            self.access.tell(self._loop, self._ended, client)

    def _ended(self, client: RoutedClient | None) -> None:
        if self._client is client:
            self.end_services((client and client.link_end) or CLOSED)
        if self._disconnected_callback:
            self._disconnected_callback()

    async def disconnect(self) -> None:
        """Close the link, or end the attempt to open one; harmless if there is neither."""
        if self._client:
            self._left = True
            try:
                await self.access.call(self.close)
            finally:
                self.end_services(CLOSED)

    async def _call(self, function: Callable[[], Awaitable[T]]) -> T:
        return await self.access.call(function, behind=self._cancelled)

    async def _do(self, action: Callable[[RoutedClient], Awaitable[T]]) -> T:
        """Do something that needs the link."""
        client = self._client
        if client is None:
            raise self.not_connected()
        return await self._call(lambda: action(client))

    async def _ask(self, action: Callable[[RoutedClient], Awaitable[T]]) -> T:
        """Do something that can be done without a link as well."""
        return await self._call(lambda: action(self._client or self._make_client()))

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

        tell, subscription = self.access.tell, Subscription(callback)
        # What is on its way to this loop keeps nothing alive that nobody else refers to.
        deliver = subscription.deliver()

        def notified(data: bytearray, kept: Subscription = subscription) -> None:
            tell(here, deliver, data)

        await self._do(lambda client: client.start_notify(characteristic, notified, **kwargs))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription."""
        await self._do(lambda client: client.stop_notify(characteristic))


def _loss_told(owner: ProgramClient, client: RoutedClient) -> Callable[[], None]:
    """Return what tells `owner` that the link of `client` has ended, without keeping it alive."""
    present, ended = weakref.ref(owner), weakref.ref(client)

    def told() -> None:
        if mine := present():
            mine.lost(ended())

    return told
