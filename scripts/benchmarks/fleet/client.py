"""One client process of the fleet benchmark: all sessions, started at once.

Arguments: the side and the setting; the first line of the input has the proxies' ports and keys.
Prints what became of the sessions, and ends when the input does.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import Protocol

from bleak import BleakClient
from bleak.backends.device import BLEDevice

from .setting import VALUE_UUID, Setting

LOCALHOST = "127.0.0.1"

HEARD = 60.0
"""Seconds within which every proxy must have heard every device."""

FIND = 10.0
"""Seconds that a session looks for its device."""

POLL = 0.02

Ways = Sequence[tuple[int, str]]
"""Port and key of each proxy."""


class Side(Protocol):
    """One way to connect through proxies."""

    async def start(self, stack: AsyncExitStack, ways: Ways) -> None:
        """Connect to the proxies; the stack undoes it."""

    def paths(self, address: str) -> int:
        """Return how many proxies hear a device."""
        ...

    async def find(self, address: str) -> BLEDevice:
        """Return a device."""
        ...

    async def connect(self, device: BLEDevice, name: str) -> BleakClient:
        """Connect, as this side's users do."""
        ...


class Ours:
    """A fleet, and its establish_connection."""

    async def start(self, stack: AsyncExitStack, ways: Ways) -> None:
        """Connect to the proxies."""
        from proxyconn import Fleet, Proxy

        proxies = [Proxy(LOCALHOST, port, noise_psk=psk) for port, psk in ways]
        self._fleet = await stack.enter_async_context(
            Fleet(proxies, discover=False, state=None, owner=False)
        )
        await self._fleet.ready(len(proxies))

    def paths(self, address: str) -> int:
        """Return how many proxies hear a device."""
        return len(self._fleet.paths(address))

    async def find(self, address: str) -> BLEDevice:
        """Return a device."""
        return await self._fleet.find_device(address, timeout=FIND)

    async def connect(self, device: BLEDevice, name: str) -> BleakClient:
        """Connect."""
        from proxyconn import BleakClientWithServiceCache, establish_connection

        return await establish_connection(BleakClientWithServiceCache, device, name)


class Peer:
    """habluetooth chooses the path, bleak-retry-connector's establish_connection tries."""

    async def start(self, stack: AsyncExitStack, ways: Ways) -> None:
        """Connect to the proxies."""
        from scripts.benchmarks import peer

        self._peer = peer.Peer()
        await self._peer.start(stack, ways)

    def paths(self, address: str) -> int:
        """Return how many proxies hear a device."""
        return len(self._peer.manager.async_scanner_devices_by_address(address, True))

    async def find(self, address: str) -> BLEDevice:
        """Return a device."""
        lookup = self._peer.manager.async_ble_device_from_address
        async with asyncio.timeout(FIND):
            while not (device := lookup(address, True)):  # noqa: ASYNC110 - it has no better way
                await asyncio.sleep(POLL)
        return device

    async def connect(self, device: BLEDevice, name: str) -> BleakClient:
        """Connect."""
        # Imported as late as this, they are those that habluetooth's manager has put in place.
        from bleak_retry_connector import BleakClientWithServiceCache, establish_connection

        return await establish_connection(BleakClientWithServiceCache, device, name)


SIDES: dict[str, type[Side]] = {"ours": Ours, "peer": Peer}


@dataclass
class Session:
    """What became of one session; times are those of `time.monotonic()`.

    Attributes:
        address: the device's.
        error: class of what it failed with, and the text.
        connected: when establish_connection() returned.
        over: when it had disconnected, or failed.
    """

    address: str
    error: tuple[str, str] | None = None
    connected: float | None = None
    over: float = 0.0

    async def run(self, side: Side, setting: Setting) -> None:
        """Find, connect, read, hold, disconnect."""
        try:
            device = await side.find(self.address)
            client = await side.connect(device, device.name or self.address)
            self.connected = time.monotonic()
            try:
                await client.read_gatt_char(VALUE_UUID)
                await asyncio.sleep(setting.hold)
            finally:
                await client.disconnect()
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the result
            self.error = (type(error).__name__, str(error))
        self.over = time.monotonic()


async def heard(side: Side, setting: Setting) -> None:
    """Wait until every proxy has heard every device. Raises TimeoutError."""
    addresses = setting.addresses()
    async with asyncio.timeout(HEARD):
        while min(map(side.paths, addresses)) < setting.proxies:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(POLL)


async def run(name: str, setting: Setting) -> None:
    """Run every session, and print what became of them."""
    loop = asyncio.get_running_loop()
    side = SIDES[name]()
    async with AsyncExitStack() as stack:
        ways = json.loads(await loop.run_in_executor(None, sys.stdin.readline))
        await side.start(stack, ways)
        await heard(side, setting)
        sessions = [Session(address) for address in setting.addresses()]
        start, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(session.run(side, setting) for session in sessions))
        result = {
            "start": start,
            "cpu": time.process_time() - cpu,
            "sessions": [asdict(session) for session in sessions],
        }
        print(json.dumps(result), flush=True)
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1], Setting.load(sys.argv[2])))
