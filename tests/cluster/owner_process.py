"""An owner, or a program that has a link, in a process of its own, which may be stopped or killed.

As a script: the broker's URL, its name, and what it does as JSON. An owner is given the ports of
its proxies; a program the address of the device that it connects. It says so when it is ready.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn_cluster.bus.connection import opened
from proxyconn_cluster.joined import Place
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.serving import shared
from proxyconn_cluster.settings import ClusterSettings

SCRIPT = str(Path(__file__).resolve())

READY_WITHIN = 20.0
"""Seconds within which a process is ready."""


class OtherProcess:
    """A process of this script."""

    def __init__(self, url: str, name: str, order: dict[str, Any]) -> None:
        self._arguments = (url, name, json.dumps(order))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, SCRIPT, *self._arguments, stdout=asyncio.subprocess.PIPE
        )
        assert self._process.stdout
        async with asyncio.timeout(READY_WITHIN):
            assert await self._process.stdout.readline() == b"ready\n"

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self._process
        os.kill(self._process.pid, number)

    async def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a goodbye; idempotent."""
        process, self._process = self._process, None
        if process:
            with contextlib.suppress(ProcessLookupError):
                process.send_signal(signal.SIGCONT)
                process.send_signal(number)
            await process.communicate()


def say_ready() -> None:
    """Tell the process that has started this one."""
    sys.stdout.write("ready\n")
    sys.stdout.flush()


async def own(url: str, name: str, proxies: dict[str, int], key: str, lease: float) -> None:
    """Be an owner of proxies on this machine, for ever."""
    settings = ClusterSettings((url,), lease=lease)
    async with opened(settings, name) as bus:
        members = Members(bus)
        fleet = Fleet(
            [Proxy("127.0.0.1", port, noise_psk=key, name=one) for one, port in proxies.items()],
            discover=False,
            state=None,
            owner=False,
            cluster=Place(settings, always=False, members=members),
        )
        async with fleet, shared(fleet, members):
            await fleet.ready(len(proxies), READY_WITHIN)
            say_ready()
            await asyncio.get_running_loop().create_future()


async def use(url: str, address: str) -> None:
    """Connect a device, and have it for ever."""
    async with Fleet(cluster=url, state=None, owner=False) as fleet:
        device = await fleet.find_device(address)
        client = await establish_connection(BleakClientWithServiceCache, device, "device")
        assert client.is_connected
        say_ready()
        await asyncio.get_running_loop().create_future()


def main(url: str, name: str, text: str) -> None:
    """Do what is said."""
    order = json.loads(text)
    asyncio.run(use(url, order["use"]) if "use" in order else own(url, name, **order))


if __name__ == "__main__":
    main(*sys.argv[1:])
