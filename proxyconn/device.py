"""What a BLEDevice tells about how it is reached."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bleak.backends.device import BLEDevice

from proxyconn.models import NO_RSSI_VALUE
from proxyconn.radio import route_of

BLUEZ_PATH_SHOWN = 15
"""Characters of a BlueZ object path that name the adapter: `/org/bluez/hci0`."""

ADDRESS_DIGITS = 12
"""Hexadecimal digits of a Bluetooth device address (48 bits)."""


def _details(device: BLEDevice) -> Mapping[str, Any]:
    return device.details if isinstance(device.details, Mapping) else {}


def device_source(device: BLEDevice) -> str | None:
    """Return the source tag of a device (a proxy's name), or None if it carries none."""
    return _details(device).get("source")


def device_path(device: BLEDevice) -> str | None:
    """Return the BlueZ object path of a device, or None if it carries none."""
    return _details(device).get("path")


def device_rssi(device: BLEDevice) -> int:
    """Return the signal strength of a device in dBm, NO_RSSI_VALUE if it is not known."""
    if route := route_of(device):
        return route.rssi()
    rssi = _details(device).get("props", {}).get("RSSI")
    return NO_RSSI_VALUE if rssi is None else int(rssi)


def ble_device_description(device: BLEDevice) -> str:
    """Return `<address> - <name> -> <path or source>` for a log line.

    The name is left out where it equals the address, the tail where the device carries neither a
    BlueZ path (cut to 15 characters) nor a source.
    """
    text = device.address
    if device.name != device.address:
        text = f"{text} - {device.name}"
    if path := device_path(device):
        return f"{text} -> {path[:BLUEZ_PATH_SHOWN]}"
    if source := device_source(device):
        return f"{text} -> {source}"
    return text


def is_address(text: str) -> bool:
    """Whether a text is a Bluetooth address: 12 hexadecimal digits, with or without separators."""
    digits = text.upper().replace(":", "").replace("-", "")
    return len(digits) == ADDRESS_DIGITS and set(digits) <= set("0123456789ABCDEF")


def colon_address(text: str) -> str:
    """Return a Bluetooth address in capitals and with colons; any other text in capitals."""
    if not is_address(text):
        return text.upper()
    digits = text.upper().replace(":", "").replace("-", "")
    return ":".join(digits[at : at + 2] for at in range(0, ADDRESS_DIGITS, 2))


def same_path(one: BLEDevice, other: BLEDevice) -> bool:
    """Whether two devices are the same one, reached the same way."""
    return (
        one.address == other.address
        and device_path(one) == device_path(other)
        and device_source(one) == device_source(other)
    )
