"""The bleak client backend for devices behind radios of other owners."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Any, Final

from bleak.args import SizedBuffer
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn.att import MIN_MTU
from proxyconn.radio import (
    ErrorKind,
    LinkedClient,
    LinkError,
    RadioError,
    RadioUnavailableError,
    call_guarded,
)
from proxyconn_cluster.exchange.failures import error_of
from proxyconn_cluster.exchange.link_messages import Device, Open, Reply
from proxyconn_cluster.exchange.services import Service, service_collection
from proxyconn_cluster.members import Member
from proxyconn_cluster.remote.far_link import FarLink
from proxyconn_cluster.remote.far_links import FarLinks

ATT_WRITE_HEADER: Final = 3
"""Bytes of a write command before its value (Core Specification vol 3 F 3.4.5.3)."""

DEVICE_TIMEOUT: Final = 12.0
"""Seconds for what is asked about a device without a link; the owner gives it 10 s."""

DEFAULT_TIMEOUT: Final = 20.0
"""Seconds for a link to open: what a proxy's firmware gives one attempt."""

_LOGGER = logging.getLogger(__name__)


class RemoteClient(LinkedClient):
    """A client for one device behind one radio of another owner.

    Args:
        device: the device.
        links: the links that others hold for us.
        member: the owner that has the radio.
        radio: identity of the radio.
        radio_name: what people call it.
        disconnected_callback: called in the event loop, once, each time the link is lost or closed.
        timeout: seconds for connecting, as in `connect`.
        services: UUIDs of the only services wanted, or None for all.
    """

    def __init__(
        self,
        device: BLEDevice,
        *,
        links: FarLinks,
        member: Member,
        radio: str,
        radio_name: str,
        disconnected_callback: Callable[[], None] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
        services: set[str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(device, disconnected_callback=disconnected_callback, timeout=timeout)
        self._device = device
        self._links = links
        self._member = member
        self._radio = radio
        self._source = radio_name
        self._wanted_services = services
        self._link: FarLink | None = None
        self._opening: FarLink | None = None
        self._mtu = MIN_MTU

    def __repr__(self) -> str:
        return f"<RemoteClient {self.address} via {self._source} of {self._member.name}>"

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
        """Whether the link is up."""
        return self._link is not None and self._link.is_up

    # The link

    async def connect(
        self,
        pair: bool,
        dangerous_use_bleak_cache: bool = False,
        timeout: float | None = None,
        **kwargs: Any,
    ) -> None:
        """Have the owner open the link; it waits in the owner's queue.

        Args:
            pair: whether to pair before the services are read.
            dangerous_use_bleak_cache: whether services known from an earlier connection may do.
            timeout: seconds for all of it; None for that of the constructor.

        Raises:
            BleakError, TimeoutError: what it failed with there.
            RadioUnavailableError: the owner is not there any more.

            Whenever it raises, and when it is cancelled, the owner lets the link and its slot go.
        """
        self.require_unlinked(self._source, opening=self._opening is not None)
        limit = self._timeout if timeout is None else timeout
        link = self._opening = self._links.make(self._member, self._source, self._on_down)
        asked = Open(
            link=link.name,
            user=self._links.user,
            events=self._links.events,
            radio=self._radio,
            address=self.address,
            address_type=self._device.details["address_type"],
            pair=pair,
            cached=dangerous_use_bleak_cache,
            left=limit,
        )
        try:
            reply = await link.open(asked)
            self._set_up(link, reply.mtu, reply.services)
        except BaseException as exc:
            self._links.close_later(link)
            if isinstance(exc, RadioError) and exc.source is None:
                exc.source = self._source
            raise
        finally:
            self._opening = None

    def _set_up(self, link: FarLink, mtu: int, told: Sequence[Service]) -> None:
        self._link, self._mtu = link, max(mtu, MIN_MTU)
        wanted = self._wanted_services
        self.services = service_collection(
            [one for one in told if wanted is None or one.uuid in wanted],
            lambda: self._mtu - ATT_WRITE_HEADER,
        )

    async def disconnect(self) -> None:
        """Close the link and wait until its slot is free, or end the attempt to open one.

        Harmless if there is neither.
        """
        if self._opening:
            self._opening.down(
                LinkError(
                    f"{self.address}: Disconnected while connecting",
                    kind=ErrorKind.DISCONNECTED,
                    source=self._source,
                )
            )
        await self.close_once(self._close)

    async def _close(self) -> None:
        link, self._link = self._link, None
        if link is None:
            return
        try:
            await link.close()
        except (RadioUnavailableError, TimeoutError) as exc:
            # Its holder closes it by itself when it does not hear of us.
            _LOGGER.debug("%s: not closed in order: %s", self, exc)
        except asyncio.CancelledError:
            self._links.close_later(link)
            raise
        finally:
            self._lost("its link was closed")

    def _on_down(self, error: RadioError) -> None:
        if self._link is not None:
            self._link = None
            self._lost(f"the link was lost: {error}")

    def _lost(self, why: str) -> None:
        self.end_services(why)
        if self._disconnected_callback:
            call_guarded(self._disconnected_callback)

    def _up(self) -> FarLink:
        if self._link is None:
            raise self.not_connected(self._source)
        return self._link

    # Pairing, cache, parameters

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair over the link. Raises PairingError, UnsupportedError, LinkError, TimeoutError."""
        await self._up().do("pair")

    async def unpair(self) -> None:
        """Remove the bond; works without a link. Raises as `pair`."""
        if self._link:
            await self._link.do("unpair")
        else:
            await self._without_link("unpair")

    async def clear_cache(self) -> bool:
        """Have the owner forget the services; works without a link.

        Returns:
            Whether they were there, and no radio still keeps them.
        """
        doing = self._link.do("clear_cache") if self._link else self._without_link("clear_cache")
        return (await doing).flag

    async def _without_link(self, what: str) -> Reply:
        asked = Device(
            user=self._links.user,
            radio=self._radio,
            address=self.address,
            address_type=self._device.details["address_type"],
            what=what,
        )
        reply = await self._links.exchange(self._member, "device", asked, DEVICE_TIMEOUT)
        if reply.failed:
            raise error_of(reply.failed)
        return reply

    async def set_connection_params(
        self, min_interval: int, max_interval: int, latency: int, timeout: int
    ) -> None:
        """Ask for other connection parameters; intervals in 1.25 ms, timeout in 10 ms.

        Raises:
            ValueError: a parameter is out of its bounds.
            UnsupportedError, LinkError, TimeoutError: it was not done.
        """
        numbers = (min_interval, max_interval, latency, timeout)
        await self._up().do("set_connection_params", numbers=numbers)

    # Attributes

    async def read_gatt_char(
        self, characteristic: BleakGATTCharacteristic, **kwargs: Any
    ) -> bytearray:
        """Read a characteristic. Raises GATTError, LinkError, NotConnectedError, TimeoutError."""
        return bytearray((await self._up().do("read", characteristic.handle)).data)

    async def read_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, **kwargs: Any
    ) -> bytearray:
        """Read a descriptor. Raises as `read_gatt_char`."""
        return bytearray((await self._up().do("read", descriptor.handle)).data)

    async def write_gatt_char(
        self, characteristic: BleakGATTCharacteristic, data: SizedBuffer, response: bool
    ) -> None:
        """Write a characteristic. Raises ValueError if it is too long, else as `read_gatt_char`."""
        await self._up().do("write", characteristic.handle, bytes(data), flag=response)

    async def write_gatt_descriptor(
        self, descriptor: BleakGATTDescriptor, data: SizedBuffer
    ) -> None:
        """Write a descriptor. Raises as `write_gatt_char`."""
        await self._up().do("write", descriptor.handle, bytes(data), flag=True)

    async def start_notify(
        self, characteristic: BleakGATTCharacteristic, callback: NotifyCallback, **kwargs: Any
    ) -> None:
        """Subscribe to notifications, or to indications where there are no notifications.

        Raises:
            BleakError: there is a subscription already, or the characteristic cannot notify.
            GATTError, LinkError, NotConnectedError, TimeoutError: as `read_gatt_char`.
        """
        link, handle = self._up(), characteristic.handle
        if handle in link.handlers:
            raise BleakError(f"{self.address}: handle {handle} has a subscription already")
        # What is notified may be here before the answer.
        link.handlers[handle] = callback
        try:
            await link.do("start_notify", handle)
        except BaseException:
            link.handlers.pop(handle, None)
            raise

    async def stop_notify(self, characteristic: BleakGATTCharacteristic) -> None:
        """End a subscription; harmless if there is none. Raises as `read_gatt_char`."""
        link = self._up()
        try:
            await link.do("stop_notify", characteristic.handle)
        finally:
            link.handlers.pop(characteristic.handle, None)
