"""The virtual proxies of the sharing benchmark, in a process of their own.

Prints each one's port and key, and runs until its standard input ends.
"""

from __future__ import annotations

import asyncio
import json
import sys

from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

from . import world


def peripheral(side: str, number: int) -> Peripheral:
    """Return a peripheral that answers at once; one takes a while to open a link, as all do."""
    value = CharacteristicSpec(world.VALUE, Properties.READ, world.PAYLOAD)
    return Peripheral(
        address=world.address(side, number),
        name=f"bench {number}",
        services=(ServiceSpec(world.SERVICE, (value,)),),
        rssi={side: -60},
        interval=world.PERIPHERALS / world.ADVERTISEMENTS,
        latency=world.OPENING if number == world.CONNECTED else 0.0,
        att_latency=0.0,
    )


async def run() -> None:
    """Run the proxies until standard input ends."""
    fleet = VirtualFleet(
        [ProxySpec(name=side, noise_psk=new_noise_psk()) for side in world.SIDES],
        [peripheral(side, n) for side in world.SIDES for n in range(world.PERIPHERALS)],
        announce=False,
    )
    async with fleet:
        ways = {
            name: {"port": proxy.port, "noise_psk": proxy.noise_psk}
            for name, proxy in fleet.proxies.items()
        }
        print(json.dumps(ways), flush=True)
        await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run())
