"""A virtual proxy over the Bumble radio: from the API client's messages to real ATT and back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from proxyconn_virtual.bumble import BumbleAir
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from tests.virtual.bumble_room import ADDRESS, ON, thermometer
from tests.virtual.conftest import DISCONNECT, WITHOUT_CACHE, Bench, Peer, api, brief

DEVICE = 0xC40000000001
PAIR = 2


@pytest.fixture
async def fleet() -> AsyncIterator[VirtualFleet]:
    """Return one proxy in a room with the thermometer."""
    kitchen = ProxySpec(name="kitchen")
    fleet = VirtualFleet([kitchen], [thermometer()], radio="bumble", announce=False)
    async with fleet:
        yield fleet


async def linked(bench: Bench, fleet: VirtualFleet) -> tuple[Peer, list[Any]]:
    """Return a peer with a link to the thermometer, and the characteristics of its service."""
    peer = await bench.peer(fleet.proxies["kitchen"], subscribe=True)
    peer.ask(WITHOUT_CACHE)
    assert await peer.steps(3) == [("slots", 2, 1), ("conn", True, 517, 0), ("slots", 2, 1)]
    peer.send(api.BluetoothGATTGetServicesRequest(address=DEVICE))
    services = (await peer.wait_for(api.BluetoothGATTGetServicesResponse)).services
    await peer.wait_for(api.BluetoothGATTGetServicesDoneResponse)
    return peer, list(services[-1].characteristics)


async def test_fleet_reads(bench: Bench, fleet: VirtualFleet) -> None:
    """A read by handle returns the peripheral's value; an encrypted one fails until paired."""
    peer, (level, _, secret, *_) = await linked(bench, fleet)
    requests = [
        api.BluetoothGATTReadRequest(address=DEVICE, handle=one.handle) for one in (level, secret)
    ]
    peer.send(requests[0])
    assert (await peer.next()).data == b"\x64"
    peer.send(requests[1])
    assert (await peer.next()).error == 5
    peer.ask(PAIR)
    assert (await peer.next()).paired
    peer.send(requests[1])
    assert (await peer.next()).data == b"hidden"


async def test_fleet_notifies(bench: Bench, fleet: VirtualFleet) -> None:
    """A write is answered and notified once the client has registered and written the CCCD."""
    peer, (_, command, *_) = await linked(bench, fleet)
    handle, cccd = command.handle, command.descriptors[0].handle
    peer.send(api.BluetoothGATTNotifyRequest(address=DEVICE, handle=handle, enable=True))
    await peer.wait_for(api.BluetoothGATTNotifyResponse)
    peer.send(api.BluetoothGATTWriteDescriptorRequest(address=DEVICE, handle=cccd, data=ON))
    await peer.wait_for(api.BluetoothGATTWriteResponse)
    peer.send(
        api.BluetoothGATTWriteRequest(address=DEVICE, handle=handle, response=True, data=b"ab")
    )
    assert (await peer.wait_for(api.BluetoothGATTNotifyDataResponse)).data == b"ba"


async def test_fleet_link_lost(bench: Bench, fleet: VirtualFleet) -> None:
    """A peripheral that leaves is reported with its reason, and its slot is free again."""
    peer, _ = await linked(bench, fleet)
    assert isinstance(fleet.air, BumbleAir)
    assert fleet.air.drop_link(ADDRESS)
    assert brief(await peer.next()) == ("conn", False, 0, 0x13)
    slots = await peer.wait_for(api.BluetoothConnectionsFreeResponse)
    assert slots.free == 3
    peer.ask(WITHOUT_CACHE)
    assert (await peer.steps(3))[1] == ("conn", True, 517, 0)


async def test_fleet_disconnects(bench: Bench, fleet: VirtualFleet) -> None:
    """A client that disconnects leaves the peripheral without a link."""
    peer, _ = await linked(bench, fleet)
    peer.ask(DISCONNECT)
    assert await peer.steps(2) == [("conn", False, 0, 0), ("slots", 3)]
    assert isinstance(fleet.air, BumbleAir)
    assert not fleet.air.is_connected(ADDRESS)
