"""What devices advertise: payloads as sensors send them, of which a part changes."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from proxyconn_proto import bluetooth_proxy_pb2 as pb

BATCH: Final = 16
"""Most advertisements in one message (ESPHome bluetooth_proxy.h)."""

MARKER: Final = 0xFFEEDDCCBBAA
"""Address of the device whose every advertisement changes, and which is alone in its message: it
ends what is measured."""

MARKER_TEXT: Final = "FF:EE:DD:CC:BB:AA"

_FIRST: Final = 0xC40000000000
"""Address of the first device; a random static one (Core Specification vol 6 B 1.3.2.1)."""

_FLAGS: Final = b"\x02\x01\x06"
_RSSI: Final = (-95, -40)


def _structure(kind: int, data: bytes) -> bytes:
    return bytes((len(data) + 1, kind)) + data


def _name(text: str) -> bytes:
    return _structure(0x09, text.encode())


def _bthome(number: int, count: int) -> bytes:
    """Flags, service data of 0xFCD2 with packet id, battery, temperature, humidity; a name."""
    values = struct.pack("<BBBBBBhBH", 0x40, 0, count & 0xFF, 1, 87, 2, count & 0x7FFF, 3, 4512)
    return _FLAGS + _structure(0x16, b"\xd2\xfc" + values) + _name(f"ATC_{number:06X}")


def _thermometer(number: int, count: int) -> bytes:
    """Flags, a name, a 16-bit service UUID; manufacturer data with the value and the battery."""
    data = struct.pack("<HB3sBB", 0xEC88, 0, count.to_bytes(3, "big"), 91, 0)
    return _FLAGS + _name(f"GVH_{number:04X}") + b"\x03\x03\x88\xec" + _structure(0xFF, data)


def _beacon_sensor(number: int, count: int) -> bytes:
    """Flags, service data of 0xFE95 with frame control, counter, address and one object."""
    frame = struct.pack("<HHB", 0x5058, 0x055B, count & 0xFF)
    frame += number.to_bytes(6, "little") + struct.pack("<HBh", 0x1004, 2, count & 0x7FFF)
    return _FLAGS + _structure(0x16, b"\x95\xfe" + frame) + _name("MJ_HT")


def _environment(number: int, count: int) -> bytes:
    """Flags, and manufacturer data that takes all the room."""
    data = struct.pack("<HBhHHhhhH", 0x0499, 5, count & 0x7FFF, 21000, 50000, 4, -4, 1036, 0x9DB6)
    data += struct.pack(">BH", 64, count & 0xFFFF) + number.to_bytes(6, "big")
    return _FLAGS + _structure(0xFF, data[:26])


def _gadget(number: int, count: int) -> bytes:
    """Flags, a 128-bit service UUID, and a little manufacturer data."""
    uuid = bytes.fromhex("102b6e1f7c0a0d9a3c4fa75201001f6d")
    return _FLAGS + _structure(0x07, uuid) + _structure(0xFF, struct.pack("<HI", 0x0969, count))


_KINDS: Final[tuple[Callable[[int, int], bytes], ...]] = (
    _bthome,
    _thermometer,
    _beacon_sensor,
    _environment,
    _gadget,
)


@dataclass(slots=True)
class Device:
    """One device that advertises."""

    number: int
    count: int = 0
    payload: bytes = b""

    @property
    def address(self) -> int:
        """Its address, most significant octet first."""
        return _FIRST + self.number

    def change(self) -> None:
        """Have something else to say."""
        self.count += 1
        self.payload = _KINDS[self.number % len(_KINDS)](self.number, self.count)


class Traffic:
    """The advertisements of some devices, in an order of chance.

    Args:
        devices: how many.
        changing: share of the advertisements, 0..1, that say something else than the device's last.
        seed: of the order, the changes and the signal strengths.
    """

    def __init__(self, devices: int, changing: float, seed: int = 0) -> None:
        self._random = random.Random(seed)
        self._changing = changing
        self._marks = 0
        self.devices = [Device(number) for number in range(devices)]
        for device in self.devices:
            device.change()
        self._turn: list[Device] = []

    def next_batch(self) -> pb.BluetoothLERawAdvertisementsResponse:
        """Return a full batch; every device advertises once before any does so again."""
        drawn = []
        for _ in range(BATCH):
            if not self._turn:
                self._turn = self._random.sample(self.devices, len(self.devices))
            device = self._turn.pop()
            self.maybe_change(device)
            drawn.append(device)
        return self.batch(drawn)

    def maybe_change(self, device: Device) -> None:
        """Let chance decide whether a device has something else to say."""
        if self._random.random() < self._changing:
            device.change()

    def batch(self, devices: Iterable[Device]) -> pb.BluetoothLERawAdvertisementsResponse:
        """Return a message with what devices say."""
        message = pb.BluetoothLERawAdvertisementsResponse()
        low, high = _RSSI
        draw = self._random.random
        for device in devices:
            message.advertisements.add(
                address=device.address,
                rssi=low + int(draw() * (high - low)),
                address_type=1,
                data=device.payload,
            )
        return message

    def mark(self) -> pb.BluetoothLERawAdvertisementsResponse:
        """Return the marker's message."""
        self._marks += 1
        data = _FLAGS + _structure(0xFF, struct.pack("<HI", 0xFFFF, self._marks))
        message = pb.BluetoothLERawAdvertisementsResponse()
        message.advertisements.add(address=MARKER, rssi=-50, address_type=1, data=data)
        return message
