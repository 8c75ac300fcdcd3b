"""bleak's client for BlueZ, with what the kernel and bleak's cache offer beside it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

from bleak.args import SizedBuffer
from bleak.args.bluez import BlueZClientArgs
from bleak.backends.bluezdbus.client import BleakClientBlueZDBus
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDeviceNotFoundError, BleakError

from proxyconn.att import CCCD
from proxyconn.radio import (
    ConnectionParameters,
    NotConnectedError,
    RadioUnavailableError,
    UnsupportedError,
    split_device_path,
)
from proxyconn_bluez.bleak_private import bleak_bus, close_client_bus, services_cache
from proxyconn_bluez.bus.daemon_loss import DaemonWatch
from proxyconn_bluez.bus.devices import RANDOM_ADDRESS, address_of, address_type_of, best_first
from proxyconn_bluez.bus.objects import Properties, bluez_objects
from proxyconn_bluez.kernel.management import Management

DEFAULT_TIMEOUT = 20.0
"""Seconds for a link to open, as for a device behind a proxy."""

DISCONNECT_TIMEOUT = 12.0
"""Seconds for a link to close: bleak waits 10 once bluetoothd has answered, and for that without a
limit."""

_LOGGER = logging.getLogger(__name__)


class BlueZClient(BleakClientBlueZDBus):
    """A client for one device on a local adapter.

    Args:
        address_or_ble_device: a device that bleak's scanner or `get_device` found, or an address.
        services: UUIDs of the only services wanted, or None for all.
        disconnected_callback: called in the event loop, once, each time the link is lost or closed.
        timeout: seconds for a link to open.
        bluez: bleak's arguments for BlueZ.
        management: the kernel's management interface of the owner; None for one of the client's
            own, which is open from its first use until the link ends.
        connecting_params: what the kernel uses to open the link; None for its own.
        connected_params: what the kernel is given once the link is open; None for no change.
    """

    def __init__(
        self,
        address_or_ble_device: BLEDevice | str,
        services: set[str] | None = None,
        *,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        bluez: BlueZClientArgs | None = None,
        management: Management | None = None,
        connecting_params: ConnectionParameters | None = None,
        connected_params: ConnectionParameters | None = None,
        **kwargs: Any,
    ) -> None:
        self._on_link_ended = disconnected_callback
        super().__init__(
            address_or_ble_device,
            services,
            disconnected_callback=self._link_ended,
            timeout=timeout,
            bluez=bluez or {},
            **kwargs,
        )
        self._known_path: str | None = (
            address_or_ble_device.details["path"]
            if isinstance(address_or_ble_device, BLEDevice)
            else None
        )
        self._management = management or Management()
        self._owns_management = management is None
        self._daemon: DaemonWatch | None = None
        self._disconnecting = False
        self._connecting_params = connecting_params
        self._connected_params = connected_params

    def set_disconnected_callback(self, callback: Callable[[], None] | None, **kwargs: Any) -> None:
        """Replace the callback for the end of the link; what is done here about it stays."""
        self._on_link_ended = callback

    def _link_ended(self) -> None:
        if self._daemon and not self._disconnecting:
            # bleak keeps a bus for each client, after a loss until the caller disconnects.
            close_client_bus(self)
        self._release()
        if self._on_link_ended:
            self._on_link_ended()

    def _release(self) -> None:
        daemon, self._daemon = self._daemon, None
        if daemon:
            daemon.close()
        if self._owns_management:
            self._management.close()

    async def connect(
        self, pair: bool, dangerous_use_bleak_cache: bool = False, **kwargs: Any
    ) -> None:
        """Open the link and learn the services.

        Raises:
            BleakError, TimeoutError, EOFError, BrokenPipeError: as bleak's client; also if the
                parameters that were asked for could not be set. There is no link then.
            BleakDeviceNotFoundError: BlueZ does not know the device, or no longer.
            RadioUnavailableError: the bus cannot be reached, or bluetoothd is not running.
        """
        if self.is_connected:
            raise BleakError(f"{self.address}: already connected")
        try:
            if self._connecting_params:
                await self._load(self._connecting_params)
            await self._open(pair, dangerous_use_bleak_cache, **kwargs)
        except BaseException:
            self._release()
            raise
        try:
            # bleak does not notice that bluetoothd has gone, and would call the link up for ever.
            self._daemon = await DaemonWatch.open((await bleak_bus()).drop)
            if self._connected_params:
                await self._load(self._connected_params)
        except BaseException:
            await self.disconnect()
            raise

    async def _open(self, pair: bool, use_cache: bool, **kwargs: Any) -> None:
        try:
            # bleak's own limit ends a wait, and then it waits for an answer to its Disconnect.
            async with asyncio.timeout(kwargs.get("timeout", self._timeout) + DISCONNECT_TIMEOUT):
                await super().connect(pair, use_cache, **kwargs)
        except (TimeoutError, BrokenPipeError):
            raise
        except OSError as exc:
            raise RadioUnavailableError(f"{self.address}: D-Bus failed: {exc}") from exc
        except BleakError as exc:
            if type(exc) is BleakError:
                # A device that bleak misses has no class of its own there.
                await self._identity()
            raise

    async def disconnect(self) -> None:
        """Close the link, and the management socket with it. Harmless if there is no link.

        Raises:
            BleakDBusError: bluetoothd refused.
            TimeoutError: the link is still up, or bluetoothd does not answer.
        """
        self._disconnecting = True
        try:
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await super().disconnect()
        finally:
            self._disconnecting = False
            self._release()

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic.

        Raises:
            ValueError: too long for a write without response on this link; nothing was sent.
            BleakError: as bleak's client.
        """
        most = characteristic.max_write_without_response_size
        # BlueZ tells the MTU since 5.62; bleak takes the least for one that is not told.
        if not response and len(data) > most and "MTU" in characteristic.obj[1]:
            raise ValueError(
                f"{self.address}: a write without response has at most {most} bytes on this link, "
                f"not {len(data)}; split it, or write with response"
            )
        await super().write_gatt_char(characteristic, data, response)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications or indications; bleak's arguments for BlueZ may be left out.

        Raises:
            BleakError: as bleak's client.
        """
        await super().start_notify(characteristic, callback, **{"bluez": {}, **kwargs})

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor.

        Raises:
            UnsupportedError: it is a CCCD, which BlueZ keeps for itself (gatt-client.c).
            BleakError: as bleak's client.
        """
        if descriptor.uuid == CCCD:
            raise UnsupportedError(
                f"{self.address}: BlueZ alone writes the CCCD, handle {descriptor.handle}; "
                "use start_notify and stop_notify"
            )
        await super().write_gatt_descriptor(descriptor, data)

    async def clear_cache(self) -> bool:
        """Forget the services that bleak keeps for the device; return whether there were any.

        bleak itself forgets them when BlueZ forgets the device, or goes.
        """
        try:
            path, _ = await self._identity()
            return (await services_cache()).pop(path, None) is not None
        except (BleakError, OSError, EOFError) as exc:
            _LOGGER.debug("%s: nothing to forget: %r", self.address, exc)
            return False

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Give the kernel other connection parameters; intervals in 1.25 ms, timeout in 10 ms.

        They hold from the next connection on, and since Linux 6.11 for the present one, too.

        Raises:
            ValueError: a parameter is out of its bounds; nothing was sent.
            NotConnectedError: there is no link.
            UnsupportedError: we lack CAP_NET_ADMIN; says so.
            RadioError: the kernel refused.
        """
        parameters = ConnectionParameters(min_interval, max_interval, latency, timeout)
        if not self.is_connected:
            raise NotConnectedError(f"{self.address}: not connected")
        await self._load(parameters)

    async def _load(self, parameters: ConnectionParameters) -> None:
        path, properties = await self._identity()
        parts = split_device_path(path)
        if parts is None:
            raise BleakDeviceNotFoundError(self.address, f"{path} is not a device of BlueZ")
        await self._management.load_connection_parameters(
            parts[0],
            address_of(properties) or parts[1],
            address_type_of(properties) == RANDOM_ADDRESS,
            parameters,
        )

    async def _identity(self) -> tuple[str, Properties]:
        """Return object path and present properties; pairing may have changed address and type."""
        async with bluez_objects() as objects:
            if self._known_path:
                found = objects.device(self._known_path)
                if found is not None:
                    return self._known_path, dict(found)
            else:
                named = self.address.upper()
                same = [one for one in objects.devices() if address_of(one[1]) == named]
                if same:
                    path, properties = best_first(same)[0]
                    return path, dict(properties)
        raise BleakDeviceNotFoundError(self.address, f"BlueZ does not know {self.address}")
