"""What a virtual proxy asks of the radio under it.

Two radios fulfil it: `simulated` (cheap, scripted, seeded) and `bumble` (real ATT between Bumble
controllers). The proxy above decides slots, message order and replies; a radio only hears, connects
and moves attribute values.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

from proxyconn_virtual.advertising import Advertising


@dataclass(frozen=True, slots=True)
class Heard:
    """One advertising report.

    Attributes:
        address: 48-bit device address, first octet most significant.
        address_type: 0 public, 1 random, 2 RPA-public, 3 RPA-random (Core vol 4 E 7.7.65.2).
        rssi: dBm.
        data: advertising data followed at once by the scan response, at most 62 bytes; up to 1650
            if extended.
        extended: whether it came as extended advertising, which not every proxy hears.
    """

    address: int
    address_type: int
    rssi: int
    data: bytes
    extended: bool = False


@dataclass(frozen=True, slots=True)
class Descriptor:
    """A descriptor as GATT discovery finds it; `uuid` is a 128-bit UUID in canonical text."""

    uuid: str
    handle: int


@dataclass(frozen=True, slots=True)
class Characteristic:
    """A characteristic; `handle` is its value handle, `properties` the GATT bit field."""

    uuid: str
    handle: int
    properties: int
    descriptors: tuple[Descriptor, ...] = ()


@dataclass(frozen=True, slots=True)
class Service:
    """A primary service; `handle` is its start handle."""

    uuid: str
    handle: int
    characteristics: tuple[Characteristic, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class LinkParameters:
    """Connection parameters: intervals in 1.25 ms, latency in events, timeout in 10 ms."""

    min_interval: int
    max_interval: int
    latency: int
    timeout: int


class OpenError(Exception):
    """No link was opened; `reason` is what OPEN_EVT would carry (HCI reason, 133 or 256)."""

    def __init__(self, reason: int) -> None:
        super().__init__(reason)
        self.reason = reason

    def __str__(self) -> str:
        return f"open failed with reason {self.reason:#x}"


class AttError(Exception):
    """The attribute operation failed; `code` is an ATT code or an ESP_GATT_* status."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"ATT error {self.code:#x}"


class PairingError(Exception):
    """Pairing failed; `code` is what a proxy reports (78 + an SMP-like index)."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code

    def __str__(self) -> str:
        return f"pairing failed with code {self.code}"


class RadioLink(Protocol):
    """An open link to one peripheral. Every coroutine may be cancelled at any await."""

    on_notify: Callable[[int, bytes], None] | None
    """Called with (value handle, value) for every notification and indication received."""

    on_disconnect: Callable[[int], None] | None
    """Called once with the HCI reason when the link drops, whoever dropped it."""

    on_security_request: Callable[[], None] | None
    """Called when the peripheral asks for encryption by itself."""

    async def exchange_mtu(self) -> int:
        """Return the negotiated ATT MTU in bytes. Raises AttError if it cannot be asked for."""
        ...

    async def discover(self) -> tuple[Service, ...]:
        """Return the whole GATT table, in handle order. Raises AttError."""
        ...

    async def read(self, handle: int) -> bytes:
        """Read a characteristic value or a descriptor. Raises AttError."""
        ...

    async def write(self, handle: int, value: bytes, *, response: bool) -> None:
        """Write a characteristic value or a descriptor. Raises AttError."""
        ...

    async def pair(self) -> None:
        """Pair (Just Works). Raises PairingError."""
        ...

    async def update_parameters(self, parameters: LinkParameters) -> None:
        """Ask for other connection parameters; returns when the request is issued."""
        ...

    async def close(self) -> None:
        """Drop the link from this side (reason 0x16); idempotent."""
        ...


class Radio(Protocol):
    """The radio of one virtual proxy."""

    async def start(self) -> None:
        """Power on."""
        ...

    async def stop(self) -> None:
        """Power off: drops every link and stops scanning; idempotent."""
        ...

    def start_scan(self, on_heard: Callable[[Heard], None], *, active: bool) -> None:
        """Begin to report advertisements; the scan response is appended when `active`."""
        ...

    def stop_scan(self) -> None:
        """Stop reporting; idempotent."""
        ...

    async def connect(self, address: int, address_type: int) -> RadioLink:
        """Open a link. Raises OpenError; never ends by itself for a device that never answers."""
        ...

    async def remove_bond(self, address: int) -> bool:
        """Forget the bond; False if there was none."""
        ...


class Air(Protocol):
    """What the radios of a fleet have in common: the peripherals around them."""

    async def start(self) -> None:
        """Let the peripherals live."""
        ...

    async def stop(self) -> None:
        """End them, and every link; idempotent."""
        ...

    def radio(self, proxy_name: str) -> Radio:
        """Return the radio of a proxy; the same one for the same name."""
        ...

    def advertise(self, address: str, advertising: Advertising) -> None:
        """Have a peripheral say something else from now on. Raises KeyError if there is none."""
        ...

    def address_now(self, address: str) -> str:
        """Return the address by which a peripheral is heard now. Raises KeyError."""
        ...

    def notify(self, address: str, uuid: str | int, value: bytes) -> bool:
        """Notify a characteristic's value; False if nobody has subscribed. Raises KeyError."""
        ...

    def drop_link(self, address: str) -> bool:
        """Drop the link of a peripheral from its side; False if it has none. Raises KeyError."""
        ...

    def is_connected(self, address: str) -> bool:
        """Whether a peripheral has a link to any radio. Raises KeyError."""
        ...
