"""The proxies and the devices of a run."""

from __future__ import annotations

import os
import random
from collections.abc import Iterable, Mapping
from typing import Final

from proxyconn.radio import RadioName, tell_apart
from proxyconn_native_api.intake import Intake
from proxyconn_virtual.firmware.profiles import KNOWN, profile
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .setting import Setting

FIRMWARE: Final = tuple(KNOWN)
"""What proxies run: an ESP32 of every release, a Pico W, and a BK72xx, which only listens."""

CONNECTING: Final = tuple(name for name in FIRMWARE if profile(name).connects)
"""Those of them that open links."""

HEARD_BY: Final = 3
"""Proxies that hear a device, at most."""

PLAINTEXT: Final = 0.2
"""Share of the proxies that do not encrypt."""

VALUE, ECHO, STREAM = (f"0000fff{number}-0000-1000-8000-00805f9b34fb" for number in (1, 2, 3))
"""Read: the device's address. Written: notified in reverse. Notified: the address and a count."""

STREAM_EVERY: Final = 0.5
"""Seconds between two notifications."""

FLOOD: Final = b"flood"
"""What a command of a flood begins with; the flood's name and a number follow."""

SLOW_EVERY: Final = 3
"""One in so many proxies takes what it is sent as slowly as an ESP32 that is busy with writes."""

API_PORT: Final = 6053
"""Of the native API."""

GUESTS: Final = 6
"""Bad clients of an owner at a time."""

_FIRST: Final = 0xC40000000000
_FIRST_OF_GUESTS: Final = 0xC50000000000


def addresses(setting: Setting) -> list[str]:
    """Return the address of every device; they are random static ones."""
    numbers = (_FIRST + number for number in range(1, setting.devices + 1))
    return [number.to_bytes(6, "big").hex(":").upper() for number in numbers]


def guest_addresses(setting: Setting) -> list[str]:
    """Return the address of every device that only bad clients of an owner want."""
    if setting.side != "owner" or setting.strikes == "proxies":
        return []
    numbers = (_FIRST_OF_GUESTS + number for number in range(1, GUESTS + 1))
    return [number.to_bytes(6, "big").hex(":").upper() for number in numbers]


def identity(address: str) -> bytes:
    """Return what a device says of itself."""
    return bytes.fromhex(address.replace(":", ""))


def flood_command(name: bytes, number: int) -> bytes:
    """Return one command of a flood; `name` has 4 bytes."""
    return FLOOD + name + number.to_bytes(2, "big")


class Ear:
    """Hears what is written to a device, and says it in reverse.

    Args:
        address: the device's.
        disordered: gets a line for each command of a flood that comes after a later one, or twice.
    """

    def __init__(self, address: str, disordered: list[str]) -> None:
        self._address = address
        self._disordered = disordered
        self._name = b""
        self._last = b""

    def __call__(self, data: bytes) -> bytes:
        """Hear one write."""
        if data.startswith(FLOOD):
            name, number = data[len(FLOOD) : -2], data[-2:]
            if name == self._name and number <= self._last:
                self._disordered.append(f"{self._address}: {number.hex()} after {self._last.hex()}")
            self._name, self._last = name, number
        return data[::-1]


def build(setting: Setting, disordered: list[str] | None = None) -> VirtualFleet:
    """Return the proxies among the devices, which tell of commands that come in disorder.

    Those of the peer listen where it expects them, on addresses that no other process uses.
    """
    disordered = [] if disordered is None else disordered
    draw = random.Random(f"world {setting.seed}")
    specs = [_proxy(setting, number, draw) for number in range(setting.proxies)]
    places = {str(spec.place): profile(spec.profile).connects for spec in specs}
    fleet = VirtualFleet(
        specs,
        [
            _device(address, places, draw, disordered)
            for address in (*addresses(setting), *guest_addresses(setting))
        ],
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
        name=f"proxy-{number - 1 if _is_second_twin(setting, number) else number}",
        place=f"proxy-{number}",
        noise_psk=None if draw.random() < PLAINTEXT else new_noise_psk(draw),
        slots=setting.slots,
        # Somebody has to open links.
        profile=draw.choice(FIRMWARE if number else CONNECTING),
        intake=None if (number + 1) % SLOW_EVERY else Intake(rate=45.0),
    )


def _is_second_twin(setting: Setting, number: int) -> bool:
    return setting.side == "ours" and number < 2 * setting.twins and number % 2 == 1


def labels(proxies: Iterable[VirtualProxy]) -> dict[str, str]:
    """Return the place of each proxy, by what a fleet calls it that lists them in this order."""
    known = list(proxies)
    names = [
        RadioName(one.name, one.mac.replace(":", "").lower(), f"{one.host}:{one.port}")
        for one in known
    ]
    return dict(zip(tell_apart(names), (one.place for one in known), strict=True))


def _device(
    address: str, places: Mapping[str, bool], draw: random.Random, disordered: list[str]
) -> Peripheral:
    """Return a device; `places` are those of the proxies, and whether each opens links."""
    heard_at = draw.sample(list(places), min(HEARD_BY, len(places)))
    if not any(places[place] for place in heard_at):
        heard_at[0] = draw.choice([place for place, connects in places.items() if connects])
    said, ear = identity(address), Ear(address, disordered)
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
            ServiceSpec(0xFFE0, [CharacteristicSpec(ECHO, both, on_write=ear)]),
        ],
        rssi={place: draw.randint(-85, -50) for place in heard_at},
        interval=1.0,
        latency=draw.uniform(0.1, 0.6),
        att_latency=draw.uniform(0.01, 0.05),
        mtu=draw.choice((23, 185, 247)),
    )


def held(proxies: list[VirtualProxy]) -> dict[str, list[str]]:
    """Return who holds slots of which proxy, in truth."""
    return {
        proxy.place: [f"{address} {state}" for address, state in proxy.snapshot().slots]
        for proxy in proxies
        if proxy.snapshot().slots
    }
