"""What commands show, as JSON-able values; the tables are made of the same."""

from __future__ import annotations

from math import isfinite

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice

from proxyconn import Fleet
from proxyconn.cli.fleet_session import problem_of
from proxyconn.cli.output import value_text
from proxyconn.radio import Radio
from proxyconn.watch.rows import (
    Row,
    characteristic_row,
    path_row,
    radio_row,
    said_row,
    service_rows,
    slots_row,
)

__all__ = [
    "Row",
    "characteristic_row",
    "device_row",
    "path_row",
    "proxy_row",
    "service_rows",
    "slots_row",
    "value_row",
]


def proxy_row(radio: Radio) -> Row:
    """Return a proxy and how it is doing."""
    details = radio.diagnostics()
    holder = (details.get("subscription") or {}).get("holder")
    return {**radio_row(radio, details), "problem": problem_of(radio), "holder": holder}


def device_row(fleet: Fleet, device: BLEDevice) -> Row:
    """Return a device, and every proxy that hears it, the loudest first."""
    # A radio that is required is a path, though it may never have heard the device.
    paths = [path for path in fleet.paths(device.address) if isfinite(path.age)]
    heard = sorted(paths, key=lambda path: -path.rssi)
    said = said_row(fleet.advertisement(device.address))
    return {
        "address": device.address,
        "name": device.name,
        "rssi": heard[0].rssi if heard else None,
        "age": round(min(path.age for path in heard), 3) if heard else None,
        "paths": [
            {"source": path.source, "rssi": path.rssi, "age": round(path.age, 3)} for path in heard
        ],
        "service_uuids": said["service_uuids"],
        "manufacturer_data": said["manufacturer_data"],
    }


def value_row(characteristic: BleakGATTCharacteristic, value: bytes) -> Row:
    """Return a value of a characteristic."""
    return {
        **characteristic_row(characteristic),
        "hex": value.hex(),
        "text": value_text(value),
    }
