"""The bleak client backend for devices behind a proxy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import BaseBleakClient, NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn.radio import (
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    RadioError,
    RadioUnavailableError,
    route_of,
)

from . import _operations as operations
from ._cache import MIN_MTU, KnownDevice
from ._link import Link
from ._link_state import LinkEvent
from ._opening import abandon, open_link
from ._route import SessionRoute
from ._services import only_services, service_collection
from ._session import ProxySession
from .codes import STALE_CACHE_STATUSES, GattStatus

DISCONNECT_TIMEOUT = 5.0
"""Seconds for the proxy to report the link closed, and as many again for its slot to come free."""

DEFAULT_TIMEOUT = 20.0
"""Seconds for a link to open: the firmware's own limit for one attempt."""

_LOGGER = logging.getLogger(__name__)


class ESPHomeClient(BaseBleakClient):
    """A client for one device behind one proxy.

    Args:
        address_or_ble_device: a device that one of our scanners or a fleet found.
        session: the proxy to use; None for the one that found the device.
        disconnected_callback: called in the event loop, once, each time the link is lost or closed.
        timeout: seconds for a link to open.
        services: UUIDs of the only services wanted, or None for all.
    """

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        *,
        session: ProxySession | None = None,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        services: set[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            address_or_ble_device, disconnected_callback=disconnected_callback, timeout=timeout
        )
        route = route_of(address_or_ble_device)
        if session is None and isinstance(route, SessionRoute):
            session = route.session
        if session is None or not isinstance(address_or_ble_device, BLEDevice):
            raise BleakError(
                f"{self.address}: not a device that a proxy has heard; "
                "find it with ESPHomeScanner or Fleet first"
            )
        self._session = session
        self._device = address_or_ble_device
        self._address_type: int = address_or_ble_device.details["address_type"]
        self._wanted_services = services
        self._link: Link | None = None
        self._mtu = MIN_MTU

    def __repr__(self) -> str:
        return f"<ESPHomeClient {self.address} via {self._session.name}>"

    @property
    def name(self) -> str:
        """The device's name, or its address with dashes."""
        return self._device.name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """ATT MTU of the link in bytes."""
        return self._mtu

    @property
    def is_connected(self) -> bool:
        """Whether the link is up and set up."""
        return self._link is not None and self._link.is_up

    # The link

    async def connect(
        self,
        pair: bool,
        dangerous_use_bleak_cache: bool = False,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Open the link and learn the services.

        Args:
            pair: whether to pair before the services are read.
            dangerous_use_bleak_cache: whether services known from an earlier connection may do.
            timeout: seconds for the link to open; None for that of the constructor.

        Raises:
            OutOfSlotsError, LinkError, PairingError, GATTError: this attempt failed.
            RadioUnavailableError, UnsupportedError: the proxy cannot be used for this.
            TimeoutError: no answer in time.

            Whenever it raises, and when it is cancelled, the link and its slot are let go.
        """
        if self.is_connected:
            raise BleakError(f"{self._session.name} [{self.address}]: already connected")
        known = self._session.cache.device(self.address)
        cached = dangerous_use_bleak_cache and known.services is not None
        link, mtu = await open_link(
            self._session,
            self.address,
            self._address_type,
            with_cache=cached,
            timeout=self._timeout if timeout is None else timeout,
            on_down=self._on_link_down,
        )
        try:
            # With cached services the proxy reports the MTU of whatever used the slot before.
            if mtu and not cached:
                known.mtu = mtu
            self._mtu = known.mtu
            if pair:
                await operations.pair(self._session, link)
            if not cached:
                await self._discover(link, known)
            services = known.services
            assert services is not None
            link.require_up()
        except BaseException:
            abandon(self._session, link)
            raise
        link.move(LinkEvent.SET_UP)
        self._link = link
        self.services = (
            only_services(services, self._wanted_services) if self._wanted_services else services
        )

    async def _discover(self, link: Link, known: KnownDevice) -> None:
        messages = await operations.get_services(link)
        told = tuple(message.SerializeToString() for message in messages)
        if known.services is not None and told == known.told:
            return
        services = service_collection(messages, known)
        if not services.services:
            raise LinkError(
                f"{link.label}: the proxy found no services; its discovery failed",
                kind=ErrorKind.TRANSIENT,
                source=self._session.name,
            )
        known.services, known.told = services, told

    async def disconnect(self) -> None:
        """Close the link and wait until its slot is free. Harmless if there is no link."""
        link = self._link
        if link is None:
            return
        self._link = None
        try:
            link.send_disconnect()
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await link.closed.wait()
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: closed by the loss of the proxy: %s", link.label, exc)
        except TimeoutError:
            _LOGGER.warning(
                "%s: the proxy has not confirmed the disconnect for %g s",
                link.label,
                DISCONNECT_TIMEOUT,
            )
            abandon(self._session, link)
        except asyncio.CancelledError:
            abandon(self._session, link)
            raise
        finally:
            self._lost()
        try:
            await self._session.queue.until_left(self.address, DISCONNECT_TIMEOUT)
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: slot freed by the loss of the proxy: %s", link.label, exc)

    def _on_link_down(self, error: RadioError) -> None:
        _LOGGER.debug("%s", error)
        self._link = None
        self._lost()

    def _lost(self) -> None:
        self.services = None
        if self._disconnected_callback:
            asyncio.get_running_loop().call_soon(self._disconnected_callback)

    def _up(self) -> Link:
        if self._link is None:
            raise NotConnectedError(
                f"{self._session.name} [{self.address}]: not connected",
                source=self._session.name,
            )
        return self._link

    # Pairing, cache, parameters

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair (Just Works: a proxy has no display and no keys).

        Raises:
            PairingError: the device or the proxy refused.
            UnsupportedError: the proxy's firmware cannot pair.
        """
        await operations.pair(self._session, self._up())

    async def unpair(self) -> None:
        """Make the proxy forget the bond; works without a link.

        Raises:
            PairingError: there was no bond, or it could not be removed.
            UnsupportedError: the proxy's firmware cannot.
        """
        await operations.unpair(self._session, self._link or self._loose_link())

    async def clear_cache(self) -> bool:
        """Forget the services, here and on the proxy; works without a link.

        Returns:
            Whether the proxy, if it keeps a cache that can be cleared, has cleared it.
        """
        self._session.cache.forget(self.address)
        return await operations.clear_cache(self._session, self._link or self._loose_link())

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters; intervals in 1.25 ms, timeout in 10 ms.

        Raises:
            ValueError: a parameter is out of its bounds; nothing was sent.
            UnsupportedError: the proxy's firmware cannot.
            LinkError: the proxy refused.
        """
        await operations.set_connection_params(
            self._session, self._up(), min_interval, max_interval, latency, timeout
        )

    def _loose_link(self) -> Link:
        return operations.loose_link(self._session, self.address)

    # Attributes

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic. Raises GATTError, LinkError, NotConnectedError, TimeoutError."""
        try:
            return await operations.read(self._up(), characteristic.handle)
        except GATTError as exc:
            self._doubt_cache(exc)
            raise

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor. Raises as `read_gatt_char`."""
        try:
            return await operations.read_descriptor(self._up(), descriptor.handle)
        except GATTError as exc:
            self._doubt_cache(exc)
            raise

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic, at most 512 bytes.

        Raises:
            ValueError: the value is too long; nothing was sent.
            GATTError, LinkError, NotConnectedError, TimeoutError: as `read_gatt_char`; an error of
            a write without response is not reported by anyone.
        """
        try:
            await operations.write(self._up(), characteristic.handle, bytes(data), response)
        except GATTError as exc:
            self._doubt_cache(exc)
            raise

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor. Raises as `write_gatt_char`."""
        try:
            await operations.write_descriptor(self._up(), descriptor.handle, bytes(data))
        except GATTError as exc:
            self._doubt_cache(exc)
            raise

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications, or to indications where there are no notifications.

        Raises:
            BleakError: there is a subscription already, or the characteristic cannot notify.
            GATTError, LinkError, NotConnectedError, TimeoutError: as `read_gatt_char`.
        """
        await operations.start_notify(self._up(), characteristic, callback)

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription; harmless if there is none. Raises as `read_gatt_char`."""
        await operations.stop_notify(self._up(), characteristic)

    def _doubt_cache(self, error: GATTError) -> None:
        if GattStatus(error.code) in STALE_CACHE_STATUSES:
            self._session.cache.forget(self.address)
