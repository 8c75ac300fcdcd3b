"""Carries out what one client asks of one device, in order, over a link that is its own."""

from __future__ import annotations

import asyncio
import logging
from typing import Any, Final, Protocol

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from google.protobuf.message import Message

from proxyconn.att import CCCD, INVALID_HANDLE
from proxyconn.errors import GATTError, UnsupportedError
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_native_api.gatt_table import service_batches
from proxyconn_owner.serving.failure_codes import (
    BUSY,
    CANCELLED,
    FAILURES,
    NOT_CONNECTED,
    pairing_code_of,
    reason_of,
    status_of,
)
from proxyconn_owner.serving.gatt_view import ServiceView, service_views
from proxyconn_owner.serving.requests import Operation, Requests
from proxyconn_proto import bluetooth_proxy_pb2 as pb

CARRY_OUT_TIMEOUT: Final = 3.0
"""Seconds for what a client has asked for before it asks for the end of a link: clients wait 5."""

DISCONNECT_TIMEOUT: Final = 15.0
"""Seconds for a link to be closed, slot included."""

INVALID_ARGUMENT: Final = 0x102
"""ESP_ERR_INVALID_ARG (esp_err.h)."""

_LOGGER = logging.getLogger(__name__)


class LinkOwner(Protocol):
    """The client whose link it is."""

    @property
    def label(self) -> str:
        """What it is called in the log."""
        ...

    @property
    def short_uuids(self) -> bool:
        """Whether it understands UUIDs of 16 and 32 bits as such."""
        ...

    def send(self, message: Message) -> None:
        """Tell it something."""

    def report_slots(self) -> None:
        """Tell it who holds which slot."""

    def link_crowded(self, link: ServedLink) -> None:
        """Many commands wait for the device."""

    def link_clear(self, link: ServedLink) -> None:
        """They have become few."""

    def link_over(self, link: ServedLink) -> None:
        """The link is down, or was never up."""

    def keep(self, task: asyncio.Task[None]) -> None:
        """Own a task until it is done."""

    def operated(self, operation: str, seconds: float) -> None:
        """An operation on attributes has come to its end, by an answer or an error."""


