"""The bleak client backend for devices behind a proxy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection
from bleak.exc import BleakError
from bluetooth_data_tools import mac_to_int

from proxyconn.att import MIN_MTU
from proxyconn.radio import (
    ErrorKind,
    GATTError,
    LinkedClient,
    LinkError,
    RadioError,
    RadioUnavailableError,
    call_guarded,
    route_of,
)
from proxyconn_esphome.codes import STALE_CACHE_STATUSES, GattStatus
from proxyconn_esphome.link import gatt_operations as operations
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.opening import abandon, open_link
from proxyconn_esphome.link.services.discovery import discover
from proxyconn_esphome.link.services.gatt_cache import MAX_MTU, KnownDevice
from proxyconn_esphome.link.services.services_table import only_services
from proxyconn_esphome.link.services.stale_tables import clear_stale_tables, clear_table
from proxyconn_esphome.link.states import LinkEvent
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.session_route import SessionRoute

DISCONNECT_TIMEOUT = 5.0
"""Seconds for the proxy to report the link closed, and as many again for its slot to come free."""

DEFAULT_TIMEOUT = 20.0
"""Seconds for a link to open: the firmware's own limit for one attempt."""

_LOGGER = logging.getLogger(__name__)

T = TypeVar("T")


class ESPHomeClient(LinkedClient):
    """A client for one device behind one proxy.

    Args:
        address_or_ble_device: a device that one of our scanners or a fleet found.
        session: the proxy to use; None for the one that found the device.
        disconnected_callback: called in the event loop, once, each time the link is lost or closed.
        timeout: seconds for connecting, as in `connect`.
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
        self._opening: Link | None = None
        self._mtu: int | None = None

    def __repr__(self) -> str:
        return f"<ESPHomeClient {self.address} via {self._session.name}>"

    @property
    def name(self) -> str:
        """The device's name, or its address with dashes."""
        return self._device.name or self.address.replace(":", "-")

    @property
    def mtu_size(self) -> int:
        """ATT MTU of the link in bytes."""
        return self._mtu or MIN_MTU

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
            timeout: seconds from the request to the services; None for that of the constructor.

        Raises:
            OutOfSlotsError, LinkError, PairingError, GATTError: this attempt failed.
            RadioUnavailableError, UnsupportedError: the proxy cannot be used for this.
            TimeoutError: no answer in time.

            Whenever it raises, and when it is cancelled, the link and its slot are let go.
        """
        self.require_unlinked(self._session.name, opening=self._opening is not None)
        number, flow = mac_to_int(self.address), self._session.commands
        link = self._opening = Link(self._session, self.address, number, self._on_link_down, flow)
        limit = self._timeout if timeout is None else timeout
        try:
            await self._open(link, pair, dangerous_use_bleak_cache, limit)
        except BaseException:
            abandon(self._session, link)
            raise
        finally:
            self._opening = None

    async def _open(self, link: Link, pair: bool, use_cache: bool, limit: float) -> None:
        known = self._session.cache.device(self.address)
        if known.stale:
            await clear_stale_tables(self._session, self.address, known)
        services = known.services if use_cache else None
        mtu = await open_link(
            self._session, link, self._address_type, with_cache=services is not None, timeout=limit
        )
        # With cached services the proxy reports the MTU of whatever used the slot before.
        if mtu and (services is None or link.inherited):
            known.mtu = min(max(mtu, MIN_MTU), MAX_MTU)
        self._mtu = link.mtu = known.mtu
        if services is None:
            known.kept_by.add(self._session)
        if services is None or pair:
            services = await self._set_up(link, known, services, pair, limit)
        link.require_up()
        link.move(LinkEvent.SET_UP)
        self._link = link
        self.services = (
            only_services(services, self._wanted_services) if self._wanted_services else services
        )

    async def _set_up(
        self,
        link: Link,
        known: KnownDevice,
        services: BleakGATTServiceCollection | None,
        pair: bool,
        limit: float,
    ) -> BleakGATTServiceCollection:
        """Pair if wanted, and read the services that are not known, `limit` after the request."""
        assert link.asked_at is not None
        scope = asyncio.timeout_at(link.asked_at + limit)
        try:
            async with scope:
                if pair:
                    await operations.pair(self._session, link)
                if services is None:
                    self._session.tell_linked(self.address)
                    services = await discover(link, known, self._session.cache)
        except TimeoutError:
            if not scope.expired():
                raise
            raise TimeoutError(f"{link.label}: no services within {round(limit, 1):g} s") from None
        return services

    async def disconnect(self) -> None:
        """Close the link and wait until its slot is free, or end an attempt; harmless without."""
        if self._opening:
            self._opening.give_up(
                LinkError(
                    f"{self._opening.label}: Disconnected while connecting",
                    kind=ErrorKind.DISCONNECTED,
                    source=self._session.name,
                )
            )
            abandon(self._session, self._opening)
        await self.close_once(self._close)

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
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
        finally:
            abandon(self._session, link)
            self._lost("its link was closed")
        try:
            await self._session.queue.until_left(self.address, DISCONNECT_TIMEOUT)
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: slot freed by the loss of the proxy: %s", link.label, exc)

    def _on_link_down(self, error: RadioError) -> None:
        _LOGGER.debug("%s", error)
        self._link = None
        self._lost(f"the link was lost: {error}")

    def _lost(self, why: str) -> None:
        self.end_services(why)
        if self._disconnected_callback:
            # At once: in the next turn nobody may refer to the client, and none would be told.
            call_guarded(self._disconnected_callback)

    def _up(self) -> Link:
        if self._link is None:
            raise self.not_connected(self._session.name)
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
        """Forget the services, here and on every proxy that may keep them; works without a link.

        Returns:
            False if this proxy cannot clear its own table now, as others that are not asked: that
            is done before the next connection.

        Raises:
            RadioUnavailableError: the proxy went away meanwhile; what is here is forgotten.
            TimeoutError: it does not answer; what is here is forgotten.
        """
        known = self._session.cache.forget(self.address, self._session)
        return await clear_table(self._session, self._link or self._loose_link(), known)

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
        return await self._trusting(operations.read(self._up(), characteristic.handle))

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor. Raises as `read_gatt_char`."""
        return await self._trusting(operations.read_descriptor(self._up(), descriptor.handle))

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic, at most 512 bytes; without response at most what the MTU allows.

        Raises:
            ValueError: the value is too long; nothing was sent.
            GATTError, LinkError, NotConnectedError, TimeoutError: as `read_gatt_char`; an error of
            a write without response is not reported by anyone.

            Without response it returns when the value is on its way: while the proxy has a few such
            writes still to read, its links wait and take turns.
        """
        await self._trusting(
            operations.write(self._up(), characteristic.handle, bytes(data), response)
        )

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor. Raises as `write_gatt_char`."""
        await self._trusting(
            operations.write_descriptor(self._up(), descriptor.handle, bytes(data))
        )

    async def _trusting(self, operation: Coroutine[Any, Any, T]) -> T:
        """Await an operation; an error that a stale table brings about ends the trust in it."""
        try:
            return await operation
        except GATTError as exc:
            if GattStatus(exc.code) in STALE_CACHE_STATUSES:
                self._session.cache.device(self.address).distrust(self._session)
            raise

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications, or to indications where there are no notifications.

        Raises:
            BleakError: there is a subscription already, or the characteristic cannot notify.
            GATTError, LinkError, NotConnectedError, TimeoutError: as `read_gatt_char`.
        """
        await self._trusting(operations.start_notify(self._up(), characteristic, callback))

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription; harmless if there is none. Raises as `read_gatt_char`."""
        await self._trusting(operations.stop_notify(self._up(), characteristic))
