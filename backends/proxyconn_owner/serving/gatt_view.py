"""A device's services as a proxy would have discovered them."""

from __future__ import annotations

from dataclasses import dataclass

from bleak.assigned_numbers import CHARACTERISTIC_PROPERTIES
from bleak.backends.service import BleakGATTServiceCollection

PROPERTY_BITS = {name: bit for bit, name in CHARACTERISTIC_PROPERTIES.items()}


@dataclass(frozen=True, slots=True)
class DescriptorView:
    """A descriptor."""

    uuid: str
    handle: int


@dataclass(frozen=True, slots=True)
class CharacteristicView:
    """A characteristic; `handle` is that of its value."""

    uuid: str
    handle: int
    properties: int
    descriptors: tuple[DescriptorView, ...]


@dataclass(frozen=True, slots=True)
class ServiceView:
    """A service."""

    uuid: str
    handle: int
    characteristics: tuple[CharacteristicView, ...]


def service_views(services: BleakGATTServiceCollection | None) -> list[ServiceView]:
    """Return services in handle order, with every bit of the properties."""
    views = [
        ServiceView(
            service.uuid,
            service.handle,
            tuple(
                CharacteristicView(
                    characteristic.uuid,
                    characteristic.handle,
                    sum(PROPERTY_BITS[name] for name in characteristic.properties),
                    tuple(
                        DescriptorView(descriptor.uuid, descriptor.handle)
                        for descriptor in characteristic.descriptors
                    ),
                )
                for characteristic in service.characteristics
            ),
        )
        for service in services or ()
    ]
    return sorted(views, key=lambda view: view.handle)
