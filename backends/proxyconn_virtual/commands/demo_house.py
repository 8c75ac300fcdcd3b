"""The demo's house: virtual proxies, virtual devices, two injected faults, and what they saw."""

from __future__ import annotations

import random
import secrets
from collections import Counter
from dataclasses import dataclass, field

from proxyconn_virtual import events
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.fleet import RadioKind, VirtualFleet
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from proxyconn_virtual.radio import LinkParameters

ROOMS = ("hall", "study", "attic")
SLOTS = 3

FAIL_ESTABLISH = 0x3E
"""HCI "connection failed to be established", ESP_GATT_CONN_FAIL_ESTABLISH."""

CONN_CANCEL = 0x100
"""ESP_GATT_CONN_CONN_CANCEL: the proxy's own stack cancelled the attempt."""

INTERFACE = "127.0.0.1"


@dataclass
class House:
    """A virtual fleet with a fault on each of two of its devices, and a record of what happened.

    Attributes:
        fleet: the proxies and the devices; not started.
        noise_psk: the key of all proxies.
        faulty: names of the two devices.
        seen: what the proxies reported, in order.
    """

    fleet: VirtualFleet
    noise_psk: str
    faulty: tuple[str, str]
    seen: list[events.ProxyEvent] = field(default_factory=list)

    @property
    def addresses(self) -> dict[str, str]:
        """Name -> address of the devices."""
        return {device.name: device.address for device in self.fleet.peripherals}

    def reasons(self) -> dict[int, int]:
        """Return how often an attempt failed for each reason."""
        return dict(Counter(e.reason for e in self.seen if isinstance(e, events.OpenFailed)))

    def paired(self) -> set[str]:
        """Return the addresses of the devices that were paired."""
        return {event.address for event in self.seen if isinstance(event, events.Paired)}

    def parameters(self, address: str) -> dict[str, LinkParameters]:
        """Return what each proxy was asked to set for a device."""
        snapshots = [proxy.snapshot() for proxy in self.fleet.proxies.values()]
        return {one.name: one.parameters[address] for one in snapshots if address in one.parameters}

    def taken(self) -> dict[str, int]:
        """Return how many slots of each proxy are taken."""
        snapshots = [proxy.snapshot() for proxy in self.fleet.proxies.values()]
        return {one.name: one.limit - one.free for one in snapshots}

    def refused(self) -> int:
        """Return how many connect requests came while every slot was taken."""
        return sum(proxy.snapshot().connects_refused for proxy in self.fleet.proxies.values())


def build(radio: RadioKind, seed: int, spared: str) -> House:
    """Build the house; the device named `spared` gets no fault."""
    rng = random.Random(seed)
    # Another fleet may be running on this machine; ESPHome tells name-sakes apart in this way too.
    suffix = secrets.token_hex(1)
    names = [f"{room}-{suffix}" for room in ROOMS]
    devices = household(names, seed)
    faulty = rng.sample([device for device in devices if device.name != spared], 2)
    for device, reason in zip(faulty, (FAIL_ESTABLISH, CONN_CANCEL), strict=True):
        device.outcomes.append(Outcome(reason=reason))
    key = new_noise_psk()
    specs = [ProxySpec(name=name, noise_psk=key, slots=SLOTS) for name in names]
    fleet = VirtualFleet(specs, devices, radio=radio, seed=seed, interface=INTERFACE)
    house = House(fleet, key, (faulty[0].name, faulty[1].name))
    for proxy in fleet.proxies.values():
        proxy.add_observer(house.seen.append)
    return house
