"""Single things of a fleet as JSON-able values. Commands print the same."""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.scanner import AdvertisementData
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.radio import Radio
from proxyconn.routing.path_score import Path, score_parts

Row = dict[str, Any]


def slots_row(radio: Radio) -> Row | None:
    """Return the slots of a radio, or None if it has not reported any."""
    slots = radio.allocations()
    if slots is None:
        return None
    return {"limit": slots.slots, "free": slots.free, "allocated": slots.allocated}


def radio_row(radio: Radio, details: Mapping[str, Any]) -> Row:
    """Return a radio and how it is doing; `details` are its diagnostics."""
    scanner = (details.get("health") or {}).get("scanner") or {}
    return {
        "name": radio.name,
        "host": details.get("host"),
        "port": details.get("port"),
        "encrypted": details.get("encrypted"),
        "firmware": details.get("esphome_version"),
        "state": str(radio.state),
        "problem": radio.problem,
        "connectable": radio.connectable,
        "scan_mode": scanner.get("mode"),
        "configured_scan_mode": scanner.get("configured_mode"),
        "slots": slots_row(radio),
    }


def said_row(advertisement: AdvertisementData | None) -> Row:
    """Return what a device says."""
    if advertisement is None:
        return {"service_uuids": [], "manufacturer_data": {}, "service_data": {}, "tx_power": None}
    return {
        "service_uuids": advertisement.service_uuids,
        "manufacturer_data": {
            f"{company:#06x}": data.hex()
            for company, data in advertisement.manufacturer_data.items()
        },
        "service_data": {uuid: data.hex() for uuid, data in advertisement.service_data.items()},
        "tx_power": advertisement.tx_power,
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
