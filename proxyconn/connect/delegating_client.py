"""Operations on attributes, handed to the client that holds the link."""

from __future__ import annotations

import abc
import weakref
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice

from proxyconn.connect.cached_client import ExtendedBackend
from proxyconn.errors import UnsupportedError
from proxyconn.linked_client import LinkedClient

T = TypeVar("T")


class Subscription:
    """What a client's user wants called with notifications.

    The radio's client is given `deliver`, which keeps neither the callback alive nor what that
    refers to, most often the client itself.
    """

    __slots__ = ("__weakref__", "callback")

    def __init__(self, callback: NotifyCallback) -> None:
        self.callback = callback

    def deliver(self) -> NotifyCallback:
        """Return what calls the callback for as long as this is kept."""
        ref = weakref.ref(self)

        def deliver(data: bytearray) -> None:
            if subscription := ref():
                subscription.callback(data)

        return deliver


class DelegatingClient(LinkedClient):
    """A client whose link another one holds; that one does not keep this one alive."""

    def __init__(self, address_or_ble_device: BLEDevice | str, **kwargs: Any) -> None:
        super().__init__(address_or_ble_device, **kwargs)
        self._subscriptions: dict[int, Subscription] = {}

    @property
    @abc.abstractmethod
    def source(self) -> str | None:
        """Name of the radio that holds the link; None without one."""

    @abc.abstractmethod
    def _up(self) -> BaseBleakClient:
        """Return the client that holds the link. Raises NotConnectedError."""

    @abc.abstractmethod
    async def _secured(self, operation: Callable[[BaseBleakClient], Awaitable[T]]) -> T:
        """Do something over the link, which is encrypted if the device asks for that."""

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic."""
        return await self._secured(lambda client: client.read_gatt_char(characteristic, **kwargs))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor."""
        return await self._secured(lambda client: client.read_gatt_descriptor(descriptor, **kwargs))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic."""
        await self._secured(lambda client: client.write_gatt_char(characteristic, data, response))

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._secured(lambda client: client.write_gatt_descriptor(descriptor, data))

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications or indications."""
        subscription = Subscription(callback)
        deliver = subscription.deliver()
        await self._secured(lambda client: client.start_notify(characteristic, deliver, **kwargs))
        self._subscriptions[characteristic.handle] = subscription

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription."""
        try:
            await self._up().stop_notify(characteristic)
        finally:
            self._subscriptions.pop(characteristic.handle, None)

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters; intervals in 1.25 ms, timeout in 10 ms."""
        await self._extended(self._up()).set_connection_params(
            min_interval, max_interval, latency, timeout
        )

    def _extended(self, client: BaseBleakClient) -> ExtendedBackend:
        if not isinstance(client, ExtendedBackend):
            raise UnsupportedError(
                f"{self.address}: {self.source or 'this radio'} cannot do this",
                source=self.source,
            )
        return client
