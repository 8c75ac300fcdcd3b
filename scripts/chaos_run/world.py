"""The proxies and the devices of a run."""

from __future__ import annotations

import os
import random
from typing import Final

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .setting import Setting

FIRMWARE: Final = ("2024.11", "2025.5", "2025.9", "2026.1", "2026.6.5", "2026.7.0", "2026.8")

HEARD_BY: Final = 3
"""Proxies that hear a device, at most."""

PLAINTEXT: Final = 0.2
"""Share of the proxies that do not encrypt."""

VALUE, ECHO, STREAM = (f"0000fff{number}-0000-1000-8000-00805f9b34fb" for number in (1, 2, 3))
"""Read: the device's address. Written: notified in reverse. Notified: the address and a count."""

STREAM_EVERY: Final = 0.5
"""Seconds between two notifications."""

API_PORT: Final = 6053
"""Of the native API."""

_FIRST: Final = 0xC40000000000


def addresses(setting: Setting) -> list[str]:
    """Return the address of every device; they are random static ones."""
    numbers = (_FIRST + number for number in range(1, setting.devices + 1))
    return [number.to_bytes(6, "big").hex(":").upper() for number in numbers]


def identity(address: str) -> bytes:
    """Return what a device says of itself."""
    return bytes.fromhex(address.replace(":", ""))


def build(setting: Setting) -> VirtualFleet:
    """Return the proxies among the devices.

    Those of the peer listen where it expects them, on addresses that no other process uses.
    """
    draw = random.Random(f"world {setting.seed}")
    specs = [_proxy(setting, number, draw) for number in range(setting.proxies)]
    names = [spec.name for spec in specs]
    fleet = VirtualFleet(
        specs,
        [_device(address, names, draw) for address in addresses(setting)],
        announce=False,
        seed=setting.seed,
    )
    if setting.side == "peer":
        for number, proxy in enumerate(fleet.proxies.values()):
            proxy.host, proxy.port = f"127.{_own_octets()}.{number + 1}", API_PORT
    return fleet


def _own_octets() -> str:
    high, low = divmod(os.getpid(), 250)
    return f"{high % 250 + 2}.{low + 1}"


def _proxy(setting: Setting, number: int, draw: random.Random) -> ProxySpec:
    return ProxySpec(
        name=f"proxy-{number}",
        noise_psk=None if draw.random() < PLAINTEXT else new_noise_psk(draw),
        slots=setting.slots,
        profile=draw.choice(FIRMWARE),
    )


def _device(address: str, names: list[str], draw: random.Random) -> Peripheral:
    said = identity(address)
    both = Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE | Properties.NOTIFY
    stream = CharacteristicSpec(
        STREAM,
        Properties.NOTIFY,
        notify_every=STREAM_EVERY,
        notify_value=lambda count: said + count.to_bytes(4, "little"),
    )
    return Peripheral(
        address,
        f"device {address[-5:]}",
        services=[
            ServiceSpec(0xFFF0, [CharacteristicSpec(VALUE, value=said), stream]),
            ServiceSpec(0xFFE0, [CharacteristicSpec(ECHO, both, on_write=lambda data: data[::-1])]),
        ],
        rssi={
            name: draw.randint(-85, -50) for name in draw.sample(names, min(HEARD_BY, len(names)))
        },
        interval=1.0,
        latency=draw.uniform(0.1, 0.6),
        att_latency=draw.uniform(0.01, 0.05),
        mtu=draw.choice((23, 185, 247)),
    )


def held(proxies: list[VirtualProxy]) -> dict[str, list[str]]:
    """Return who holds slots of which proxy, in truth."""
    return {
        proxy.name: [f"{address} {state}" for address, state in proxy.snapshot().slots]
        for proxy in proxies
        if proxy.snapshot().slots
    }
