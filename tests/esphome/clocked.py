"""What tests on a controlled clock share: a house lives within the test, so on its clock."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxyconn import BleakClientWithServiceCache, RadioState
from proxyconn_esphome import ProxySession
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop
from proxyconn_virtual.peripheral import Outcome, Peripheral
from tests.esphome.conftest import House, address, houses, peripheral
from tests.virtual.conftest import Peer

CONNECTING, READY, SILENT = RadioState.CONNECTING, RadioState.READY, RadioState.SILENT
ROBBED, DENIED, WEDGED = RadioState.ROBBED, RadioState.DENIED, RadioState.WEDGED
GONE, WRONG_KEY = RadioState.GONE, RadioState.WRONG_KEY

TAKES_OVER = "2026.7.0"
"""Firmware in which the newest client takes the subscription over."""

NUMBER = 0xC40000000001
"""Address of the first device."""


def device(number: int = 1, outcomes: list[Outcome] | None = None) -> Peripheral:
    """Return a peripheral that is heard once a second."""
    return peripheral(number, outcomes, interval=1.0)


def far() -> Peripheral:
    """Return a peripheral that no proxy hears."""
    return Peripheral(address(9), "far", rssi={})


class States(SessionListener):
    """Notes the states of a session, from the present one on."""

    def __init__(self, session: ProxySession) -> None:
        self.seen = [session.state]
        session.add_listener(self)

    def session_changed(self, session: SessionView) -> None:
        if self.seen[-1] is not session.state:
            self.seen.append(session.state)


@asynccontextmanager
async def a_house(*peripherals: Peripheral, **spec: object) -> AsyncIterator[House]:
    """Run a house on the test's own clock."""
    async with houses() as make:
        yield await make(*(peripherals or [device()]), **spec)


@asynccontextmanager
async def another_client(house: House) -> AsyncIterator[Peer]:
    """Run another client of the proxy."""
    peer = Peer(house.proxy)
    await peer.connect()
    try:
        yield peer
    finally:
        await peer.close()


def program(house: House, **kwargs: object) -> BleakClientWithServiceCache:
    """Return what a program uses to reach the first device."""
    return BleakClientWithServiceCache(house.device(), **kwargs)


def mute(house: House) -> Drop:
    """Let the proxy send no advertisements any more; return what keeps them back."""
    drop = Drop(pb.BluetoothLERawAdvertisementsResponse)
    house.proxy.injectors.append(drop)
    return drop


def received(house: House, name: str) -> int:
    """Return how many messages of a class the proxy has received."""
    return house.proxy.snapshot().received.get(name, 0)
