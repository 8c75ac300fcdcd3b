"""GATT requests on an established link, and their answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual._link import MAX_REGISTRATIONS, LinkRun
from proxyconn_virtual._services import service_batches
from proxyconn_virtual.radio import AttError, RadioLink

ESP_FAIL: Final = -1
"""No slot for the address, or its services are not discovered yet."""

MAX_VALUE: Final = 517
"""Longer values are cut (Bluedroid's ESP_GATT_MAX_MTU_SIZE)."""

_NO_RESOURCES: Final = 0x80
_INVALID_ARGUMENT: Final = 258

GattRequest = (
    pb.BluetoothGATTReadRequest
    | pb.BluetoothGATTReadDescriptorRequest
    | pb.BluetoothGATTWriteRequest
    | pb.BluetoothGATTWriteDescriptorRequest
    | pb.BluetoothGATTNotifyRequest
)


class Gatt:
    """Answers GATT requests.

    Args:
        send: sends a message to the subscriber, if there is one.
        established: returns the link of an address whose services are known, if there is one.
        write_event_without_response: answer a write without response as well.
    """

    def __init__(
        self,
        send: Callable[[Message], None],
        established: Callable[[int], LinkRun | None],
        *,
        write_event_without_response: bool,
    ) -> None:
        self._send = send
        self._established = established
        self._write_event = write_event_without_response
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
        run = self._established(request.address)
        if run is None:
            self._fail(request.address, 0, ESP_FAIL)
            return
        if run.served:
            return
        run.served = True
        for batch in service_batches(run.address, run.services, short=self.short_uuids):
            self._send(batch)
        self._send(pb.BluetoothGATTGetServicesDoneResponse(address=run.address))

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
        answered = response or self._write_event

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
        run = self._established(request.address)
        if run is None:
            self._fail(request.address, request.handle, ESP_FAIL)
        return run
