"""The bleak backend that takes, at each connect, the best path of that moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn._client import ExtendedBackend
from proxyconn._device import colon_address
from proxyconn._errors import (
    AttemptTimeoutError,
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    NotConnectedError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._hub import Hub
from proxyconn._models import NO_RSSI_VALUE, Allocations
from proxyconn.radio import Radio, route_of

MIN_MTU = 23
"""Bytes: the default ATT MTU (Core Specification vol 3 G 5.2.1)."""


@dataclass(frozen=True, slots=True)
class DeviceRoute:
    """Reaches a device through whichever radio of a fleet is best."""

    hub: Hub
    address: str

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """RoutedClient."""
        return RoutedClient

    def rssi(self) -> int:
        """Signal strength at the best radio in dBm."""
        sighting = self.hub.sightings.get(self.address)
        return sighting.rssi() if sighting else NO_RSSI_VALUE

    def allocations(self) -> Allocations | None:
        """The slots of the radio that the next attempt would take."""
        now = asyncio.get_running_loop().time()
        candidates = self.hub.routing.candidates(self.address, now)
        return candidates[0][1].allocations() if candidates else None

    async def wait_for_slot(self, timeout: float) -> bool:
        """Return True: the next attempt waits in the queue, where it keeps its place.

        The queue does not give it a radio that has refused it although it reports free slots.
        """
        return True


class RoutedClient(BaseBleakClient):
    """A client that is connected through one radio at a time, chosen when it connects."""

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = 20.0,
        services: set[str] | None = None,
        hub: Hub | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        route = route_of(address_or_ble_device)
        if hub is None and isinstance(route, DeviceRoute):
            hub = route.hub
        if hub is None:
            raise BleakError(f"{self.address}: not a device of a fleet; find it with the fleet")
        self.address = colon_address(self.address)
        self._hub = hub
        self._device = (
            address_or_ble_device if isinstance(address_or_ble_device, BLEDevice) else None
        )
        self._wanted_services = services
        self._client: BaseBleakClient | None = None
        self._opening: BaseBleakClient | None = None
        self._source: str | None = None
        self._radio: Radio | None = None
        self._waiting = False
        self._given_up = False

    def __repr__(self) -> str:
        return f"<RoutedClient {self.address} via {self._source or 'no radio'}>"

    @property
    def name(self) -> str:
        """The device's name, or its address with dashes."""
        sighting = self._hub.sightings.get(self.address)
        return (sighting and sighting.device.name) or self.address.replace(":", "-")

    @property
    def source(self) -> str | None:
        """Name of the radio that holds the link; None without one."""
        return self._source if self.is_connected else None

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
            BleakNotFoundError: no radio hears the device.
            BleakError, TimeoutError: what the radio raised; the next connect tries another one.
        """
        if self.is_connected:
            raise BleakError(f"{self.address}: already connected through {self._source}")
        if self._waiting or self._opening:
            raise LinkError(f"{self.address}: already connecting", kind=ErrorKind.IN_USE)
        if self._hub.closed:
            raise self._hub.closed_error(self.address)
        if self._client:
            # Its link is down, and the callback that says so is still on its way.
            self._ended(self._client)
        self._given_up, self._waiting = False, True
        try:
            radio = await self._hub.queue.take(
                self.address,
                kwargs.get("timeout", self._timeout),
                known=self._device is not None,
                pairing=pair,
            )
        finally:
            self._waiting = False
        loop = asyncio.get_running_loop()
        started = loop.time()
        try:
            if self._given_up:
                raise self._given_up_error()
            await self._open(radio, pair, **kwargs)
        except BaseException as exc:
            self._hub.link_ended(self.address)
            if isinstance(exc, Exception) and not self._given_up:
                self._hub.attempt_ended(self.address, radio, exc)
            raise
        radio.release(self.address)
        self._hub.routing.holding(radio).connected(loop.time() - started)
        self._hub.attempt_ended(self.address, radio, None)
        if pair:
            self._hub.routing.bonded(self.address, radio)

    def _known_device(self) -> BLEDevice:
        sighting = self._hub.sightings.get(self.address)
        device = sighting.device if sighting else self._device
        if device is None:
            raise BleakNotFoundError(
                f"{self.address}: no radio has heard it ({self._hub.describe_radios()})",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        return device

    async def _open(self, radio: Radio, pair: bool, **kwargs: Any) -> None:
        client = radio.create_client(
            self._known_device(), timeout=self._timeout, services=self._wanted_services
        )
        # Bound to this client: the end of an earlier link must not be taken for the end of this.
        client.set_disconnected_callback(lambda: self._on_disconnected(client))
        self._opening = client
        try:
            await client.connect(pair, **kwargs)
        except TimeoutError as exc:
            raise AttemptTimeoutError(
                str(exc) or f"{self.address}: {radio.name} took too long", radio.name
            ) from exc
        finally:
            self._opening = None
        self._client, self._source, self._radio = client, radio.name, radio
        self.services = client.services

    def _on_disconnected(self, client: BaseBleakClient) -> None:
        self._ended(client)
        if self._disconnected_callback:
            self._disconnected_callback()

    def _ended(self, client: BaseBleakClient) -> None:
        if self._client is client:
            self._client = None
            self.services = None
            self._hub.link_ended(self.address)

    async def disconnect(self) -> None:
        """Close the link, or end the attempt to open one; harmless if there is neither."""
        client = self._client or self._opening
        self._given_up = True
        if self._waiting:
            self._hub.queue.end_wait(self.address, self._given_up_error())
        elif client:
            try:
                await client.disconnect()
            finally:
                self._ended(client)

    def _given_up_error(self) -> LinkError:
        return LinkError(
            f"{self.address}: Disconnected while connecting", kind=ErrorKind.DISCONNECTED
        )

    def _up(self) -> BaseBleakClient:
        if self._client is None:
            raise NotConnectedError(f"{self.address}: not connected", source=self._source)
        return self._client

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair over the present link."""
        await self._up().pair(*args, **kwargs)
        if self._radio:
            self._hub.routing.bonded(self.address, self._radio)

    async def unpair(self) -> None:
        """Remove the bond from the radio that holds the link or would be taken."""
        radio = self._radio if self._client else self._best_radio()
        await (self._client or self._idle_client()).unpair()
        if radio:
            self._hub.routing.unbonded(self.address, radio)

    async def clear_cache(self) -> bool:
        """Forget the services, on the radio that holds the link or would be taken."""
        return await self._extended(self._client or self._idle_client()).clear_cache()

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters; intervals in 1.25 ms, timeout in 10 ms."""
        await self._extended(self._up()).set_connection_params(
            min_interval, max_interval, latency, timeout
        )

    def _idle_client(self) -> BaseBleakClient:
        return self._best_radio().create_client(self._known_device())

    def _best_radio(self) -> Radio:
        self._known_device()
        now = asyncio.get_running_loop().time()
        for path, radio in self._hub.routing.candidates(self.address, now):
            if path.usable:
                return radio
        raise RadioUnavailableError(
            f"{self.address}: no radio can be used for it ({self._hub.describe_radios()})"
        )

    def _extended(self, client: BaseBleakClient) -> ExtendedBackend:
        if not isinstance(client, ExtendedBackend):
            raise UnsupportedError(
                f"{self.address}: {self._source or 'this radio'} cannot do this",
                source=self._source,
            )
        return client

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic."""
        return await self._up().read_gatt_char(characteristic, **kwargs)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor."""
        return await self._up().read_gatt_descriptor(descriptor, **kwargs)

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic."""
        await self._up().write_gatt_char(characteristic, data, response)

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor."""
        await self._up().write_gatt_descriptor(descriptor, data)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications or indications."""
        await self._up().start_notify(characteristic, callback, **kwargs)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription."""
        await self._up().stop_notify(characteristic)
