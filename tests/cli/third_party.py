"""Virtual devices for published programs, made after what those programs read and write."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec

ARANET, DESK, STRIP, SOLAR = (f"C4:00:00:00:00:1{number}" for number in range(4))
SOLAR_KEY = bytes(range(16))
STRIP_ANSWERS = "ffd4"

_NO_ANSWER = Properties.WRITE_WITHOUT_RESPONSE
_COMMAND = Properties.WRITE | _NO_ANSWER
_VICTRON, _SOLAR_MODEL, _SOLAR_CHARGER = 0x02E1, 0xA042, 0x01


def _heard(address: str, name: str, *services: ServiceSpec) -> Peripheral:
    return Peripheral(
        address, name, services, rssi={"kitchen": -55, "garage": -75}, interval=0.05, latency=0.02
    )


def _saf(number: str) -> str:
    return f"f0cd{number}-95da-4f4b-9ac8-aa55d312af0c"


@dataclass
class Aranet:
    """An Aranet4: carbon dioxide, temperature, pressure and humidity (aranet4 on PyPI).

    Attributes:
        minutes: its measuring interval.
    """

    minutes: int = 10

    def peripheral(self) -> Peripheral:
        """Return the device."""
        # ppm, 0.05 °C, 0.1 hPa, %, %, green, s, s
        readings = struct.pack("<HHHBBBHH", 612, 430, 10132, 41, 88, 1, 300, 17)
        measuring = ServiceSpec(
            0xFCE0,
            (
                CharacteristicSpec(_saf("3001"), value=readings),
                CharacteristicSpec(_saf("2001"), value=struct.pack("<H", 2016)),
                CharacteristicSpec(
                    _saf("2002"), on_read=lambda: struct.pack("<H", self.minutes * 60)
                ),
                CharacteristicSpec(_saf("1402"), Properties.WRITE, on_write=self._command),
            ),
        )
        information = ServiceSpec(0x180A, (CharacteristicSpec(0x2A26, value=b"v1.4.19"),))
        return _heard(ARANET, "Aranet4 1A2B3", measuring, information)

    def _command(self, command: bytes) -> None:
        if command[0] == 0x90:
            self.minutes = command[1]


def _linak(number: str) -> str:
    return f"99fa{number}-338a-1024-8a49-009c0215f78a"


@dataclass
class Desk:
    """A standing desk with a Linak controller (idasen on PyPI).

    Attributes:
        height: above its lowest position of 0.62 m, in 0.1 mm.
        awake: whether it was woken up.
    """

    height: int = 1000
    awake: bool = False
    _speed: int = 0

    def peripheral(self) -> Peripheral:
        """Return the device."""
        move = CharacteristicSpec(_linak("0031"), _COMMAND, on_write=self._approach)
        state = CharacteristicSpec(
            _linak("0021"),
            Properties.READ | Properties.NOTIFY,
            on_read=self._state,
            notify_every=0.05,
            notify_value=lambda count: struct.pack("<Hh", self.height + 100 * count, 0),
        )
        command = CharacteristicSpec(_linak("0002"), _COMMAND, on_write=self._command)
        return _heard(
            DESK,
            "Desk 1234",
            ServiceSpec(_linak("0001"), (command,)),
            ServiceSpec(_linak("0010"), (CharacteristicSpec(_linak("0011"), _COMMAND),)),
            ServiceSpec(_linak("0020"), (state,)),
            ServiceSpec(_linak("0030"), (move,)),
        )

    def _command(self, command: bytes) -> None:
        self.awake |= command == b"\xfe\x00"

    def _approach(self, target: bytes) -> None:
        (wanted,) = struct.unpack("<H", target)
        self._speed = max(-800, min(800, wanted - self.height))
        self.height += self._speed

    def _state(self) -> bytes:
        state = struct.pack("<Hh", self.height, self._speed)
        self._speed = 0
        return state


@dataclass
class Strip:
    """An LED strip of the Triones kind (led-ble on PyPI), which answers on another characteristic.

    Attributes:
        on: whether it shines.
        color: red, green and blue.
        answer: sends a notification of the characteristic STRIP_ANSWERS.
    """

    on: bool = False
    color: bytes = bytes(3)
    answer: Callable[[bytes], object] = field(default=lambda value: None)

    def peripheral(self) -> Peripheral:
        """Return the device."""
        control = CharacteristicSpec(0xFFD9, _NO_ANSWER, on_write=self._command)
        answers = CharacteristicSpec(STRIP_ANSWERS, Properties.NOTIFY)
        return _heard(
            STRIP,
            "Triones:C10511",
            ServiceSpec(0xFFD5, (control,)),
            ServiceSpec(0xFFD0, (answers,)),
        )

    def _command(self, command: bytes) -> None:
        match command[0]:
            case 0xEF:
                power = 0x23 if self.on else 0x24
                self.answer(bytes((0x66, 0x04, power, 0x41, 0x20, 1, *self.color, 0, 3, 0x99)))
            case 0xCC:
                self.on = command[1] == 0x23
            case 0x56:
                self.color = command[1:4]


def solar_charger() -> Peripheral:
    """Return a Victron solar charger, which says all it has to in its advertisements, encrypted."""
    # bulk, no error, 10 mV, 100 mA, 10 Wh, W, 100 mA
    said = struct.pack("<BBhhHHH", 3, 0, 1342, 75, 46, 103, 12)
    nonce = 0x1234
    # Counter mode, of which so short a message needs one block.
    cipher = Cipher(AES(SOLAR_KEY), ECB()).encryptor()
    stream = cipher.update(nonce.to_bytes(16, "little"))
    secret = bytes(one ^ other for one, other in zip(said, stream, strict=False))
    head = struct.pack("<HHBHB", 0x10, _SOLAR_MODEL, _SOLAR_CHARGER, nonce, SOLAR_KEY[0])
    peripheral = _heard(SOLAR, "SmartSolar")
    peripheral.manufacturer_data = {_VICTRON: head + secret}
    return peripheral
