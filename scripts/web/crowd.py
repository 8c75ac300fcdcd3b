"""Virtual proxies that hear many devices, in a process of their own; it ends with its stdin.

Usage: python -m scripts.web.crowd PROXIES DEVICES RATE   Prints ports and key, as a line of JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

LOUDEST, QUIETEST = -40, -95
"""dBm."""


def device(number: int, names: list[str], interval: float) -> Peripheral:
    """Return a device that every proxy hears, each with a strength of its own."""
    span = LOUDEST - QUIETEST
    rssi = {name: LOUDEST - (7 * number + 11 * place) % span for place, name in enumerate(names)}
    address = (0xC40000010000 + number).to_bytes(6, "big").hex(":").upper()
    return Peripheral(address, f"sensor {number}", rssi=rssi, interval=interval)


async def main(proxies: int, devices: int, rate: float) -> None:
    """Run them until stdin ends."""
    key = new_noise_psk()
    names = [f"proxy-{number:02}" for number in range(1, proxies + 1)]
    specs = [ProxySpec(name=name, noise_psk=key) for name in names]
    air = [device(number, names, devices / rate) for number in range(devices)]
    async with VirtualFleet(specs, air, announce=False) as fleet:
        ports = {name: proxy.port for name, proxy in fleet.proxies.items()}
        print(json.dumps({"key": key, "ports": ports}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))
