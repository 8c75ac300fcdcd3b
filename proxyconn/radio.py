"""What a way to reach devices must offer: what radios import, with `advertised` and `att`.

A *radio* is one proxy or one local adapter. A *backend* brings radios of one sort into a fleet; it
is found by the entry point group `proxyconn.backends`. A *route* travels in a device's `details`
and says how that device is reached.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, runtime_checkable

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn.absent_radio import AbsentRadio
from proxyconn.advertised.fields import Fields
from proxyconn.callbacks import Callbacks, call_guarded
from proxyconn.connection_parameters import ConnectionParameters
from proxyconn.errors import (
    Code,
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    OutOfSlotsError,
    PairingError,
    RadioError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.keys import check_key
from proxyconn.linked_client import LinkedClient
from proxyconn.models import (
    NO_RSSI_VALUE,
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    Finding,
    Level,
    RadioState,
    ScanMode,
    Subscribe,
    scan_mode,
)
from proxyconn.neighbours import Neighbours, RadioOwner, ScanWish, Surroundings
from proxyconn.object_paths import adapter_path, device_object_path, split_device_path
from proxyconn.radio_features import (
    IdentifiedRadio,
    KeepsLinks,
    Offer,
    OffersLinks,
    ScanModeRadio,
    SharedRadio,
    TellsAbsence,
    identity_of,
)
from proxyconn.radio_names import RadioName, entry_for, mac_text, tell_apart
from proxyconn.service_table import ServiceTable
from proxyconn.shared_route import SharedRoute
from proxyconn.slots.ledger import SlotLedger
from proxyconn.slots.waiting import SlotQueue
from proxyconn.state.facts import Memory, NoMemory
from proxyconn.state.held_links import HeldLinks, Whose
from proxyconn.state.subscribers import Subscribers
from proxyconn.tenure import Candidate, Tenure

if TYPE_CHECKING:
    # A fleet that looks for nothing does without it, and importing it takes long.
    from zeroconf.asyncio import AsyncZeroconf

__all__ = [
    "NO_RSSI_VALUE",
    "ROUTE",
    "AbsentRadio",
    "AllocationChange",
    "AllocationChangeEvent",
    "Allocations",
    "Backend",
    "Callbacks",
    "Candidate",
    "Checks",
    "Code",
    "ConnectionParameters",
    "ErrorKind",
    "Fields",
    "Finding",
    "FleetOptions",
    "GATTError",
    "HeldLinks",
    "IdentifiedRadio",
    "KeepsLinks",
    "Level",
    "LinkError",
    "LinkedClient",
    "Memory",
    "Neighbours",
    "NoMemory",
    "NotConnectedError",
    "Offer",
    "OffersLinks",
    "OutOfSlotsError",
    "PairingError",
    "Proxy",
    "Radio",
    "RadioError",
    "RadioName",
    "RadioOwner",
    "RadioSink",
    "RadioState",
    "RadioUnavailableError",
    "Report",
    "Route",
    "ScanMode",
    "ScanModeRadio",
    "ScanWish",
    "ServiceTable",
    "SharedRadio",
    "SharedRoute",
    "SlotLedger",
    "SlotQueue",
    "Subscribe",
    "Subscribers",
    "Surroundings",
    "TellsAbsence",
    "Tenure",
    "UnsupportedError",
    "Whose",
    "adapter_path",
    "call_guarded",
    "device_object_path",
    "identity_of",
    "mac_text",
    "route_of",
    "scan_mode",
    "split_device_path",
    "tell_apart",
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


@dataclass(frozen=True, slots=True)
class Proxy:
    """A proxy that is known without discovery.

    Attributes:
        host: host name or IP address.
        port: TCP port of the native API; 0 for one that is not called, but calls by itself.
        noise_psk: base64 of the 32-byte encryption key; None for a proxy that does not encrypt.
        name: the node name it must have; None to accept any.
        behind: host and port where it really is, for a proxy that an owner lends; else None.
        scan: how it scans, whatever the others do: active, passive or auto; None as the fleet does.
        password: what it wants to hear before it serves anybody: firmware up to 2025.12 may be so
            configured; None for nothing. Without a key it goes over the network in the clear.

    Raises:
        InvalidKeyError: the key is not base64 of 32 bytes.
        ValueError: `scan` is no mode.
    """

    host: str
    port: int = 6053
    noise_psk: str | None = field(default=None, repr=False)
    name: str | None = None
    password: str | None = field(default=None, repr=False)
    behind: tuple[str, int] | None = None
    # Another mode makes no other proxy of it: its links stay.
    scan: ScanMode | str | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        check_key(self.noise_psk, self.name or self.host)
        scan_mode(self.scan)


@dataclass(frozen=True, slots=True)
class FleetOptions:
    """What a fleet asks of its backends.

    Attributes:
        proxies: proxies that are known.
        discover: whether to look for others by mDNS.
        noise_psk: one key for every discovered proxy, or name or MAC address -> key.
        local_adapters: True for every adapter, or their names.
        zeroconf: an instance to use instead of one of the backend's own.
        listen: TCP port on which proxies are awaited that call by themselves; None for no such.
        state: what is remembered; backends keep there what a restart must not lose.
        subscribe: whether to ask proxies for their subscription; NEVER lets adapters not scan.
        warns: whether to warn before a proxy is taken that another client may use.
        direct: whether to pass over proxies that are found and that an owner only lends.
        cluster: where the fleets are that share their radios with this one: a URL, or what the
            backend for it takes; for checks, the table of the configuration; None for none.
        tenure: says which proxies are ours to use; None for all of them.
    """

    proxies: Sequence[Proxy] = ()
    discover: bool = True
    noise_psk: str | Mapping[str, str] | None = field(default=None, repr=False)
    local_adapters: bool | Sequence[str] = False
    zeroconf: AsyncZeroconf | None = None
    listen: int | None = None
    state: Memory = field(default_factory=NoMemory, repr=False, compare=False)
    subscribe: Subscribe = Subscribe.ALWAYS
    warns: bool = False
    direct: bool = False
    cluster: object | None = None
    tenure: Tenure | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        if isinstance(self.noise_psk, Mapping):
            for name in self.noise_psk:
                check_key(self.noise_psk[name], name)
        else:
            check_key(self.noise_psk, "discovered proxies")

    def key_for(self, name: str, mac: str | None = None) -> str | None:
        """Return the key of the discovered proxy with this name and 12 lower-case hex digits."""
        if isinstance(self.noise_psk, Mapping):
            return entry_for(self.noise_psk, name, mac)
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
        """The radio's state, or what it is called, is another one now."""
        ...

    def heard(
        self,
        radio: Radio,
        reports: Iterable[Report[PayloadT]],
        parse: Callable[[PayloadT], Fields],
    ) -> None:
        """The radio heard devices.

        Args:
            radio: who heard them.
            reports: what was heard, in order.
            parse: makes an AdvertisementData of a payload, or quicker, the plain tuple of what that
                would have; the RSSI in it does not count.
        """
        ...

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """The radio's slots or attempts are other ones now; `events` are the slots that changed."""
        ...

    def link_opened(self, radio: Radio, address: str) -> None:
        """The radio has a link that was asked for, and reads its services now; `connect` goes on.

        A radio that reads them in the same step, or knows them, need not say so.
        """
        ...


class Backend(Protocol):
    """Brings the radios of one sort into a fleet."""

    async def start(self) -> None:
        """Begin to look for radios; does not wait for any."""
        ...

    async def reconfigure(self, options: FleetOptions) -> None:
        """Take other options; radios that both have stay as they are, links included."""
        ...

    async def aclose(self) -> None:
        """Let every radio go; idempotent."""
        ...


BackendFactory = Callable[[FleetOptions, RadioSink], Backend | None]
"""An entry point of `proxyconn.backends`; returns None if the options ask nothing of it."""
Checks = Callable[[FleetOptions, Sequence[Radio]], Awaitable[Sequence[Finding]]]
"""An entry point of `proxyconn.checks`: looks at radios of one sort; disturbs nobody."""
