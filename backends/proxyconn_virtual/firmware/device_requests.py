"""Requests about a device as a whole: connecting, bonds, the cache, connection parameters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual.firmware.addresses import address_text
from proxyconn_virtual.firmware.bluetooth import Bluetooth, Host
from proxyconn_virtual.firmware.gatt_requests import ESP_FAIL
from proxyconn_virtual.firmware.profiles import FirmwareProfile
from proxyconn_virtual.radio import LinkParameters, PairingError, Radio, RadioLink

_INVALID_ARGUMENT: Final = 258
"""ESP_ERR_INVALID_ARG."""

_Type = pb.BluetoothDeviceRequestType


def valid_parameters(wanted: LinkParameters) -> bool:
    """Whether the stack takes the parameters (Core Specification vol 4 E 7.8.18)."""
    return (
        6 <= wanted.min_interval <= wanted.max_interval <= 3200
        and wanted.latency <= 499
        and 10 <= wanted.timeout <= 3200
        and wanted.timeout * 4 > (1 + wanted.latency) * wanted.max_interval
    )


class Device:
    """Answers messages 68 and 145.

    Attributes:
        connects_refused: connect requests that found no slot.
        parameters: connection parameters last asked for, by 48-bit address.
    """

    def __init__(
        self, host: Host, radio: Radio, bluetooth: Bluetooth, profile: FirmwareProfile
    ) -> None:
        self._host = host
        self._radio = radio
        self._bluetooth = bluetooth
        self._profile = profile
        self._tasks: set[asyncio.Task[None]] = set()
        self.connects_refused = 0
        self.parameters: dict[int, LinkParameters] = {}
        self._by_type: Mapping[int, Callable[[pb.BluetoothDeviceRequest], None]] = {
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT: self._connect_v1,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT: self._disconnect,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_PAIR: self._pair,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_UNPAIR: self._unpair,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE: self._connect,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE: self._connect,
            _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE: self._clear_cache,
        }
        self.handlers: dict[type[Message], Callable[..., None]] = {
            pb.BluetoothDeviceRequest: self._request
        }
        bluetooth.on_security_request = self._pair_address
        if profile.connection_parameters:
            self.handlers[pb.BluetoothSetConnectionParamsRequest] = self._set_parameters

    async def stop(self) -> None:
        """Give up what is under way; idempotent."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _request(self, request: pb.BluetoothDeviceRequest) -> None:
        handler = self._by_type.get(request.request_type)
        if handler is not None:
            handler(request)

    def _connect_v1(self, request: pb.BluetoothDeviceRequest) -> None:
        self._host.send_subscriber(
            pb.BluetoothDeviceConnectionResponse(address=request.address, connected=False)
        )

    def _connect(self, request: pb.BluetoothDeviceRequest) -> None:
        cached = _Type.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
        if not self._bluetooth.connect(request, with_cache=request.request_type == cached):
            self.connects_refused += 1
            self._host.emit(events.Refused(self._host.name, address_text(request.address)))

    def _disconnect(self, request: pb.BluetoothDeviceRequest) -> None:
        self._bluetooth.disconnect(request.address)

    def _clear_cache(self, request: pb.BluetoothDeviceRequest) -> None:
        cleared = self._profile.cache_clearing
        self._host.send_subscriber(
            pb.BluetoothDeviceClearCacheResponse(
                address=request.address, success=cleared, error=0 if cleared else ESP_FAIL
            )
        )

    def _pair(self, request: pb.BluetoothDeviceRequest) -> None:
        self._pair_address(request.address)

    def _pair_address(self, address: int) -> None:
        run = self._bluetooth.run_of(address)
        if run is None or run.link is None:
            if self._profile.backend:
                self._paired(address, paired=False, error=ESP_FAIL)
            return

        async def pair(link: RadioLink) -> None:
            try:
                if not run.paired:
                    await link.pair()
            except PairingError as error:
                self._host.emit(
                    events.PairingFailed(self._host.name, address_text(address), error.code)
                )
                self._paired(address, paired=False, error=error.code)
                return
            if not run.paired:
                run.paired = True
                self._host.emit(events.Paired(self._host.name, address_text(address)))
            self._paired(address, paired=True)

        run.submit(pair)

    def _paired(self, address: int, *, paired: bool, error: int = 0) -> None:
        self._host.send_subscriber(
            pb.BluetoothDevicePairingResponse(address=address, paired=paired, error=error)
        )

    def _unpair(self, request: pb.BluetoothDeviceRequest) -> None:
        async def unpair() -> None:
            removed = await self._radio.remove_bond(request.address)
            error = 0 if removed else ESP_FAIL
            run = self._bluetooth.run_of(request.address)
            if removed and run is not None and self._profile.backend:
                run.paired = False
            if self._profile.unpair_response:
                self._host.send_subscriber(
                    pb.BluetoothDeviceUnpairingResponse(
                        address=request.address, success=removed, error=error
                    )
                )
            else:
                self._paired(request.address, paired=removed, error=error)

        task = asyncio.create_task(unpair())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _set_parameters(self, request: pb.BluetoothSetConnectionParamsRequest) -> None:
        address = request.address
        run = self._bluetooth.established(address)
        wanted = LinkParameters(
            min(request.min_interval, 0xFFFF),
            min(request.max_interval, 0xFFFF),
            min(request.latency, 0xFFFF),
            min(request.timeout, 0xFFFF),
        )
        if run is None:
            self._parameters_answer(address, ESP_FAIL)
            return
        if not valid_parameters(wanted):
            self._parameters_answer(address, _INVALID_ARGUMENT)
            return

        async def update(link: RadioLink) -> None:
            await link.update_parameters(wanted)
            self.parameters[address] = wanted
            self._host.emit(events.ParametersSet(self._host.name, address_text(address), wanted))
            self._parameters_answer(address, 0)

        run.submit(update)

    def _parameters_answer(self, address: int, error: int) -> None:
        self._host.send_subscriber(
            pb.BluetoothSetConnectionParamsResponse(address=address, error=error)
        )
