"""The requests of one link, as coroutines."""

from __future__ import annotations

import logging
from typing import Any

from aioesphomeapi.model import BluetoothProxyFeature
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.client import NotifyCallback
from bleak.exc import BleakError
from bluetooth_data_tools import mac_to_int

from proxyconn.att import CCCD
from proxyconn.radio import (
    ConnectionParameters,
    LinkError,
    PairingError,
    RadioError,
    RadioUnavailableError,
)
from proxyconn_esphome.codes import GattStatus, PairingStatus, kind_of_pairing, kind_of_status
from proxyconn_esphome.link.connecting_proxy import ConnectingProxy
from proxyconn_esphome.link.link import REQUEST_TIMEOUT, Link
from proxyconn_esphome.wire.messages import (
    BluetoothDeviceClearCacheResponse,
    BluetoothDevicePairingResponse,
    BluetoothDeviceRequest,
    BluetoothDeviceRequestType,
    BluetoothDeviceUnpairingResponse,
    BluetoothGATTGetServicesDoneResponse,
    BluetoothGATTGetServicesRequest,
    BluetoothGATTGetServicesResponse,
    BluetoothGATTNotifyRequest,
    BluetoothGATTNotifyResponse,
    BluetoothGATTReadDescriptorRequest,
    BluetoothGATTReadRequest,
    BluetoothGATTReadResponse,
    BluetoothGATTWriteDescriptorRequest,
    BluetoothGATTWriteRequest,
    BluetoothGATTWriteResponse,
    BluetoothSetConnectionParamsRequest,
    BluetoothSetConnectionParamsResponse,
)

MAX_VALUE = 512
"""Bytes of an attribute value (Core Specification vol 3 F 3.2.9); firmware cuts more silently."""

CCCD_NOTIFY = b"\x01\x00"
CCCD_INDICATE = b"\x02\x00"

_LOGGER = logging.getLogger(__name__)


async def get_services(link: Link) -> list[BluetoothGATTGetServicesResponse]:
    """Ask for the services, which a proxy tells once per link."""
    return await link.collect(
        BluetoothGATTGetServicesRequest(address=link.number),
        BluetoothGATTGetServicesDoneResponse,
        REQUEST_TIMEOUT,
    )


async def read(link: Link, handle: int) -> bytearray:
    """Read a characteristic value."""
    response = await link.request(
        BluetoothGATTReadRequest(address=link.number, handle=handle),
        BluetoothGATTReadResponse,
        handle,
    )
    return bytearray(response.data)


async def read_descriptor(link: Link, handle: int) -> bytearray:
    """Read a descriptor."""
    response = await link.request(
        BluetoothGATTReadDescriptorRequest(address=link.number, handle=handle),
        BluetoothGATTReadResponse,
        handle,
    )
    return bytearray(response.data)


async def write(link: Link, handle: int, data: bytes, response: bool) -> None:
    """Write a characteristic value."""
    _check_length(data)
    message = BluetoothGATTWriteRequest(
        address=link.number, handle=handle, data=data, response=response
    )
    if not response:
        _check_command(link, data)
        await link.command_in_turn(message, handle)
        return
    await link.request(message, BluetoothGATTWriteResponse, handle)


def max_command(mtu: int) -> int:
    """Return the bytes that fit into one write command: the MTU less opcode and handle."""
    return mtu - 3


def _check_command(link: Link, data: bytes) -> None:
    """Raise ValueError if `data` does not fit into one PDU: a proxy's stack would cut it."""
    if link.mtu is not None and len(data) > (most := max_command(link.mtu)):
        raise ValueError(
            f"{link.label}: a write without response has at most {most} bytes on this link "
            f"(MTU {link.mtu}), not {len(data)}; split it, or write with response"
        )


async def write_descriptor(link: Link, handle: int, data: bytes) -> None:
    """Write a descriptor, with response."""
    _check_length(data)
    await link.request(
        BluetoothGATTWriteDescriptorRequest(address=link.number, handle=handle, data=data),
        BluetoothGATTWriteResponse,
        handle,
    )


def _check_length(data: bytes) -> None:
    if len(data) > MAX_VALUE:
        raise ValueError(
            f"an attribute value has at most {MAX_VALUE} bytes, not {len(data)}; split it"
        )


async def start_notify(
    link: Link, characteristic: BleakGATTCharacteristic, callback: NotifyCallback
) -> None:
    """Register with the proxy, then tell the device through the CCCD, which is our job.

    A device without one, against the Core Specification (vol 3 G 3.3.3.3), notifies all the same.
    """
    handle = characteristic.handle
    where = f"{link.label}: characteristic {characteristic.uuid} (handle {handle})"
    if handle in link.subscriptions:
        raise BleakError(f"{where}: notifications are already on")
    properties = characteristic.properties
    if "notify" not in properties and "indicate" not in properties:
        raise BleakError(f"{where}: it can neither notify nor indicate")
    cccd = characteristic.get_descriptor(CCCD)
    # Data may arrive before the acknowledgement.
    link.subscriptions[handle] = callback
    try:
        await _register(link, handle, enable=True)
        if cccd:
            await write_descriptor(
                link, cccd.handle, CCCD_NOTIFY if "notify" in properties else CCCD_INDICATE
            )
    except BaseException:
        link.subscriptions.pop(handle, None)
        _unregister_without_waiting(link, handle)
        raise


