"""The virtual proxies of the GATT benchmark, in a process of their own.

Prints each one's port and key, and runs until its standard input ends.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import socket
import sys
import time

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir

from . import world

BURST = 200
"""Notifications between two turns of the loop; far less than what a socket's buffer holds."""

ADVERTISING_INTERVAL = 2.0
"""Seconds; long, since whoever hears them pays for them in every figure."""


class Stream:
    """Notifies for the peripherals of one side, as fast as it can, when its client asks."""

    def __init__(self, side: str) -> None:
        self.side = side
        self.air: SimulatedAir | None = None
        self._task: asyncio.Task[None] | None = None

    def ask(self, value: bytes) -> None:
        """Take the value written to STREAM."""
        self._task = asyncio.get_running_loop().create_task(
            self._send(*world.STREAM_FORMAT.unpack(value))
        )

    async def _send(self, connections: int, count: int, port: int) -> None:
        assert self.air is not None
        addresses = [world.address(self.side, number) for number in range(connections)]
        sent = 0
        for _ in range(count):
            for address in addresses:
                self.air.notify(address, world.VALUE, world.PAYLOAD)
                sent += 1
                if sent % BURST == 0:
                    await asyncio.sleep(0)
        if port:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
                sock.sendto(b"!", ("127.0.0.1", port))


def peripheral(number: int, stream: Stream) -> Peripheral:
    """Return a peripheral that answers at once."""
    read_notify = Properties.READ | Properties.NOTIFY
    characteristics = (
        CharacteristicSpec(world.VALUE, read_notify, world.PAYLOAD),
        CharacteristicSpec(world.CPU, on_read=lambda: world.CPU_FORMAT.pack(time.process_time())),
        CharacteristicSpec(world.STREAM, Properties.WRITE, on_write=stream.ask),
    )
    return Peripheral(
        address=world.address(stream.side, number),
        name=f"bench {number}",
        services=(
            ServiceSpec(world.SERVICE, characteristics),
            ServiceSpec(0x180F, (CharacteristicSpec(0x2A19, read_notify, b"\x58"),)),
            ServiceSpec(0x180A, tuple(CharacteristicSpec(uuid) for uuid in (0x2A29, 0x2A24))),
        ),
        rssi={stream.side: -60},
        interval=ADVERTISING_INTERVAL,
        latency=0.0,
        att_latency=0.0,
    )


async def run() -> None:
    """Run the proxies until standard input ends."""
    streams = [Stream(side) for side in world.SIDES]
    fleet = VirtualFleet(
        [ProxySpec(name=side, noise_psk=new_noise_psk()) for side in world.SIDES],
        [peripheral(n, stream) for stream in streams for n in range(world.SPARE + 1)],
        announce=False,
    )
    assert isinstance(fleet.air, SimulatedAir)
    for stream in streams:
        stream.air = fleet.air
    for proxy in fleet.proxies.values():
        # No ESP32 has this many slots, so the constructor refuses them; start() reads the spec.
        proxy.spec = dataclasses.replace(proxy.spec, slots=world.SPARE + 1)
        proxy.profile = dataclasses.replace(proxy.profile, max_slots=world.SPARE + 1)
    async with fleet:
        ways = {
            name: {"port": proxy.port, "noise_psk": proxy.noise_psk}
            for name, proxy in fleet.proxies.items()
        }
        print(json.dumps(ways), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run())
