"""From the proxy's service messages to bleak's service collection."""

from __future__ import annotations

import base64
import logging
from collections.abc import Collection, Iterable
from typing import Any
from uuid import UUID

from bleak.assigned_numbers import CHARACTERISTIC_PROPERTIES
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection
from google.protobuf.message import DecodeError

from proxyconn.att import BASE_UUID_TAIL
from proxyconn.radio import ServiceTable
from proxyconn_esphome.link.services.gatt_cache import KnownDevice
from proxyconn_esphome.wire.messages import BluetoothGATTGetServicesResponse

_LOGGER = logging.getLogger(__name__)


def uuid_text(uuid: Collection[int], short_uuid: int) -> str:
    """Return a UUID as 128-bit text: a 16- or 32-bit number, or two 64-bit halves, high first."""
    if short_uuid:
        return f"{short_uuid:08x}{BASE_UUID_TAIL}"
    high, low = uuid
    return str(UUID(int=(high << 64) | low))


def service_collection(
    messages: Iterable[BluetoothGATTGetServicesResponse], known: KnownDevice
) -> BleakGATTServiceCollection:
    """Build the services of a device from the messages that describe them.

    Raises:
        ValueError: a message carries neither a short nor a whole UUID.
    """
    collection = ServiceTable()
    for service in (service for message in messages for service in message.services):
        bleak_service = BleakGATTService(
            None, service.handle, uuid_text(service.uuid, service.short_uuid)
        )
        collection.add_service(bleak_service)
        for characteristic in service.characteristics:
            bleak_characteristic = BleakGATTCharacteristic(
                None,
                characteristic.handle,
                uuid_text(characteristic.uuid, characteristic.short_uuid),
                [
                    name
                    for bit, name in CHARACTERISTIC_PROPERTIES.items()
                    if characteristic.properties & bit
                ],
                known.max_write_without_response,
                bleak_service,
            )
            collection.add_characteristic(bleak_characteristic)
            for descriptor in characteristic.descriptors:
                collection.add_descriptor(
                    BleakGATTDescriptor(
                        None,
                        descriptor.handle,
                        uuid_text(descriptor.uuid, descriptor.short_uuid),
                        bleak_characteristic,
                    )
                )
    return collection


def has_gaps(collection: BleakGATTServiceCollection) -> bool:
    """Return whether a whole service may be missing: handles are left out before a service.

    Most servers number their attributes from 1 on without a gap, but need not (Core Specification
    vol 3 F 3.2.2), so this is a reason for doubt and not an error. A service that is missing at the
    end cannot be seen.
    """
    free = 1
    for service in sorted(collection, key=lambda service: service.handle):
        if service.handle > free:
            return True
        handles = [service.handle]
        for characteristic in service.characteristics:
            handles.append(characteristic.handle)
            handles += [descriptor.handle for descriptor in characteristic.descriptors]
        free = max(handles) + 1
    return False


def is_part(collection: BleakGATTServiceCollection, known: BleakGATTServiceCollection) -> bool:
    """Return whether a table is what is known of the device, with services left out."""
    told = {(service.handle, service.uuid) for service in collection}
    return told < {(service.handle, service.uuid) for service in known}


def only_services(
    collection: BleakGATTServiceCollection, wanted: Collection[str]
) -> BleakGATTServiceCollection:
    """Return the part of a collection whose services have one of the `wanted` UUIDs."""
    part = ServiceTable()
    for service in collection:
        if service.uuid not in wanted:
            continue
        copy = BleakGATTService(service.obj, service.handle, service.uuid)
        part.add_service(copy)
        for characteristic in service.characteristics:
            part.add_characteristic(characteristic)
            for descriptor in characteristic.descriptors:
                part.descriptors[descriptor.handle] = descriptor
    return part


def recall(known: KnownDevice, remembered: Any) -> None:
    """Take what an earlier run knew of a device, if it can still be read."""
    try:
        told = tuple(base64.b64decode(text) for text in remembered["told"])
        messages = [BluetoothGATTGetServicesResponse.FromString(message) for message in told]
        known.mtu = remembered["mtu"]
        if messages:
            known.services, known.told = service_collection(messages, known), told
    except (KeyError, TypeError, ValueError, DecodeError) as exc:
        _LOGGER.debug("services of an earlier run cannot be read: %r", exc)
