"""A program that owns no proxy, in a process of its own; the story of a cluster runs two of them.

Usage: python -m proxyconn_virtual.commands.cluster_client URL DOMAIN ADDRESS...

It holds the devices, reads each for ever, and connects again whichever it loses. Each line that it
prints is JSON. DOMAIN is the JetStream domain of the broker; `-` for none.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import replace
from importlib import import_module
from typing import Any

from bleak.exc import BleakError

from proxyconn import BleakClientWithServiceCache, Fleet, establish_connection

MODEL_NUMBER = "00002a24-0000-1000-8000-00805f9b34fb"
EVERY = 0.2
"""Seconds between two reads of one device."""

READ_TIMEOUT = 2.0
CONNECT_TIMEOUT = 2.0
"""Seconds: whoever tries for long with an owner that is dead misses the one that comes after it."""

TRY_AGAIN = 0.2


def say(event: str, **values: object) -> None:
    """Print a line."""
    print(json.dumps({"event": event, **values}), flush=True)  # noqa: T201 - its protocol


async def keep(fleet: Fleet, address: str) -> None:
    """Hold one device and read from it, for ever."""
    while True:
        try:
            device = await fleet.find_device(address, 30)
            client = await establish_connection(
                BleakClientWithServiceCache, device, address, deadline=CONNECT_TIMEOUT
            )
            try:
                while True:
                    async with asyncio.timeout(READ_TIMEOUT):
                        await client.read_gatt_char(MODEL_NUMBER)
                    say("read", address=address)
                    await asyncio.sleep(EVERY)
            finally:
                await client.disconnect()
        except (BleakError, TimeoutError) as exc:
            say("lost", address=address, why=f"{type(exc).__name__}: {exc}")
            await asyncio.sleep(TRY_AGAIN)


async def main(url: str, domain: str, addresses: list[str]) -> None:
    """Run until killed."""
    settings: Any = import_module("proxyconn_cluster.settings")
    cluster = settings.ClusterSettings((url,), lease=3.0)
    if domain != "-":
        cluster = replace(cluster, domain=domain)
    async with (
        Fleet(cluster=cluster, discover=False, state=None, owner=False) as fleet,
        asyncio.TaskGroup() as tasks,
    ):
        for address in addresses:
            tasks.create_task(keep(fleet, address))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
