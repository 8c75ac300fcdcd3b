"""What devices say, for people: names of companies and services, iBeacon, Eddystone, BTHome."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final
from uuid import UUID

from bleak.uuids import uuidstr_to_str

from proxyconn.extras import MissingExtraError
from proxyconn.watch.rows import Row
from proxyconn_web.extra import need

APPLE: Final = 0x004C
IBEACON: Final = b"\x02\x15"
EDDYSTONE: Final = "0000feaa-0000-1000-8000-00805f9b34fb"
BTHOME: Final = "0000fcd2-0000-1000-8000-00805f9b34fb"


def _companies() -> Mapping[int, str]:
    """Return the names of the companies, of none without the extra: a file of its own is read."""
    try:
        companies: Mapping[int, str] = need("bluetooth_numbers").company
    except MissingExtraError:
        return {}
    return companies


_COMPANIES: Final = _companies()

_URL_SCHEMES: Final = ("http://www.", "https://www.", "http://", "https://")
_URL_ENDS: Final = (".com", ".org", ".edu", ".net", ".info", ".biz", ".gov")

_BTHOME: Final[Mapping[int, tuple[str, int, bool, float, str]]] = {
    0x00: ("packet", 1, False, 1, ""),
    0x01: ("battery", 1, False, 1, "%"),
    0x02: ("temperature", 2, True, 0.01, "°C"),
    0x03: ("humidity", 2, False, 0.01, "%"),
    0x04: ("pressure", 3, False, 0.01, "hPa"),
    0x05: ("illuminance", 3, False, 0.01, "lx"),
    0x06: ("mass", 2, False, 0.01, "kg"),
    0x08: ("dew point", 2, True, 0.01, "°C"),
    0x09: ("count", 1, False, 1, ""),
    0x0A: ("energy", 3, False, 0.001, "kWh"),
    0x0B: ("power", 3, False, 0.01, "W"),
    0x0C: ("voltage", 2, False, 0.001, "V"),
    0x0D: ("PM2.5", 2, False, 1, "µg/m³"),
    0x0E: ("PM10", 2, False, 1, "µg/m³"),
    0x0F: ("generic", 1, False, 1, ""),
    0x10: ("power on", 1, False, 1, ""),
    0x11: ("opening", 1, False, 1, ""),
    0x12: ("CO2", 2, False, 1, "ppm"),
    0x13: ("TVOC", 2, False, 1, "µg/m³"),
    0x14: ("moisture", 2, False, 0.01, "%"),
    0x15: ("battery low", 1, False, 1, ""),
    0x1A: ("door", 1, False, 1, ""),
    0x21: ("motion", 1, False, 1, ""),
    0x23: ("occupancy", 1, False, 1, ""),
    0x2D: ("window", 1, False, 1, ""),
    0x2E: ("humidity", 1, False, 1, "%"),
    0x3A: ("button", 1, False, 1, ""),
    0x3F: ("rotation", 2, True, 0.1, "°"),
    0x40: ("distance", 2, False, 1, "mm"),
    0x43: ("current", 2, False, 0.001, "A"),
    0x45: ("temperature", 2, True, 0.1, "°C"),
    0x46: ("UV index", 1, False, 0.1, ""),
}
"""Object -> name, bytes, signed, factor and unit (bthome.io/format, version 2)."""


def decoded(said: Mapping[str, Any]) -> list[Row]:
    """Return what a device says, as `watch.rows.said_row` has it, with names and values."""
    rows: list[Row] = []
    for key, text in said["manufacturer_data"].items():
        company, data = int(key, 16), bytes.fromhex(text)
        row = {"format": "manufacturer data", "key": key, "name": company_name(company)}
        beacon = _ibeacon(data) if company == APPLE else None
        rows.append(row | ({"format": "iBeacon", "values": beacon} if beacon else _raw(data)))
    for key, text in said["service_data"].items():
        data = bytes.fromhex(text)
        row = {"format": "service data", "key": key, "name": service_name(key)}
        found = _SERVICES[key](data) if key in _SERVICES else None
        rows.append(row | ({"format": _FORMATS[key], "values": found} if found else _raw(data)))
    rows += (
        {"format": "service", "key": uuid, "name": service_name(uuid), "values": {}}
        for uuid in said["service_uuids"]
    )
    if said["tx_power"] is not None:
        power = {"dBm": said["tx_power"]}
        rows.append({"format": "transmit power", "key": "", "name": None, "values": power})
    return rows


def company_name(company: int) -> str | None:
    """Return the name that the Bluetooth SIG has for a company; None if it is not known."""
    name = _COMPANIES.get(company)
    return None if name is None else str(name)


def service_name(uuid: str) -> str | None:
    """Return the name of a service; None if it is not known."""
    name = uuidstr_to_str(uuid)
    return None if name in {"Unknown", "Vendor specific"} else name


def _raw(data: bytes) -> Row:
    return {"values": {"hex": data.hex(" ")}}


def _ibeacon(data: bytes) -> Row | None:
    if len(data) != 23 or data[:2] != IBEACON:
        return None
    major, minor, power = struct.unpack(">HHb", data[18:])
    return {
        "uuid": str(UUID(bytes=data[2:18])),
        "major": major,
        "minor": minor,
        "dBm at 1 m": power,
    }


def _eddystone(data: bytes) -> Row | None:
    if len(data) >= 18 and data[0] == 0x00:
        return {"namespace": data[2:12].hex(), "instance": data[12:18].hex()}
    if len(data) >= 3 and data[0] == 0x10 and data[2] < len(_URL_SCHEMES):
        return {"url": _URL_SCHEMES[data[2]] + "".join(map(_url_part, data[3:]))}
    if len(data) == 14 and data[:2] == b"\x20\x00":
        battery, temperature, packets, tenths = struct.unpack(">HhII", data[2:])
        return {
            "mV": battery,
            "°C": round(temperature / 256, 2),
            "packets": packets,
            "seconds up": tenths / 10,
        }
    return None


def _url_part(byte: int) -> str:
    if byte < 2 * len(_URL_ENDS):
        return _URL_ENDS[byte % len(_URL_ENDS)] + ("/" if byte < len(_URL_ENDS) else "")
    return chr(byte) if 0x20 < byte < 0x7F else "."


def _bthome(data: bytes) -> Row | None:
    if not data or data[0] >> 5 != 2:
        return None
    if data[0] & 1:
        return {"encrypted": "yes"}
    return dict(_bthome_values(data[1:]))


def _bthome_values(data: bytes) -> Iterator[tuple[str, str]]:
    """Yield values up to the first object whose length is not known."""
    while data:
        name, size, signed, factor, unit = _BTHOME.get(data[0], ("", 0, False, 1, ""))
        raw, data = data[1 : 1 + size], data[1 + size :]
        if not size or len(raw) < size:
            yield "more", (raw + data).hex(" ") or "cut off"
            return
        value = int.from_bytes(raw, "little", signed=signed) * factor
        yield name, f"{value:.6g} {unit}".strip()


_SERVICES: Final[Mapping[str, Callable[[bytes], Row | None]]] = {
    EDDYSTONE: _eddystone,
    BTHOME: _bthome,
}
_FORMATS: Final = {EDDYSTONE: "Eddystone", BTHOME: "BTHome"}
