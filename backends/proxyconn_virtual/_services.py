"""GATT tables as the proxy sends them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, TypedDict
from uuid import UUID

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.peripheral import BASE_UUID_SUFFIX
from proxyconn_virtual.radio import Characteristic, Service

BATCH_BYTES: Final = 1360
"""Target size of one services message (ESPHome bluetooth_connection.cpp MAX_PACKET_SIZE)."""


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
    address: int, services: Sequence[Service], *, short: bool
) -> Iterator[pb.BluetoothGATTGetServicesResponse]:
    """Yield the services messages: whole services, and an oversized one goes alone.

    Args:
        address: 48-bit device address.
        services: the table, in handle order.
        short: send 16 and 32-bit UUIDs as such (client API 1.12 and later).
    """
    batch = pb.BluetoothGATTGetServicesResponse(address=address)
    for found in services:
        service = _service(found, short=short)
        if batch.services and batch.ByteSize() + service.ByteSize() > BATCH_BYTES:
            yield batch
            batch = pb.BluetoothGATTGetServicesResponse(address=address)
        batch.services.append(service)
    if batch.services:
        yield batch
