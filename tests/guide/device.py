"""The device of the guide's examples."""

from __future__ import annotations

from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec

ADDRESS = "AA:BB:CC:DD:EE:FF"
NAME = "Switch"
SERVICE = "cba20d00-224d-11e6-9fb8-0002a5d5c51b"
CHARACTERISTIC = "cba20002-224d-11e6-9fb8-0002a5d5c51b"
BATTERY_SERVICE = "0000180f-0000-1000-8000-00805f9b34fb"
BATTERY_LEVEL = "00002a19-0000-1000-8000-00805f9b34fb"
LEVEL = 87

BATTERY = ServiceSpec(BATTERY_SERVICE, [CharacteristicSpec(BATTERY_LEVEL, value=bytes([LEVEL]))])
COMMANDS = ServiceSpec(SERVICE, [CharacteristicSpec(CHARACTERISTIC, Properties.WRITE)])
OLD_COMMANDS = ServiceSpec(SERVICE, [])
"""What the service was before an update gave it its characteristic."""


def switch(*services: ServiceSpec, **rssi: int) -> Peripheral:
    """Return the device, with these services instead of all; proxies or adapters hear it."""
    return Peripheral(
        ADDRESS,
        NAME,
        services=services or (BATTERY, COMMANDS),
        address_type=0,
        rssi=rssi,
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
    )
