"""Devices from the properties that BlueZ publishes. What has the wrong type is left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData

from proxyconn.advertised.fields import measured, once_each, plain_name
from proxyconn.radio import NO_RSSI_VALUE

RANDOM_ADDRESS = 1
"""Address type of a random address, as in HCI (Core Specification vol 4 E 7.7.65.2); public: 0."""

Properties = Mapping[str, Any]


def is_connected(properties: Properties | None) -> bool:
    """Whether BlueZ holds a link to the device."""
    return properties is not None and properties.get("Connected") is True


def address_of(properties: Properties) -> str | None:
    """Return the address, in upper case, or None if there is no usable one."""
    address = properties.get("Address")
    return address.upper() if isinstance(address, str) else None


def address_type_of(properties: Properties) -> int:
    """Return 0 for a public address and 1 for a random one."""
    return RANDOM_ADDRESS if properties.get("AddressType") == "random" else 0


def rssi_of(properties: Properties) -> int:
    """Return the signal strength in dBm, NO_RSSI_VALUE while the device is not heard."""
    return measured(_int(properties.get("RSSI"), NO_RSSI_VALUE))


def ble_device(path: str, properties: Properties) -> BLEDevice | None:
    """Return the device as bleak's scanner would make it; None without an address."""
    address = address_of(properties)
    if address is None:
        return None
    alias = properties.get("Alias")
    # BlueZ makes an alias of the address for a device that has told no name.
    named = isinstance(alias, str) and alias != address.replace(":", "-")
    return BLEDevice(
        address, plain_name(alias) if named else None, {"path": path, "props": dict(properties)}
    )


def advertisement(path: str, properties: Properties) -> AdvertisementData:
    """Return what BlueZ remembers of a device's advertisements."""
    name = properties.get("Name")
    uuids = properties.get("UUIDs")
    tx_power = properties.get("TxPower")
    return AdvertisementData(
        local_name=plain_name(name) if isinstance(name, str) else None,
        manufacturer_data=_bytes_map(properties.get("ManufacturerData"), int),
        service_data=_bytes_map(properties.get("ServiceData"), str),
        service_uuids=once_each(one for one in uuids if isinstance(one, str))
        if isinstance(uuids, list)
        else [],
        tx_power=_int(tx_power, 0) if tx_power is not None else None,
        rssi=rssi_of(properties),
        platform_data=(path, dict(properties)),
    )


def best_first(devices: Iterable[tuple[str, Properties]]) -> list[tuple[str, Properties]]:
    """Sort instances of one device on several adapters: connected first, then the strongest."""
    return sorted(devices, key=lambda one: (not is_connected(one[1]), -rssi_of(one[1])))


def _int(value: object, default: int) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else default


def _bytes_map(value: object, key_type: type) -> dict[Any, bytes]:
    if not isinstance(value, dict):
        return {}
    return {
        key: bytes(data)
        for key, data in value.items()
        if isinstance(key, key_type) and isinstance(data, bytes | bytearray)
    }
