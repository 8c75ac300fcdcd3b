"""Object paths of BlueZ, which name an adapter and a device: `/org/bluez/hci0/dev_C4_00_…`.

Source: BlueZ doc/org.bluez.Adapter.rst and doc/org.bluez.Device.rst, "Object path".
"""

from __future__ import annotations

import re

_DEVICE = re.compile(
    r"/org/bluez/(?P<adapter>[^/]+)/dev_(?P<address>[0-9A-Fa-f]{2}(_[0-9A-Fa-f]{2}){5})"
)


def adapter_path(adapter: str) -> str:
    """Return the object path of an adapter (`hciN`)."""
    return f"/org/bluez/{adapter}"


def device_object_path(adapter: str, address: str) -> str:
    """Return the object path of a device on an adapter."""
    return f"{adapter_path(adapter)}/dev_{address.upper().replace(':', '_')}"


def split_device_path(path: str) -> tuple[str, str] | None:
    """Return the adapter's name and the device's address, or None for any other path."""
    match = _DEVICE.fullmatch(path)
    return (match["adapter"], match["address"].replace("_", ":").upper()) if match else None
