"""The peripherals of these tests, each made for one test."""

from __future__ import annotations

from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
    uuid128,
)

ADDRESS = "C4:00:00:00:00:01"
LEVEL = uuid128(0x2A19)
COMMAND = "6e400002-b5a3-f393-e0a9-e50e24dcca9e"
SECRET = uuid128(0x2A9F)
MEASUREMENT = uuid128(0x2A37)


def thermometer(address: str = ADDRESS, **rssi: int) -> Peripheral:
    """Return a peripheral with a characteristic of each manner; by default only hci0 hears it."""
    write = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
    characteristics = (
        CharacteristicSpec(LEVEL, value=b"\x64"),
        CharacteristicSpec(COMMAND, write | Properties.NOTIFY, on_write=lambda value: value[::-1]),
        CharacteristicSpec(SECRET, Properties.READ | write, value=b"hidden", encrypted=True),
        CharacteristicSpec(MEASUREMENT, Properties.NOTIFY, notify_every=0.05),
    )
    return Peripheral(
        address,
        "Thermometer",
        services=(ServiceSpec(0x180F, characteristics),),
        rssi=rssi or {"hci0": -48},
        interval=0.05,
        manufacturer_data={0x0059: b"\x01\x02"},
    )
