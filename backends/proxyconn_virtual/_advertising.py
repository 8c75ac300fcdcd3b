"""Advertising data of a virtual peripheral (Core Specification Supplement part A)."""

from __future__ import annotations

import struct
from typing import Final

from proxyconn_virtual.peripheral import BASE_UUID_SUFFIX, Peripheral, uuid128

MAX_DATA: Final = 31
"""Bytes of legacy advertising data, and of a scan response."""

_FLAGS: Final = 0x01
_UUIDS_16: Final = 0x02
_NAME: Final = 0x09
_MANUFACTURER: Final = 0xFF
_GENERAL_DISCOVERABLE_LE_ONLY: Final = b"\x06"


def _structure(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 1, kind)) + data


def _short_uuids(peripheral: Peripheral) -> bytes:
    found = b""
    for service in peripheral.services:
        text = uuid128(service.uuid)
        if text.endswith(BASE_UUID_SUFFIX) and text.startswith("0000"):
            found += struct.pack("<H", int(text[4:8], 16))
    return found


def advertising_data(peripheral: Peripheral) -> tuple[bytes, bytes]:
    """Return the advertising data and the scan response, at most 31 bytes each.

    The service UUIDs go into the advertising data as far as they fit. Raises ValueError when the
    name or the manufacturer data do not fit.
    """
    data = _structure(_FLAGS, _GENERAL_DISCOVERABLE_LE_ONLY)
    data += _structure(_NAME, peripheral.name.encode())
    room = (MAX_DATA - len(data) - 2) // 2 * 2
    uuids = _short_uuids(peripheral)[: max(room, 0)]
    if uuids:
        data += _structure(_UUIDS_16, uuids)
    response = b"".join(
        _structure(_MANUFACTURER, struct.pack("<H", company) + content)
        for company, content in peripheral.manufacturer_data.items()
    )
    if max(len(data), len(response)) > MAX_DATA:
        raise ValueError(f"advertising of {peripheral.name!r} does not fit")
    return data, response
