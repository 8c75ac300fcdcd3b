"""GATT requests on an established link, and their answers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from itertools import chain
from typing import Final, Protocol

from google.protobuf.message import Message

from proxyconn_native_api.gatt_table import service_batches
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.firmware.link import MAX_REGISTRATIONS, LinkRun
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.radio import AttError, RadioLink

ESP_FAIL: Final = -1
"""No slot for the address, or its services are not discovered yet."""

MAX_VALUE: Final = 517
"""Longer values are cut (Bluedroid's ESP_GATT_MAX_MTU_SIZE)."""

_NO_RESOURCES: Final = 0x80
_INVALID_ARGUMENT: Final = 258
_INVALID_STATE: Final = 259
"""The stack has lost the link already (ESP_ERR_INVALID_STATE)."""

GattRequest = (
    pb.BluetoothGATTReadRequest
    | pb.BluetoothGATTReadDescriptorRequest
    | pb.BluetoothGATTWriteRequest
    | pb.BluetoothGATTWriteDescriptorRequest
    | pb.BluetoothGATTNotifyRequest
)


class Links(Protocol):
    """The links of a proxy, as far as GATT needs them."""

    def established(self, address: int) -> LinkRun | None:
        """Return the link of an address whose services are known, if there is one."""
        ...

    def walks(self, run: LinkRun) -> bool:
        """Whether the services of a link can be told whole; if not, the link is ended."""
        ...


class Gatt:
    """Answers GATT requests.

    Args:
        send: sends a message to the subscriber, if there is one; False if the socket is full.
        links: the links.
        profile: firmware version to behave like.
        again: seconds until a refused part of the services is sent again.
    """

    def __init__(
        self,
        send: Callable[[Message], bool],
        links: Links,
        profile: FirmwareProfile,
        *,
        again: float,
    ) -> None:
        self._send = send
        self._links = links
        self._profile = profile
        self._again = again
        self._streams: set[asyncio.Task[None]] = set()
        self.short_uuids = True
        """Whether the subscriber understands short UUIDs."""
        self.handlers: Mapping[type[Message], Callable[..., None]] = {
            pb.BluetoothGATTGetServicesRequest: self._get_services,
            pb.BluetoothGATTReadRequest: self._read,
            pb.BluetoothGATTReadDescriptorRequest: self._read,
            pb.BluetoothGATTWriteRequest: self._write,
            pb.BluetoothGATTWriteDescriptorRequest: self._write,
            pb.BluetoothGATTNotifyRequest: self._notify,
        }

    def _fail(self, address: int, handle: int, error: int) -> None:
        response = pb.BluetoothGATTErrorResponse(address=address, handle=handle, error=error)
        self._send(response)

    def _get_services(self, request: pb.BluetoothGATTGetServicesRequest) -> None:
        run = self._links.established(request.address)
        if run is None:
            self._fail(request.address, 0, ESP_FAIL)
            return
        if self._profile.backend and run.slot.with_cache:
            self._send(pb.BluetoothGATTGetServicesDoneResponse(address=run.address))
            return
        if run.served:
            return
        run.served = True
        if not self._links.walks(run):
            return
        batches = service_batches(
            run.address, run.services, short=self.short_uuids, estimated=self._profile.backend
        )
        self._stream(run.address, batches)

    def _stream(self, address: int, batches: Iterator[pb.BluetoothGATTGetServicesResponse]) -> None:
        """Send the services; from 2026.8 on a refused part is sent again, never skipped."""
        for batch in batches:
            if not self._send(batch) and self._profile.backend:
                task = asyncio.create_task(self._stream_later(address, batch, batches))
                self._streams.add(task)
                task.add_done_callback(self._streams.discard)
                return
        self._send(pb.BluetoothGATTGetServicesDoneResponse(address=address))

    async def _stream_later(
        self,
        address: int,
        refused: pb.BluetoothGATTGetServicesResponse,
        rest: Iterator[pb.BluetoothGATTGetServicesResponse],
    ) -> None:
        await asyncio.sleep(self._again)
        self._stream(address, chain((refused,), rest))

    def park(self) -> None:
        """Send no more of any list, nor its end: nobody may take a part for the whole."""
        for task in self._streams:
            task.cancel()

    def _read(
        self, request: pb.BluetoothGATTReadRequest | pb.BluetoothGATTReadDescriptorRequest
    ) -> None:
        run = self._run(request)
        if run is None:
            return
        address, handle = request.address, request.handle

        async def read(link: RadioLink) -> None:
            try:
                value = await link.read(handle)
            except AttError as error:
                self._fail(address, handle, error.code)
                return
            self._send(
                pb.BluetoothGATTReadResponse(address=address, handle=handle, data=value[:MAX_VALUE])
            )

        run.submit(read)

    def _write(
        self, request: pb.BluetoothGATTWriteRequest | pb.BluetoothGATTWriteDescriptorRequest
    ) -> None:
        run = self._run(request)
        if run is None:
            return
        address, handle, value = request.address, request.handle, request.data[:MAX_VALUE]
        response = True
        if isinstance(request, pb.BluetoothGATTWriteRequest):
            response = request.response
            if not value:
                self._fail(address, handle, _INVALID_ARGUMENT)
                return
        answered = response or self._profile.write_event_without_response

        async def write(link: RadioLink) -> None:
            try:
                await link.write(handle, value, response=response)
            except AttError as error:
                if answered:
                    self._fail(address, handle, error.code)
                return
            if answered:
                self._send(pb.BluetoothGATTWriteResponse(address=address, handle=handle))

        run.submit(write)

    def _notify(self, request: pb.BluetoothGATTNotifyRequest) -> None:
        """Register or unregister locally; the client writes the CCCD itself."""
        run = self._run(request)
        if run is None:
            return
        if not request.enable:
            run.registered.discard(request.handle)
        elif len(run.registered | {request.handle}) > MAX_REGISTRATIONS:
            self._fail(request.address, request.handle, _NO_RESOURCES)
            return
        else:
            run.registered.add(request.handle)
        self._send(pb.BluetoothGATTNotifyResponse(address=request.address, handle=request.handle))

    def _run(self, request: GattRequest) -> LinkRun | None:
        """Return the link of a request, or answer that there is none."""
        run = self._links.established(request.address)
        if run is None:
            self._fail(request.address, request.handle, ESP_FAIL)
        elif run.over:
            self._fail(request.address, request.handle, _INVALID_STATE)
            return None
        return run
