"""A virtual peripheral: its advertising, GATT table and manners, for either radio."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag
from uuid import UUID

BASE_UUID_SUFFIX = "-0000-1000-8000-00805f9b34fb"
"""Tail of a 16-bit UUID written as 128 bits (Core Specification vol 3 B 2.5.1)."""


class Properties(IntFlag):
    """GATT characteristic properties (Core Specification vol 3 G 3.3.1.1)."""

    READ = 0x02
    WRITE_WITHOUT_RESPONSE = 0x04
    WRITE = 0x08
    NOTIFY = 0x10
    INDICATE = 0x20


def uuid128(uuid: str | int) -> str:
    """Return a UUID (16-bit number, 4 hex digits or 36 characters) as 128-bit lower-case text."""
    if isinstance(uuid, int):
        return f"{uuid:08x}{BASE_UUID_SUFFIX}"
    return f"0000{uuid.lower()}{BASE_UUID_SUFFIX}" if len(uuid) == 4 else str(UUID(uuid))


@dataclass(slots=True)
class CharacteristicSpec:
    """A characteristic of a virtual peripheral.

    Attributes:
        uuid: 16-bit number, 4 hex digits or 128-bit text.
        properties: what GATT discovery reports.
        value: what a read returns, and what a write replaces.
        on_read: called for the value of each read instead of returning `value`.
        on_write: called with each value written; what it returns, if anything, is notified.
        notify_every: seconds between notifications while subscribed; None for none.
        notify_value: called with a count from 0 for each periodic notification.
        encrypted: reads and writes fail with ATT 0x05 until the link is paired.
    """

    uuid: str | int
    properties: Properties = Properties.READ
    value: bytes = b""
    on_read: Callable[[], bytes] | None = None
    on_write: Callable[[bytes], bytes | None] | None = None
    notify_every: float | None = None
    notify_value: Callable[[int], bytes] = field(default=lambda count: struct.pack("<I", count))
    encrypted: bool = False


@dataclass(slots=True)
class ServiceSpec:
    """A primary service of a virtual peripheral."""

    uuid: str | int
    characteristics: Sequence[CharacteristicSpec] = ()


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one attempt to open a link does.

    Attributes:
        reason: 0 for success, else the reason of the failed open (HCI reason, 133 or 256).
        after: seconds from the attempt to the outcome; None for the peripheral's own latency,
            `math.inf` for an attempt that never ends by itself.
        proxy: the only proxy this outcome applies to; None for any.
    """

    reason: int = 0
    after: float | None = None
    proxy: str | None = None


@dataclass(slots=True)
class Peripheral:
    """A virtual BLE peripheral.

    Attributes:
        address: six colon-separated hex octets.
        name: local name, put in the advertising data (at most 20 characters).
        services: GATT table besides Generic Access and Generic Attribute, which every device has.
        address_type: 0 public, 1 random static.
        rssi: dBm by proxy name; a proxy that is not named does not hear this peripheral.
        interval: seconds between advertising reports.
        manufacturer_data: company identifier -> data, put in the scan response.
        pairable: False makes pairing fail (code 85, pairing not supported by policy).
        latency: seconds to open a link.
        att_latency: seconds an attribute operation takes (the simulated radio only).
        loss: chance, 0..1, that an advertising report is not heard.
        outcomes: consumed one per attempt, in order; success once they are used up.
        mtu: largest ATT MTU it takes, bytes.
    """

    address: str
    name: str
    services: Sequence[ServiceSpec] = ()
    address_type: int = 1
    rssi: Mapping[str, int] = field(default_factory=dict)
    interval: float = 0.3
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    pairable: bool = True
    latency: float = 0.05
    att_latency: float = 0.005
    loss: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    mtu: int = 247

    @property
    def address_int(self) -> int:
        """The address as a 48-bit number, first octet most significant."""
        return int(self.address.replace(":", ""), 16)