class ServedLink:
    """One link: from the connect request to the notice that it is over.

    Args:
        owner: the client.
        number: the device's address as a number of 48 bits.
        client: connects to the device, and is connected to nothing yet.

    Attributes:
        is_up: whether it carries requests; not while it is closed.
        used_at: when it last carried anything, in the loop's seconds.
    """

    def __init__(self, owner: LinkOwner, number: int, client: RoutedClient) -> None:
        self.number = number
        self.client = client
        self.is_up = False
        self._owner = owner
        self._over = False
        self._closer: asyncio.Task[None] | None = None
        self._wanted_again = False
        self._loop = asyncio.get_running_loop()
        self.used_at = self._loop.time()
        self._requests = Requests(self, repr(self))
        self._services: list[ServiceView] = []
        self._attributes: dict[int, BleakGATTCharacteristic | BleakGATTDescriptor] = {}
        client.set_disconnected_callback(self._on_lost)

    def __repr__(self) -> str:
        return f"<ServedLink {self.client.address} of {self._owner.label}>"

    @property
    def address(self) -> str:
        """The device's address."""
        return self.client.address

    @property
    def source(self) -> str | None:
        """Name of the radio that holds the link; None without one."""
        return self.client.source

    # Its life

    def open(self, *, cached: bool) -> asyncio.Task[None]:
        """Begin to connect; return the task that does."""
        return self._loop.create_task(self._open(cached))

    async def _open(self, cached: bool) -> None:
        try:
            await self.client.connect(False, dangerous_use_bleak_cache=cached)
        except FAILURES as exc:
            _LOGGER.info("%s: %s: no link: %s", self._owner.label, self.address, exc)
            self._end(CANCELLED if self._closer else reason_of(exc))
            return
        except BaseException:
            # Cancelled, or a defect: the client must not wait for a link that will never be.
            self._end(NOT_CONNECTED)
            raise
        if self._closer or self._over:
            # It has come up all the same; who closes it tells the client.
            await self.client.disconnect()
            return
        self.is_up = True
        self._learn()
        _LOGGER.info("%s: %s: connected through %s", self._owner.label, self.address, self.source)
        self._tell_up()

    def _learn(self) -> None:
        self._services = service_views(self.client.services)
        self._attributes = {}
        for service in self.client.services or ():
            for characteristic in service.characteristics:
                self._attributes[characteristic.handle] = characteristic
                for descriptor in characteristic.descriptors:
                    self._attributes[descriptor.handle] = descriptor

    def connect_again(self) -> None:
        """Answer a second connect request.

        A link that is up is told, with its MTU. While it is opened or closed, what becomes of that
        is the answer, as it is of a proxy: two would be taken for those of two requests.
        """
        if self.is_up:
            self._tell_up()
        self._wanted_again = self._closer is not None

    def _tell_up(self) -> None:
        self._owner.send(
            pb.BluetoothDeviceConnectionResponse(
                address=self.number, connected=True, mtu=self.client.mtu_size
            )
        )
        self._owner.report_slots()

    async def close(self) -> None:
        """Close the link and tell the client; returns when its slot is free, to all who wait."""
        await asyncio.shield(self.begin_closing())

    def begin_closing(self) -> asyncio.Task[None]:
        """Close the link and tell the client; return the one task that does, its owner's."""
        if self._closer is None:
            self.is_up = False
            self._closer = self._loop.create_task(self._close())
            self._owner.keep(self._closer)
        return self._closer

    async def _close(self) -> None:
        try:
            await self._requests.done(CARRY_OUT_TIMEOUT)
            async with asyncio.timeout(DISCONNECT_TIMEOUT):
                await self.client.disconnect()
        except FAILURES as exc:
            _LOGGER.debug("%r: not closed in order: %s", self, exc)
        finally:
            self._end(0)

    def _on_lost(self) -> None:
        _LOGGER.info("%s: %s: the link is over", self._owner.label, self.address)
        self._end(0)

    def _end(self, reason: int) -> None:
        if self._over:
            return
        self._over = True
        self.is_up = False
        self._requests.end()
        self._owner.link_over(self)
        error = BUSY if self._wanted_again else reason
        self._owner.send(
            pb.BluetoothDeviceConnectionResponse(address=self.number, connected=False, error=error)
        )
        self._owner.report_slots()

    # Requests

    def _submit(
        self, handle: int, operation: Operation, *arguments: Any, answered: bool = True
    ) -> None:
        self.used_at = self._loop.time()
        self._requests.submit(handle, operation, *arguments, answered=answered)

    def forget_requests(self) -> None:
        """Do nothing of what waits: the client has gone."""
        self._requests.forget()

    def answer(self, message: Message) -> None:
        """Tell the client what became of a request."""
        self._owner.send(message)

    def crowded(self) -> None:
        """Many commands wait for the device."""
        self._owner.link_crowded(self)

    def clear(self) -> None:
        """They have become few."""
        self._owner.link_clear(self)

    def operated(self, operation: str, seconds: float) -> None:
        """Pass on how long an operation has taken."""
        self._owner.operated(operation, seconds)

    def fail(self, handle: int, error: int) -> None:
        """Tell the client that a GATT request has failed."""
        self._owner.send(
            pb.BluetoothGATTErrorResponse(address=self.number, handle=handle, error=error)
        )

    def services(self) -> None:
        """Send the table of services."""
        for batch in service_batches(self.number, self._services, short=self._owner.short_uuids):
            self._owner.send(batch)
        self._owner.send(pb.BluetoothGATTGetServicesDoneResponse(address=self.number))

    def read(self, handle: int) -> None:
        """Read a characteristic or a descriptor."""
        self._submit(handle, self._read)

    async def _read(self, handle: int) -> Message:
        attribute = self._attribute(handle)
        if isinstance(attribute, BleakGATTCharacteristic):
            value = await self.client.read_gatt_char(attribute)
        else:
            value = await self.client.read_gatt_descriptor(attribute)
        return pb.BluetoothGATTReadResponse(address=self.number, handle=handle, data=bytes(value))

    def write(self, handle: int, data: bytes, *, response: bool) -> None:
        """Write a characteristic or a descriptor; a write without response has no answer."""
        self._submit(handle, self._write, data, response, answered=response)

    async def _write(self, handle: int, data: bytes, response: bool) -> Message | None:
        attribute = self._attribute(handle)
        if isinstance(attribute, BleakGATTCharacteristic):
            await self.client.write_gatt_char(attribute, data, response)
        else:
            await self._write_descriptor(attribute, data)
        if not response:
            return None
        return pb.BluetoothGATTWriteResponse(address=self.number, handle=handle)

    async def _write_descriptor(self, descriptor: BleakGATTDescriptor, data: bytes) -> None:
        try:
            await self.client.write_gatt_descriptor(descriptor, data)
        except UnsupportedError:
            # A local adapter has written its CCCD with the notify request, and keeps it to itself.
            if descriptor.uuid != CCCD:
                raise

    def notify(self, handle: int, *, enable: bool) -> None:
        """Begin or end to pass notifications on."""
        self._submit(handle, self._notify, enable)

    async def _notify(self, handle: int, enable: bool) -> Message:
        attribute = self._attribute(handle)
        if not isinstance(attribute, BleakGATTCharacteristic):
            raise _no_attribute(handle)
        if enable:
            await self.client.start_notify(attribute, lambda data: self._notified(handle, data))
        else:
            await self.client.stop_notify(attribute)
        return pb.BluetoothGATTNotifyResponse(address=self.number, handle=handle)

    def _notified(self, handle: int, data: Any) -> None:
        self.used_at = self._loop.time()
        self._owner.send(
            pb.BluetoothGATTNotifyDataResponse(address=self.number, handle=handle, data=bytes(data))
        )

    def _attribute(self, handle: int) -> BleakGATTCharacteristic | BleakGATTDescriptor:
        try:
            return self._attributes[handle]
        except KeyError:
            raise _no_attribute(handle) from None

    def pair(self) -> None:
        """Pair over the link."""
        self._submit(0, self._pair)

    async def _pair(self, handle: int) -> Message:
        error = 0
        try:
            await self.client.pair()
        except FAILURES as exc:
            error = pairing_code_of(exc)
        return pb.BluetoothDevicePairingResponse(address=self.number, paired=not error, error=error)

    def set_parameters(self, request: pb.BluetoothSetConnectionParamsRequest) -> None:
        """Ask for other connection parameters."""
        self._submit(0, self._set_parameters, request)

    async def _set_parameters(
        self, handle: int, request: pb.BluetoothSetConnectionParamsRequest
    ) -> Message:
        error = 0
        try:
            await self.client.set_connection_params(
                request.min_interval, request.max_interval, request.latency, request.timeout
            )
        except ValueError:
            error = INVALID_ARGUMENT
        except FAILURES as exc:
            error = status_of(exc)
        return pb.BluetoothSetConnectionParamsResponse(address=self.number, error=error)


def _no_attribute(handle: int) -> GATTError:
    return GATTError(f"no attribute has the handle {handle}", INVALID_HANDLE)
