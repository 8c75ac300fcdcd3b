"""Signal strengths that are none, and what a client makes of them."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from google.protobuf.message import Message

from proxyconn import NO_RSSI_VALUE
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Injector, Passed
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.simulated import RSSI_SPREAD

from .record import Record
from .sides import Side

SHARE: Final = 0.3
"""Share of the reports that lack their signal strength."""

NO_SIGNAL: Final = (0, 127)
"""What stands there then: a field that is missing, and "not available" (Core Specification vol 4 E
7.7.65.2)."""

LOOK_EVERY: Final = 0.5
"""Seconds between two looks."""

INVARIANT: Final = "no path is louder than the proxy hears the device"


class RssiHoles(Injector):
    """Leaves the signal strength out of some reports.

    Args:
        seed: of which ones.
    """

    def __init__(self, seed: str) -> None:
        self._random = random.Random(seed)

    def outgoing(self, message: Message) -> Passed:
        """Leave it out."""
        if isinstance(message, pb.BluetoothLERawAdvertisementsResponse):
            for report in message.advertisements:
                if self._random.random() < SHARE:
                    report.rssi = self._random.choice(NO_SIGNAL)
        return (message,)


class SignalWatch:
    """Compares what a client knows of signals with what the proxies hear.

    Args:
        side: whose client it is.
        house: the proxies and the devices.
        record: told of what is wrong, once for each path.
    """

    def __init__(self, side: Side, house: VirtualFleet, record: Record) -> None:
        self._side = side
        self._true = {
            (proxy.mac.upper(), one.address): one.rssi[place]
            for place, proxy in house.proxies.items()
            for one in house.peripherals
            if place in one.rssi
        }
        self._record = record
        self._told: set[tuple[str, str]] = set()

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Look at every path now."""
        for proxy, address, rssi in self._side.signals():
            true = self._true.get((proxy.upper(), address), NO_RSSI_VALUE)
            if rssi > true + RSSI_SPREAD and (proxy, address) not in self._told:
                self._told.add((proxy, address))
                self._record.violate(
                    INVARIANT, f"{address} at {proxy}: {rssi} dBm, and truly {true} dBm"
                )