async def stop_notify(link: Link, characteristic: BleakGATTCharacteristic) -> None:
    """Tell the device to stop, then the proxy."""
    handle = characteristic.handle
    if handle not in link.subscriptions:
        return
    cccd = characteristic.get_descriptor(CCCD)
    try:
        if cccd:
            await write_descriptor(link, cccd.handle, b"\x00\x00")
        await _register(link, handle, enable=False)
    except BaseException:
        _unregister_without_waiting(link, handle)
        raise
    finally:
        link.subscriptions.pop(handle, None)


async def _register(link: Link, handle: int, *, enable: bool) -> None:
    await link.request(
        BluetoothGATTNotifyRequest(address=link.number, handle=handle, enable=enable),
        BluetoothGATTNotifyResponse,
        handle,
    )


def _unregister_without_waiting(link: Link, handle: int) -> None:
    if not link.is_up:
        return
    try:
        link.command(
            BluetoothGATTNotifyRequest(address=link.number, handle=handle, enable=False), handle
        )
    except RadioUnavailableError as exc:
        _LOGGER.debug("%s: registration ends with the proxy: %s", link.label, exc)


async def pair(proxy: ConnectingProxy, link: Link) -> None:
    """Pair over a link that is up."""
    proxy.require(BluetoothProxyFeature.PAIRING, "pairing", "2024.3")
    answer = await link.request(
        _device_request(link, BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_PAIR),
        BluetoothDevicePairingResponse,
    )
    if not answer.paired:
        code = PairingStatus(answer.error)
        raise PairingError(
            f"{link.label}: not paired: {code}",
            kind=kind_of_pairing(code),
            code=code,
            source=proxy.name,
        )


async def unpair(proxy: ConnectingProxy, link: Link) -> None:
    """Make the proxy forget the bond."""
    proxy.require(BluetoothProxyFeature.PAIRING, "unpairing", "2024.3")
    answer = await _without_link(
        proxy,
        link,
        BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_UNPAIR,
        BluetoothDeviceUnpairingResponse,
    )
    removed = (
        answer.paired if isinstance(answer, BluetoothDevicePairingResponse) else answer.success
    )
    if not removed:
        code = PairingStatus(answer.error)
        raise PairingError(
            f"{link.label}: the bond was not removed: {code}", code=code, source=proxy.name
        )


async def clear_cache(proxy: ConnectingProxy, link: Link) -> bool:
    """Make the proxy forget the services."""
    # Without our subscription this request crashes the firmware of 2026.6.
    if not proxy.is_usable:
        return False
    if BluetoothProxyFeature.CACHE_CLEARING not in proxy.features:
        return True
    answer = await _without_link(
        proxy,
        link,
        BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE,
        BluetoothDeviceClearCacheResponse,
    )
    return bool(answer.success)


async def set_connection_params(
    proxy: ConnectingProxy,
    link: Link,
    min_interval: int,
    max_interval: int,
    latency: int,
    timeout: int,
) -> None:
    """Ask for other connection parameters."""
    parameters = ConnectionParameters(min_interval, max_interval, latency, timeout)
    proxy.require(
        BluetoothProxyFeature.CONNECTION_PARAMS_SETTING, "setting connection parameters", "2026.3"
    )
    answer = await link.request(
        BluetoothSetConnectionParamsRequest(
            address=link.number,
            min_interval=parameters.min_interval,
            max_interval=parameters.max_interval,
            latency=parameters.latency,
            timeout=parameters.timeout,
        ),
        BluetoothSetConnectionParamsResponse,
    )
    if answer.error:
        code = GattStatus(answer.error)
        raise LinkError(
            f"{link.label}: the proxy refused the connection parameters: {code}",
            kind=kind_of_status(code),
            code=code,
            source=proxy.name,
        )


def loose_link(proxy: ConnectingProxy, address: str) -> Link:
    """Return what stands in for a link in requests that need none."""
    return Link(proxy, address, mac_to_int(address), _ignore_down)


def _ignore_down(error: RadioError) -> None:
    """A link that was never ready has nobody to tell."""


async def _without_link(
    proxy: ConnectingProxy, link: Link, request_type: Any, reply: type[Any]
) -> Any:
    loose = proxy.dispatcher.loose
    link = loose.setdefault(link.number, link) if not link.is_up else link
    try:
        return await link.request(_device_request(link, request_type), reply, needs_link=False)
    finally:
        if not link.is_waited_for:
            proxy.dispatcher.remove_loose(link)
            link.stop_timer()


def _device_request(link: Link, request_type: Any) -> BluetoothDeviceRequest:
    return BluetoothDeviceRequest(address=link.number, request_type=request_type)
