"""Encodes GATT tables as a proxy sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol, TypedDict
from uuid import UUID

from proxyconn_proto import bluetooth_proxy_pb2 as pb

BATCH_BYTES: Final = 1360
"""Target size of one services message (ESPHome bluetooth_connection.cpp MAX_PACKET_SIZE)."""

BASE_UUID_SUFFIX: Final = "-0000-1000-8000-00805f9b34fb"
"""What follows the first 32 bits of the Bluetooth base UUID (Core Specification vol 3 B 2.5.1)."""


class Attribute(Protocol):
    """A descriptor, and what characteristics and services have in common with one."""

    @property
    def uuid(self) -> str:
        """128-bit UUID in lower case."""
        ...

    @property
    def handle(self) -> int:
        """Attribute handle."""
        ...


class Characteristic(Attribute, Protocol):
    """A characteristic; `handle` is that of its value."""

    @property
    def properties(self) -> int:
        """Property bits (Core Specification vol 3 G 3.3.1.1)."""
        ...

    @property
    def descriptors(self) -> Sequence[Attribute]:
        """In handle order."""
        ...


class Service(Attribute, Protocol):
    """A primary service."""

    @property
    def characteristics(self) -> Sequence[Characteristic]:
        """In handle order."""
        ...


class _Uuid(TypedDict, total=False):
    uuid: list[int]
    short_uuid: int


def _uuid(text: str, *, short: bool) -> _Uuid:
    """Return the UUID fields: the short one for 16 and 32 bits, if the client knows it."""
    if short and text.endswith(BASE_UUID_SUFFIX):
        return {"short_uuid": int(text[:8], 16)}
    number = UUID(text).int
    return {"uuid": [number >> 64, number & 0xFFFFFFFFFFFFFFFF]}


def _characteristic(found: Characteristic, *, short: bool) -> pb.BluetoothGATTCharacteristic:
    return pb.BluetoothGATTCharacteristic(
        handle=found.handle,
        properties=found.properties,
        descriptors=[
            pb.BluetoothGATTDescriptor(handle=d.handle, **_uuid(d.uuid, short=short))
            for d in found.descriptors
        ],
        **_uuid(found.uuid, short=short),
    )


def _service(found: Service, *, short: bool) -> pb.BluetoothGATTService:
    return pb.BluetoothGATTService(
        handle=found.handle,
        characteristics=[_characteristic(c, short=short) for c in found.characteristics],
        **_uuid(found.uuid, short=short),
    )


def service_batches(
    address: int, services: Sequence[Service], *, short: bool, estimated: bool = False
) -> Iterator[pb.BluetoothGATTGetServicesResponse]:
    """Yield the services messages: whole services, and an oversized one goes alone.

    Args:
        address: 48-bit device address.
        services: the table, in handle order.
        short: send 16 and 32-bit UUIDs as such (client API 1.12 and later).
        estimated: a service must fit by an estimate too, which takes every UUID below it for one of
            128 bits and every characteristic to have one descriptor (ESPHome 2026.8).
    """
    batch = pb.BluetoothGATTGetServicesResponse(address=address)
    size = batch.ByteSize()
    for found in services:
        service = _service(found, short=short)
        needed = service.ByteSize() + estimated
        if estimated:
            room = max(needed, _estimate(found, short=short))
        else:
            room, size = needed, batch.ByteSize()
        if batch.services and size + room > BATCH_BYTES:
            yield batch
            batch = pb.BluetoothGATTGetServicesResponse(address=address)
            size = batch.ByteSize()
        batch.services.append(service)
        size += needed
    if batch.services:
        yield batch


def _estimate(service: Service, *, short: bool) -> int:
    """Return how many bytes the firmware thinks that a service takes."""
    return (10 if short else 25) + 60 * len(service.characteristics)
