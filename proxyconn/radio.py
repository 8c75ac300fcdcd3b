"""What a way to reach devices must offer: the one module of the core that radios import.

A *radio* is one proxy or one local adapter. A *backend* brings radios of one sort into a fleet; it
is found by the entry point group `proxyconn.backends`. A *route* travels in a device's `details`
and says how that device is reached.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeVar, runtime_checkable

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from zeroconf.asyncio import AsyncZeroconf

from proxyconn._errors import (
    ErrorKind,
    GATTError,
    InvalidKeyError,
    LinkError,
    NotConnectedError,
    OutOfSlotsError,
    PairingError,
    RadioError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._ledger import SlotLedger
from proxyconn._models import (
    NO_RSSI_VALUE,
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    RadioState,
)
from proxyconn._object_paths import adapter_path, device_object_path, split_device_path
from proxyconn._params import ConnectionParameters
from proxyconn._slots import SlotQueue

__all__ = [
    "NO_RSSI_VALUE",
    "ROUTE",
    "AllocationChange",
    "AllocationChangeEvent",
    "Allocations",
    "Backend",
    "ConnectionParameters",
    "ErrorKind",
    "FleetOptions",
    "GATTError",
    "LinkError",
    "NotConnectedError",
    "OutOfSlotsError",
    "PairingError",
    "Proxy",
    "Radio",
    "RadioError",
    "RadioSink",
    "RadioState",
    "RadioUnavailableError",
    "Report",
    "Route",
    "SlotLedger",
    "SlotQueue",
    "UnsupportedError",
    "adapter_path",
    "device_object_path",
    "route_of",
    "split_device_path",
]

PayloadT = TypeVar("PayloadT")
PayloadT_co = TypeVar("PayloadT_co", covariant=True)

ROUTE = "route"
"""Key of the route in the `details` of a device that one of our radios found."""


class Route(Protocol):
    """How one device is reached."""

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """The class to pass as `BleakClient(..., backend=)`."""
        ...

    def rssi(self) -> int:
        """Signal strength of the best path in dBm; NO_RSSI_VALUE if it was not heard."""
        ...

    def allocations(self) -> Allocations | None:
        """The slot report of the radio that would be taken, if it makes any."""
        ...

    async def wait_for_slot(self, timeout: float) -> bool:
        """Wait until a radio that reaches the device has a free slot; False after `timeout` s."""
        ...


def route_of(device: object) -> Route | None:
    """Return the route that one of our radios put into a device, or None for any other device."""
    details = device.details if isinstance(device, BLEDevice) else None
    return details.get(ROUTE) if isinstance(details, Mapping) else None


KEY_BYTES = 32
"""Bytes of an encryption key (Noise_NNpsk0: a 32-byte pre-shared key)."""


def check_key(key: str | None, owner: str) -> None:
    """Raise InvalidKeyError unless `key`, if there is one, is base64 of 32 bytes."""
    if key is None:
        return
    try:
        length = len(b64decode(key, validate=True))
    except ValueError:
        length = 0
    if length != KEY_BYTES:
        # Most of a mistyped key is the key, and some tracebacks show local variables.
        del key
        raise InvalidKeyError(
            f"the encryption key for {owner} must be base64 of {KEY_BYTES} bytes "
            "(44 characters), as in the proxy's YAML under `api: encryption: key:`",
            source=owner,
        )


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is known without discovery.

    Attributes:
        host: host name or IP address.
        port: TCP port of the native API.
        noise_psk: base64 of the 32-byte encryption key; None for a proxy that does not encrypt.
        name: the node name it must have; None to accept any.

    Raises:
        InvalidKeyError: the key is not base64 of 32 bytes.
    """

    host: str
    port: int = 6053
    noise_psk: str | None = field(default=None, repr=False)
    name: str | None = None

    def __post_init__(self) -> None:
        check_key(self.noise_psk, self.name or self.host)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What a fleet asks of its backends.

    Attributes:
        proxies: proxies that are known.
        discover: whether to look for others by mDNS.
        noise_psk: one key for every discovered proxy, or name -> key.
        local_adapters: True for every adapter, or their names.
        zeroconf: an instance to use instead of one of the backend's own.
    """

    proxies: Sequence[Proxy] = ()
    discover: bool = True
    noise_psk: str | Mapping[str, str] | None = field(default=None, repr=False)
    local_adapters: bool | Sequence[str] = False
    zeroconf: AsyncZeroconf | None = None

    def __post_init__(self) -> None:
        if isinstance(self.noise_psk, Mapping):
            for name in self.noise_psk:
                check_key(self.noise_psk[name], name)
        else:
            check_key(self.noise_psk, "discovered proxies")

    def key_for(self, name: str) -> str | None:
        """Return the key of the discovered proxy called `name`."""
        if isinstance(self.noise_psk, Mapping):
            return self.noise_psk.get(name)
        return self.noise_psk


class Report(Protocol[PayloadT_co]):
    """One advertisement that a radio heard."""

    @property
    def address(self) -> int:
        """The device's address, 48 bits, first octet most significant."""
        ...

    @property
    def address_type(self) -> int:
        """0 public, 1 random, as in HCI (Core Specification vol 4 E 7.7.65.2)."""
        ...

    @property
    def rssi(self) -> int:
        """Signal strength in dBm."""
        ...

    @property
    def data(self) -> PayloadT_co:
        """What was said; the same payload twice in a row is parsed once."""
        ...


