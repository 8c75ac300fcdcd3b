"""What commands show, as JSON-able values; the tables are made of the same."""

from __future__ import annotations

from math import isfinite
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn import Fleet, Path
from proxyconn._paths import score_parts
from proxyconn.radio import Radio

from .output import value_text
from .session import problem_of

Row = dict[str, Any]


def proxy_row(radio: Radio) -> Row:
    """Return a proxy and how it is doing."""
    details = radio.diagnostics()
    return {
        "name": radio.name,
        "host": details.get("host"),
        "port": details.get("port"),
        "encrypted": details.get("encrypted"),
        "firmware": details.get("esphome_version"),
        "state": str(radio.state),
        "problem": problem_of(radio),
        "connectable": radio.connectable,
        "slots": slots_row(radio),
    }


def slots_row(radio: Radio) -> Row | None:
    """Return the slots of a proxy, or None if it has not reported any."""
    slots = radio.allocations()
    if slots is None:
        return None
    return {"limit": slots.slots, "free": slots.free, "allocated": slots.allocated}


def device_row(fleet: Fleet, device: BLEDevice) -> Row:
    """Return a device, and every proxy that hears it, the loudest first."""
    # A radio that is required is a path, though it may never have heard the device.
    paths = [path for path in fleet.paths(device.address) if isfinite(path.age)]
    heard = sorted(paths, key=lambda path: -path.rssi)
    advertisement = fleet.advertisement(device.address)
    return {
        "address": device.address,
        "name": device.name,
        "rssi": heard[0].rssi if heard else None,
        "age": round(min(path.age for path in heard), 3) if heard else None,
        "paths": [
            {"source": path.source, "rssi": path.rssi, "age": round(path.age, 3)} for path in heard
        ],
        "service_uuids": advertisement.service_uuids if advertisement else [],
        "manufacturer_data": {
            f"{company:#06x}": data.hex()
            for company, data in (advertisement.manufacturer_data if advertisement else {}).items()
        },
    }


def path_row(path: Path) -> Row:
    """Return a path to a device, its score and what the score is made of."""
    return {
        "source": path.source,
        "usable": path.usable,
        "obstacle": path.obstacle,
        "score": round(path.score, 1),
        "parts": {part.reason: round(part.db, 1) for part in score_parts(path)},
        "rssi": path.rssi,
        "age": round(path.age, 3) if isfinite(path.age) else None,
        "state": str(path.state),
        "slots": path.slots,
        "free": path.free,
        "connecting": path.connecting,
        "failures": round(path.failures, 2),
        "radio_failures": round(path.radio_failures, 2),
        "pin": str(path.pin),
    }


def service_rows(services: BleakGATTServiceCollection) -> list[Row]:
    """Return a GATT table."""
    return [
        {
            "uuid": service.uuid,
            "handle": service.handle,
            "name": service.description,
            "characteristics": [
                {
                    **characteristic_row(characteristic),
                    "properties": characteristic.properties,
                    "descriptors": [
                        {"uuid": one.uuid, "handle": one.handle, "name": one.description}
                        for one in characteristic.descriptors
                    ],
                }
                for characteristic in service.characteristics
            ],
        }
        for service in services
    ]


def characteristic_row(characteristic: BleakGATTCharacteristic) -> Row:
    """Return what a characteristic is called."""
    return {
        "uuid": characteristic.uuid,
        "handle": characteristic.handle,
        "name": characteristic.description,
    }


def value_row(characteristic: BleakGATTCharacteristic, value: bytes) -> Row:
    """Return a value of a characteristic."""
    return {
        **characteristic_row(characteristic),
        "hex": value.hex(),
        "text": value_text(value),
    }
