"""A virtual peripheral: its advertising, GATT table and manners, for either radio."""

from __future__ import annotations

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntFlag

from proxyconn_virtual.advertising import Advertising, PrivateAddress
from proxyconn_virtual.advertising import uuid128 as uuid128


class Properties(IntFlag):
    """GATT characteristic properties (Core Specification vol 3 G 3.3.1.1)."""

    READ = 0x02
    WRITE_WITHOUT_RESPONSE = 0x04
    WRITE = 0x08
    NOTIFY = 0x10
    INDICATE = 0x20


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
        cccd: False for one that notifies whoever is connected, and has no descriptor to say so, as
            cheap devices do (the simulated radio only).
        description: text of its user description (0x2901); None for none (the simulated radio
            only).
    """

    uuid: str | int
    properties: Properties = Properties.READ
    value: bytes = b""
    on_read: Callable[[], bytes] | None = None
    on_write: Callable[[bytes], bytes | None] | None = None
    notify_every: float | None = None
    notify_value: Callable[[int], bytes] = field(default=lambda count: struct.pack("<I", count))
    encrypted: bool = False
    cccd: bool = True
    description: str | None = None


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
        name_in_response: puts it in the scan response instead, as many sensors do.
        services: GATT table besides Generic Access and Generic Attribute, which every device has.
        address_type: 0 public, 1 random static.
        address_types: what a proxy takes for that, by its place, where it is something else; it
            reports that type, and connects only by it (the simulated radio only).
        rssi: dBm by the proxies' places, which are their names unless the spec says otherwise; a
            proxy that is not among them does not hear this peripheral.
        interval: seconds between advertising reports.
        manufacturer_data: company identifier -> data, put in the scan response.
        pairable: False makes pairing fail (code 85, pairing not supported by policy).
        latency: seconds to open a link.
        att_latency: seconds an attribute operation takes (the simulated radio only).
        loss: chance, 0..1, that an advertising report is not heard.
        outcomes: consumed one per attempt, in order; success once they are used up.
        mtu: largest ATT MTU it takes, bytes.
        service_data: UUID of a service -> data, put in the advertising data.
        advertising: all that it says, instead of name, services, manufacturer and service data: one
            thing, several in turns, or a function of how often it has advertised. What it says may
            be changed later by `advertise` of the radio's air.
        private_address: how it hides its address; None for one that shows it. It is then heard, and
            connected to, only by its private address of the moment, which is a random one (the
            simulated radio only).
    """

    address: str
    name: str
    services: Sequence[ServiceSpec] = ()
    address_type: int = 1
    address_types: Mapping[str, int] = field(default_factory=dict)
    rssi: Mapping[str, int] = field(default_factory=dict)
    interval: float = 0.3
    manufacturer_data: Mapping[int, bytes] = field(default_factory=dict)
    pairable: bool = True
    latency: float = 0.05
    att_latency: float = 0.005
    loss: float = 0.0
    outcomes: list[Outcome] = field(default_factory=list)
    mtu: int = 247
    name_in_response: bool = False
    service_data: Mapping[str | int, bytes] = field(default_factory=dict)
    advertising: Advertising | None = None
    private_address: PrivateAddress | None = None

    def address_type_at(self, place: str) -> int:
        """Return what the proxy at a place takes for the address type."""
        shown = self.address_type if self.private_address is None else 1
        return self.address_types.get(place, shown)

    @property
    def address_int(self) -> int:
        """The address as a 48-bit number, first octet most significant."""
        return int(self.address.replace(":", ""), 16)