@runtime_checkable
class Radio(Protocol):
    """One proxy or one local adapter."""

    @property
    def name(self) -> str:
        """What people call it; unique within a fleet."""
        ...

    @property
    def state(self) -> RadioState:
        """How it is doing."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it is not ready, in one sentence; None if it is."""
        ...

    @property
    def connectable(self) -> bool:
        """Whether it can open links at all."""
        ...

    def allocations(self) -> Allocations | None:
        """Its connection slots as it reports them; None until it has."""
        ...

    def free_slots(self) -> int | None:
        """Slots that are neither taken nor promised to anybody; None if it reports none."""
        ...

    @property
    def connecting(self) -> int:
        """Attempts that occupy it now: most controllers open one link at a time."""
        ...

    def claim(self, address: str) -> bool:
        """Promise a slot to the next client for `address`, if one is free; never waits.

        False too while the radio still holds the last link to `address`. Whoever claims calls
        `release` in the end, whatever became of the client.
        """
        ...

    def release(self, address: str) -> None:
        """Give up a claim that no client has used up; harmless if there is none."""
        ...

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for `device` on this radio; `kwargs` are those of a bleak backend."""
        ...

    def diagnostics(self) -> dict[str, Any]:
        """Return its state as JSON-able values, without secrets."""
        ...


class RadioSink(Protocol):
    """Where radios report to."""

    def radio_added(self, radio: Radio) -> None:
        """A radio joined the fleet."""
        ...

    def radio_removed(self, radio: Radio) -> None:
        """A radio left for good."""
        ...

    def state_changed(self, radio: Radio) -> None:
        """The radio's state is another one now."""
        ...

    def heard(
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], AdvertisementData],
    ) -> None:
        """The radio heard devices.

        Args:
            radio: who heard them.
            reports: what was heard, in order.
            parse: makes bleak's form of a payload; the `rssi` in it does not count.
        """
        ...

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """The radio's slots or attempts are other ones now; `events` are the slots that changed."""
        ...


class Backend(Protocol):
    """Brings the radios of one sort into a fleet."""

    async def start(self) -> None:
        """Begin to look for radios; does not wait for any."""
        ...

    async def aclose(self) -> None:
        """Let every radio go; idempotent."""
        ...


BackendFactory = Callable[[FleetOptions, RadioSink], Backend | None]
"""An entry point of `proxyconn.backends`; returns None if the options ask nothing of it."""
