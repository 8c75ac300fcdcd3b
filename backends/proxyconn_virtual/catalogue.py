"""A ready household of virtual peripherals."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Callable, Sequence
from typing import Final

from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec

NEAR: Final = -52
"""RSSI, dBm, in the same room."""

FAR: Final = -92
"""RSSI, dBm, below which a proxy does not hear a device at all."""

LOSS_PER_ROOM: Final = 16
"""dB lost for every room in between."""

BATTERY_SERVICE: Final = 0x180F
BATTERY_LEVEL: Final = 0x2A19
DEVICE_INFORMATION: Final = 0x180A
HEALTH_THERMOMETER: Final = 0x1809
TEMPERATURE_MEASUREMENT: Final = 0x2A1C
ENVIRONMENTAL_SENSING: Final = 0x181A
TEMPERATURE: Final = 0x2A6E
HUMIDITY: Final = 0x2A6F
HEART_RATE: Final = 0x180D
HEART_RATE_MEASUREMENT: Final = 0x2A37
BODY_SENSOR_LOCATION: Final = 0x2A38
WEIGHT_SCALE: Final = 0x181D
WEIGHT_MEASUREMENT: Final = 0x2A9D
IMMEDIATE_ALERT: Final = 0x1802
ALERT_LEVEL: Final = 0x2A06

LAMP_SERVICE: Final = "6d1f0001-52a7-4f3c-9d0a-0a7c1f6e2b10"
LAMP_STATE: Final = "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10"
"""One byte of brightness, 0 is off; every write is notified."""

LOCK_SERVICE: Final = "8b2e0001-7c15-4a4e-8f0b-3d9a5c417e22"
LOCK_STATE: Final = "8b2e0002-7c15-4a4e-8f0b-3d9a5c417e22"
"""0 unlocked, 1 locked; needs pairing, and every write is notified."""

BRUSH_SERVICE: Final = "a0f00001-1d8b-4c6a-9b57-64c1d2f0e833"
BRUSH_MODE: Final = "a0f00002-1d8b-4c6a-9b57-64c1d2f0e833"
BRUSH_PRESSURE: Final = "a0f00003-1d8b-4c6a-9b57-64c1d2f0e833"

TEST_COMPANY: Final = 0xFFFF
"""Company identifier set aside for tests (Bluetooth Assigned Numbers 7.1)."""

_READ_NOTIFY: Final = Properties.READ | Properties.NOTIFY
_SWITCH: Final = Properties.READ | Properties.WRITE | Properties.NOTIFY


def temperature_measurement(celsius: float) -> bytes:
    """Return a Temperature Measurement value, 0.1 °C steps (Health Thermometer Service 3.1)."""
    mantissa = round(celsius * 10) & 0xFFFFFF
    return b"\0" + mantissa.to_bytes(3, "little") + b"\xff"


def heart_rate_measurement(beats: int) -> bytes:
    """Return a Heart Rate Measurement value of 0..255 beats per minute (Heart Rate Service 3.1)."""
    return bytes((0, beats))


def weight_measurement(kilograms: float) -> bytes:
    """Return a Weight Measurement value, 5 g steps (Weight Scale Service 3.2)."""
    return b"\0" + struct.pack("<H", round(kilograms / 0.005))


def _battery(level: int) -> ServiceSpec:
    return ServiceSpec(
        BATTERY_SERVICE, (CharacteristicSpec(BATTERY_LEVEL, _READ_NOTIFY, bytes((level,))),)
    )


def _information(model: str) -> ServiceSpec:
    return ServiceSpec(
        DEVICE_INFORMATION,
        (
            CharacteristicSpec(0x2A29, value=b"Virtual"),
            CharacteristicSpec(0x2A24, value=model.encode()),
            CharacteristicSpec(0x2A26, value=b"1.0"),
        ),
    )


def _wave(middle: float, swing: float, period: int) -> Callable[[int], float]:
    return lambda count: middle + swing * math.sin(2 * math.pi * count / period)


def _thermometer() -> Sequence[ServiceSpec]:
    celsius = _wave(21.0, 1.5, 60)
    measurement = CharacteristicSpec(
        TEMPERATURE_MEASUREMENT,
        Properties.INDICATE | Properties.NOTIFY,
        notify_every=1.0,
        notify_value=lambda count: temperature_measurement(celsius(count)),
    )
    return (
        ServiceSpec(HEALTH_THERMOMETER, (measurement,)),
        _battery(88),
        _information("Thermometer"),
    )


def _climate() -> Sequence[ServiceSpec]:
    celsius = _wave(18.0, 4.0, 120)
    temperature = CharacteristicSpec(
        TEMPERATURE,
        _READ_NOTIFY,
        struct.pack("<h", 1800),
        notify_every=2.0,
        notify_value=lambda count: struct.pack("<h", round(celsius(count) * 100)),
    )
    humidity = CharacteristicSpec(HUMIDITY, _READ_NOTIFY, struct.pack("<H", 4550))
    return (ServiceSpec(ENVIRONMENTAL_SENSING, (temperature, humidity)), _battery(61))


def _strap() -> Sequence[ServiceSpec]:
    beats = _wave(95, 25, 600)
    measurement = CharacteristicSpec(
        HEART_RATE_MEASUREMENT,
        Properties.NOTIFY,
        notify_every=0.02,
        notify_value=lambda count: heart_rate_measurement(round(beats(count))),
    )
    location = CharacteristicSpec(BODY_SENSOR_LOCATION, value=b"\1")
    return (
        ServiceSpec(HEART_RATE, (measurement, location)),
        _battery(74),
        _information("Strap"),
    )


def _scale() -> Sequence[ServiceSpec]:
    measurement = CharacteristicSpec(
        WEIGHT_MEASUREMENT,
        Properties.INDICATE,
        notify_every=3.0,
        notify_value=lambda count: weight_measurement(70 + count % 5 * 0.1),
    )
    feature = CharacteristicSpec(0x2A9E, value=b"\0\0\0\0")
    return (ServiceSpec(WEIGHT_SCALE, (feature, measurement)), _information("Scale"))


def _lamp() -> Sequence[ServiceSpec]:
    properties = _SWITCH | Properties.WRITE_WITHOUT_RESPONSE
    state = CharacteristicSpec(LAMP_STATE, properties, b"\0", on_write=lambda value: value)
    return (ServiceSpec(LAMP_SERVICE, (state,)), _information("Lamp"))


def _lock() -> Sequence[ServiceSpec]:
    state = CharacteristicSpec(
        LOCK_STATE, _SWITCH, b"\1", on_write=lambda value: value, encrypted=True
    )
    return (ServiceSpec(LOCK_SERVICE, (state,)), _battery(52), _information("Lock"))


def _brush() -> Sequence[ServiceSpec]:
    mode = CharacteristicSpec(BRUSH_MODE, Properties.READ | Properties.WRITE, b"\1")
    pressure = CharacteristicSpec(
        BRUSH_PRESSURE,
        Properties.NOTIFY,
        notify_every=0.2,
        notify_value=lambda count: bytes((count * 7 % 100,)),
    )
    return (ServiceSpec(BRUSH_SERVICE, (mode, pressure)), _battery(33))


def _tag() -> Sequence[ServiceSpec]:
    alert = CharacteristicSpec(ALERT_LEVEL, Properties.WRITE_WITHOUT_RESPONSE)
    return (ServiceSpec(IMMEDIATE_ALERT, (alert,)), _battery(97))


def _button() -> Sequence[ServiceSpec]:
    return (_battery(15), _information("Button"))


_HOUSEHOLD: Final[Sequence[tuple[str, Callable[[], Sequence[ServiceSpec]], int]]] = (
    ("Thermometer", _thermometer, 0),
    ("Front door lock", _lock, 1),
    ("Lamp", _lamp, 1),
    ("Heart rate strap", _strap, 0),
    ("Scale", _scale, 2),
    ("Climate sensor", _climate, 1),
    ("Toothbrush", _brush, 2),
    ("Key tag", _tag, 2),
    ("Wall button", _button, 0),
    ("Cellar sensor", _climate, 2),
)
"""Name, services and room of each peripheral."""


def household(proxies: Sequence[str], seed: int = 0) -> list[Peripheral]:
    """Return ten different peripherals, spread over the rooms that the proxies stand in.

    Each is strongest at the proxy of its own room, and weaker by about 16 dB per room in the order
    of `proxies`; where that is below -92 dBm it is not heard. The same seed gives the same house.
    Raises ValueError without proxies.
    """
    if not proxies:
        raise ValueError("a household needs at least one proxy")
    rng = random.Random(seed)
    made = []
    for number, (name, services, room) in enumerate(_HOUSEHOLD, start=1):
        home = room % len(proxies)
        heard = {
            proxy: NEAR - LOSS_PER_ROOM * abs(index - home) - rng.randrange(8)
            for index, proxy in enumerate(proxies)
        }
        made.append(
            Peripheral(
                address=f"C4:00:00:00:00:{number:02X}",
                name=name,
                services=services(),
                rssi={proxy: rssi for proxy, rssi in heard.items() if rssi >= FAR},
                interval=rng.uniform(0.1, 0.5),
                manufacturer_data={TEST_COMPANY: bytes((number,))},
                mtu=rng.choice((23, 185, 247, 517)),
            )
        )
    return made
