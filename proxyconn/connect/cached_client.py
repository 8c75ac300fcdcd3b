"""The client that users hold."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Protocol, runtime_checkable

import bleak
from bleak import BleakClient
from bleak.backends.client import BaseBleakClient, get_platform_client_backend_type
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection
from bleak.exc import BleakError

from proxyconn.connection_parameters import ConnectionParameters
from proxyconn.device import device_path
from proxyconn.local.stack import load_local_stack
from proxyconn.radio import ROUTE, route_of

_LOGGER = logging.getLogger(__name__)


@runtime_checkable
class ExtendedBackend(Protocol):
    """What our backends offer beside bleak's own interface."""

    async def clear_cache(self) -> bool:
        """Forget the services of the device."""
        ...

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters."""
        ...


class BleakClientWithServiceCache(BleakClient):
    """A BleakClient that keeps the services of a device between connections.

    A device found by a fleet or by one of our scanners is reached through its proxy or adapter; any
    other device through the fleet that is installed, or else through bleak's backend of this
    platform, which on Linux is extended.

    On a BlueZ adapter, `connecting_params` and `connected_params`, both ConnectionParameters, may
    be given: the kernel uses the first ones to connect, and is given the second ones afterwards.
    """

    def __init__(self, address_or_ble_device: BLEDevice | str, *args: Any, **kwargs: Any) -> None:
        address_or_ble_device = _reachable(address_or_ble_device)
        if route := route_of(address_or_ble_device):
            kwargs.setdefault("backend", route.client_backend)
        elif (
            _is_local(address_or_ble_device)
            and _platform_decides()
            and (stack := load_local_stack())
        ):
            kwargs.setdefault("backend", stack.client_backend)
        super().__init__(address_or_ble_device, *args, **kwargs)

    def set_cached_services(self, services: BleakGATTServiceCollection | None) -> None:
        """Do nothing: the backends keep their own cache. Kept for callers of old."""

    async def clear_cache(self) -> bool:
        """Forget the services of the device, so that the next connection discovers them anew.

        Returns:
            Whether there was a cache and it was cleared.

        Raises:
            BleakError: the radio failed to clear its own cache.
        """
        if backend := self._extended_backend():
            return await backend.clear_cache()
        _LOGGER.debug("%s: this backend has no service cache to clear", self.address)
        return False

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask the peripheral for other connection parameters.

        Args:
            min_interval: shortest connection interval, 6 to 3200, in 1.25 ms.
            max_interval: longest connection interval, `min_interval` to 3200, in 1.25 ms.
            latency: connection events the peripheral may skip, 0 to 499.
            timeout: supervision timeout, 10 to 3200, in 10 ms, longer than
                (1 + latency) * max_interval * 2.

        Raises:
            ValueError: a parameter is out of its bounds; nothing was sent.
            BleakError: there is no link, the radio cannot do this, or it refused.
        """
        ConnectionParameters(min_interval, max_interval, latency, timeout)
        backend = self._extended_backend()
        if backend is None:
            raise BleakError(
                f"{self.address}: the {self.backend_id} backend cannot set connection parameters; "
                "connect through a proxy or a BlueZ adapter"
            )
        await backend.set_connection_params(min_interval, max_interval, latency, timeout)

    def _extended_backend(self) -> ExtendedBackend | None:
        # bleak offers its subclasses no public way to the backend that it made for them.
        backend: BaseBleakClient = self._backend
        return backend if isinstance(backend, ExtendedBackend) else None


def _reachable(address_or_ble_device: BLEDevice | str) -> BLEDevice | str:
    """Return the address alone of a device that has lost its route because it was pickled."""
    if isinstance(address_or_ble_device, str) or route_of(address_or_ble_device):
        return address_or_ble_device
    details = address_or_ble_device.details
    was_ours = isinstance(details, Mapping) and ROUTE in details
    return address_or_ble_device.address if was_ours else address_or_ble_device


def _is_local(address_or_ble_device: BLEDevice | str) -> bool:
    return isinstance(address_or_ble_device, str) or device_path(address_or_ble_device) is not None


def _platform_decides() -> bool:
    """Whether bleak chooses its backend by the platform: `install` makes it choose a fleet."""
    return vars(bleak)["get_platform_client_backend_type"] is get_platform_client_backend_type
