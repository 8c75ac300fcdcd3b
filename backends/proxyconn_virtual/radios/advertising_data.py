"""What a virtual peripheral says by itself, if it was not told what to say."""

from __future__ import annotations

from bluetooth_data_tools import BLEGAPType

from proxyconn_virtual.advertising import MAX_LEGACY, Advertisement, Advertising, payload
from proxyconn_virtual.advertising.payloads import structure
from proxyconn_virtual.advertising.uuids import shortest
from proxyconn_virtual.peripheral import Peripheral

_GENERAL_DISCOVERABLE_LE_ONLY = 0x06


def advertising_of(peripheral: Peripheral) -> Advertising:
    """Return what a peripheral says.

    If it was not told: flags, name, service data, and the short UUIDs of its services as far as
    they fit; the manufacturer data in the scan response. Raises ValueError when they do not fit.
    """
    if peripheral.advertising is None:
        return _usual(peripheral)
    if not callable(peripheral.advertising) and not peripheral.advertising:
        raise ValueError(f"{peripheral.name!r} has no advertisement to send: give it one, or None")
    return peripheral.advertising


def _usual(peripheral: Peripheral) -> Advertisement:
    in_response = peripheral.name_in_response
    data = payload(
        flags=_GENERAL_DISCOVERABLE_LE_ONLY, name=None if in_response else peripheral.name
    )
    after = payload(service_data=peripheral.service_data)
    room = max(MAX_LEGACY - len(data) - len(after) - 2, 0) // 2 * 2
    uuids = (shortest(service.uuid) for service in peripheral.services)
    if listed := b"".join(uuid for uuid in uuids if len(uuid) == 2)[:room]:
        data += structure(BLEGAPType.TYPE_16BIT_SERVICE_UUID_MORE_AVAILABLE, listed)
    response = payload(
        name=peripheral.name if in_response else None,
        manufacturer_data=peripheral.manufacturer_data,
    )
    try:
        return Advertisement(data=data + after, scan_response=response)
    except ValueError as error:
        raise ValueError(
            f"{peripheral.name!r}: {error}; `advertising` decides what goes where"
        ) from None
