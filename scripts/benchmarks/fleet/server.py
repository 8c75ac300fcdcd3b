"""The virtual proxies of the fleet benchmark, in a process of their own.

Argument: the setting. Prints each proxy's port and key; then each line of the input asks for what
has happened since the start, and the end of the input ends it.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time

from proxyconn_virtual import events
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

from .setting import SERVICE, VALUE, Setting

RSSI = (-65, -50)
"""Between which the signal strengths are, dBm."""

INTERVAL = 0.5
"""Seconds between two advertisements of a device."""

ATT_LATENCY = 0.001
"""Seconds for an attribute operation, of which a session takes six: the bound knows of none."""

TOLD = (events.Connecting, events.Connected, events.OpenFailed, events.Disconnected, events.Refused)

Event = tuple[float, str, str, str]
"""`time.monotonic()`, what, the proxy's name, the device's address."""


def peripherals(setting: Setting, names: list[str]) -> list[Peripheral]:
    """Return the devices."""
    draw = random.Random(setting.seed)
    return [
        Peripheral(
            address=address,
            name=f"device {number}",
            services=(ServiceSpec(SERVICE, (CharacteristicSpec(VALUE, value=b"\x2a"),)),),
            rssi={name: draw.randint(*RSSI) for name in names},
            interval=INTERVAL,
            latency=setting.connect_time,
            att_latency=ATT_LATENCY,
        )
        for number, address in enumerate(setting.addresses())
    ]


async def run(setting: Setting) -> None:
    """Run the proxies, and report, until standard input ends."""
    names = [f"proxy-{number}" for number in range(setting.proxies)]
    specs = [ProxySpec(name=name, slots=setting.slots, noise_psk=new_noise_psk()) for name in names]
    fleet = VirtualFleet(specs, peripherals(setting, names), announce=False, seed=setting.seed)
    seen: list[Event] = []

    def observe(event: events.ProxyEvent) -> None:
        if isinstance(event, TOLD):
            seen.append((time.monotonic(), type(event).__name__, event.proxy, event.address))

    proxies = fleet.proxies.values()
    for proxy in proxies:
        proxy.add_observer(observe)
    async with fleet:
        print(json.dumps([(proxy.port, proxy.noise_psk) for proxy in proxies]), flush=True)
        while await asyncio.get_running_loop().run_in_executor(None, sys.stdin.readline):
            held = sum(len(proxy.snapshot().slots) for proxy in proxies)
            print(json.dumps({"events": seen, "held": held}), flush=True)


if __name__ == "__main__":
    asyncio.run(run(Setting.load(sys.argv[1])))
