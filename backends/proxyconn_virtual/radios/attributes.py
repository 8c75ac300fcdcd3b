"""The GATT table of a simulated peripheral: handles, values and permissions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Final

from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
    uuid128,
)
from proxyconn_virtual.radio import Characteristic, Descriptor, Service

CCCD: Final = 0x2902
"""Client Characteristic Configuration descriptor."""

USER_DESCRIPTION: Final = 0x2901
"""Characteristic User Description descriptor."""

NOTIFYING: Final = Properties.NOTIFY | Properties.INDICATE
"""Properties of what a device sends by itself."""


@dataclass(frozen=True, slots=True)
class Attribute:
    """What a handle stands for: the value of a characteristic, or one of its descriptors.

    Attributes:
        spec: the characteristic.
        value_handle: the handle of its value.
        is_cccd: whether this is its CCCD.
        text: what a descriptor that only describes it reads as; None for any other attribute.
    """

    spec: CharacteristicSpec
    value_handle: int
    is_cccd: bool = False
    text: bytes | None = None


@dataclass(frozen=True, slots=True)
class AttributeTable:
    """The services as discovery finds them, and every handle that can be read or written."""

    services: tuple[Service, ...]
    attributes: Mapping[int, Attribute]


def _generic(peripheral: Peripheral) -> Sequence[ServiceSpec]:
    """Return the services that every device has."""
    return (
        ServiceSpec(
            0x1800,
            (
                CharacteristicSpec(0x2A00, value=peripheral.name.encode()),
                CharacteristicSpec(0x2A01, value=b"\0\0"),
            ),
        ),
        ServiceSpec(0x1801, (CharacteristicSpec(0x2A05, Properties.INDICATE),)),
    )


def attribute_table(peripheral: Peripheral) -> AttributeTable:
    """Number the attributes of a peripheral in order, from handle 1."""
    handles = count(1)
    attributes: dict[int, Attribute] = {}
    services = []
    for service in (*_generic(peripheral), *peripheral.services):
        start = next(handles)
        found = []
        for spec in service.characteristics:
            next(handles)
            value = next(handles)
            attributes[value] = Attribute(spec, value)
            descriptors = []
            if spec.properties & NOTIFYING and spec.cccd:
                cccd = next(handles)
                attributes[cccd] = Attribute(spec, value, is_cccd=True)
                descriptors.append(Descriptor(uuid128(CCCD), cccd))
            if spec.description is not None:
                described = next(handles)
                attributes[described] = Attribute(spec, value, text=spec.description.encode())
                descriptors.append(Descriptor(uuid128(USER_DESCRIPTION), described))
            found.append(
                Characteristic(uuid128(spec.uuid), value, int(spec.properties), tuple(descriptors))
            )
        services.append(Service(uuid128(service.uuid), start, tuple(found)))
    return AttributeTable(tuple(services), attributes)
