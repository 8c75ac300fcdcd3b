"""The GATT table of a device, as a message and back."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import msgspec
from bleak.assigned_numbers import CHARACTERISTIC_PROPERTIES
from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.backends.service import BleakGATTService, BleakGATTServiceCollection

from proxyconn.radio import ServiceTable


class Characteristic(msgspec.Struct, frozen=True, array_like=True):
    """A characteristic; `handle` is that of its value, descriptors are handles and UUIDs."""

    handle: int
    uuid: str
    properties: tuple[str, ...]
    descriptors: tuple[tuple[int, str], ...] = ()


class Service(msgspec.Struct, frozen=True, array_like=True):
    """A service."""

    handle: int
    uuid: str
    characteristics: tuple[Characteristic, ...] = ()


def told_services(services: BleakGATTServiceCollection | None) -> tuple[Service, ...]:
    """Return a table as it is told."""
    return tuple(
        Service(
            service.handle,
            service.uuid,
            tuple(
                Characteristic(
                    one.handle,
                    one.uuid,
                    tuple(one.properties),
                    tuple((each.handle, each.uuid) for each in one.descriptors),
                )
                for one in service.characteristics
            ),
        )
        for service in services or ()
    )


def service_collection(
    services: Iterable[Service], most_write: Callable[[], int]
) -> BleakGATTServiceCollection:
    """Return a table that was told.

    Args:
        services: the table.
        most_write: says how many bytes a write without response may have.

    Raises:
        BleakError: it has a handle twice.
    """
    collection = ServiceTable()
    for service in services:
        made = BleakGATTService(None, service.handle, service.uuid)
        collection.add_service(made)
        for told in service.characteristics:
            known = [name for name in told.properties if name in _PROPERTIES]
            one = BleakGATTCharacteristic(None, told.handle, told.uuid, known, most_write, made)
            collection.add_characteristic(one)
            for handle, uuid in told.descriptors:
                collection.add_descriptor(BleakGATTDescriptor(None, handle, uuid, one))
    return collection


_PROPERTIES = frozenset(CHARACTERISTIC_PROPERTIES.values())
