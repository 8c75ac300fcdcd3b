"""Who takes the advertisements: our fleet, habluetooth in two ways, and what both are built on."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Protocol

from aioesphomeapi.client import APIClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import parse_advertisement_data_bytes

from .traffic import MARKER, MARKER_TEXT, Traffic

LOCALHOST = "127.0.0.1"

Ways = Sequence[tuple[int, str]]
"""Port and key of each proxy."""


class Count:
    """What an application does with an advertisement here: it counts.

    Attributes:
        calls: how often it was called.
        marked: the marker was heard.
    """

    def __init__(self) -> None:
        self.calls = 0
        self.marked = asyncio.Event()

    def detected(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        """Take an advertisement."""
        self.calls += 1
        if device.address == MARKER_TEXT:
            self.marked.set()


class Side(Protocol):
    """One way to hear devices through proxies."""

    async def start(self, stack: AsyncExitStack, ways: Ways, devices: int, count: Count) -> None:
        """Connect to the proxies and count what they hear; the stack undoes it."""


class Ours:
    """A fleet with one detection callback, for every advertisement."""

    changes_only = False

    async def start(self, stack: AsyncExitStack, ways: Ways, devices: int, count: Count) -> None:
        """Connect to the proxies."""
        from proxyconn import Fleet, Proxy

        proxies = [Proxy(LOCALHOST, port, noise_psk=psk) for port, psk in ways]
        fleet = await stack.enter_async_context(
            Fleet(proxies, discover=False, state=None, owner=False)
        )
        await fleet.ready(len(proxies), timeout=60)
        stack.callback(
            fleet.register_detection_callback(count.detected, changes_only=self.changes_only)
        )


class OursChanges(Ours):
    """A fleet with one detection callback, for those that say something new."""

    changes_only = True


class PeerScanner:
    """bleak's scanner as habluetooth replaces it: calls back when a device says something new."""

    async def start(self, stack: AsyncExitStack, ways: Ways, devices: int, count: Count) -> None:
        """Connect to the proxies."""
        from habluetooth import HaBleakScannerWrapper

        from scripts.benchmarks.peer import Peer

        await Peer().start(stack, ways)
        scanner = HaBleakScannerWrapper(detection_callback=count.detected)
        await stack.enter_async_context(scanner)


class PeerEvery:
    """A callback for each address: the one way to have every advertisement of habluetooth."""

    async def start(self, stack: AsyncExitStack, ways: Ways, devices: int, count: Count) -> None:
        """Connect to the proxies."""
        from bluetooth_data_tools import int_to_bluetooth_address
        from habluetooth import BluetoothServiceInfoBleak

        from scripts.benchmarks.peer import Peer

        def detected(info: BluetoothServiceInfoBleak) -> None:
            count.calls += 1
            if info.address == MARKER_TEXT:
                count.marked.set()

        peer = Peer()
        await peer.start(stack, ways)
        numbers = [device.address for device in Traffic(devices, 0).devices]
        for number in (*numbers, MARKER):
            address = int_to_bluetooth_address(number)
            stack.callback(peer.manager.async_register_advertisement_callback(detected, address))


class Receive:
    """aioesphomeapi delivers the messages, and nobody looks inside: the floor."""

    async def start(self, stack: AsyncExitStack, ways: Ways, devices: int, count: Count) -> None:
        """Connect to the proxies."""
        self.count = count
        for port, psk in ways:
            client = APIClient(LOCALHOST, port, None, noise_psk=psk)
            await client.connect(login=True)
            stack.push_async_callback(client.disconnect)
            client.subscribe_bluetooth_le_raw_advertisements(self.take)

    def take(self, message: Any) -> None:
        """Take a message."""
        adverts = len(message.advertisements)
        self.count.calls += adverts
        if adverts == 1:
            self.count.marked.set()


class Decode(Receive):
    """Every payload is parsed, and forgotten."""

    def take(self, message: Any) -> None:
        """Take a message."""
        for report in message.advertisements:
            parse_advertisement_data_bytes(report.data)
        super().take(message)


SIDES: dict[str, type[Side]] = {
    "ours": Ours,
    "ours-changes": OursChanges,
    "peer": PeerScanner,
    "peer-every": PeerEvery,
    "decode": Decode,
    "receive": Receive,
}
