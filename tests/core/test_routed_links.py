"""Links of a fleet's clients: what the fleet learns from them, and what they leave behind."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn import BleakClientWithServiceCache, RadioState
from proxyconn.fleet.radio_hub import Hub

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

ADDRESS = "C4:00:00:00:00:01"
OTHERS = ["AA:00:00:00:00:01", "AA:00:00:00:00:02", "AA:00:00:00:00:03"]


class FakeClient(BaseBleakClient):
    """A link that comes up at once, and goes down when it is told to; attributes are not ours."""

    up = False

    async def connect(self, pair: bool, **kwargs: Any) -> None:
        """Come up."""
        self.up = True
        self.services = BleakGATTServiceCollection()

    async def disconnect(self) -> None:
        """Go down."""
        self.lose()

    def lose(self) -> None:
        """Go down, and have that told in the next turn of the loop."""
        self.up = False
        if self._disconnected_callback:
            asyncio.get_running_loop().call_soon(self._disconnected_callback)

    @property
    def is_connected(self) -> bool:
        """Whether it is up."""
        return self.up

    @property
    def name(self) -> str:
        """Its address."""
        return self.address

    @property
    def mtu_size(self) -> int:
        """The default ATT MTU."""
        return 23

    async def pair(self, *args: Any, **kwargs: Any) -> None:
        """Pair at once."""


FakeClient.__abstractmethods__ = frozenset()
MAKE: Any = FakeClient


class LinkingRadio(FakeRadio):
    """A radio whose clients connect, and whose slot reports are all lost."""

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client."""
        client: FakeClient = MAKE(device, disconnected_callback=None, **kwargs)
        self.last = client
        return client


@pytest.fixture
async def radios(hub: Hub) -> tuple[LinkingRadio, LinkingRadio]:
    """Return two radios; the first one hears the device better."""
    near, far = LinkingRadio(hub, "near"), LinkingRadio(hub, "far")
    near.hear(ADDRESS, -50)
    far.hear(ADDRESS, -53)
    return near, far


Radios = tuple[LinkingRadio, LinkingRadio]


def client(hub: Hub, **kwargs: Any) -> BleakClientWithServiceCache:
    """Return a client for the device."""
    return BleakClientWithServiceCache(hub.sightings[ADDRESS].device, **kwargs)


async def test_a_link_leaves_no_claim(hub: Hub, radios: Radios) -> None:
    """Also where no report ever shows its slot: a claim would keep the radio from all others."""
    near, _ = radios
    async with client(hub):
        assert hub.queue.links == {ADDRESS: near}
        assert near.connecting == 0


async def test_success_ends_the_failures_of_its_path(hub: Hub, radios: Radios) -> None:
    """Those of the other one stay."""
    near, far = radios
    hub.attempt_ended(ADDRESS, near, TimeoutError())
    hub.attempt_ended(ADDRESS, far, TimeoutError())
    near.become(RadioState.GONE)
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}
    assert {path.source: path.failures for path in hub.paths(ADDRESS)} == {"near": 1.0, "far": 0.0}


async def test_a_device_stays_where_it_was_connected(hub: Hub, radios: Radios) -> None:
    """Another radio must be clearly better by then; three dB are not enough."""
    near, far = radios
    near.report(*OTHERS)
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}
    near.report()
    assert [path.source for path in hub.paths(ADDRESS)] == ["far", "near"]
    assert hub.sightings[ADDRESS].device.details["source"] == "far"


async def test_a_connect_in_the_turn_in_which_the_link_is_lost(hub: Hub, radios: Radios) -> None:
    """The loss is told once, and the new link is not taken for the one that was lost."""
    near, _ = radios
    told: list[bool] = []
    mine = client(hub, disconnected_callback=lambda client: told.append(client.is_connected))
    await mine.connect()
    near.last.lose()
    assert not mine.is_connected
    await mine.connect()
    await asyncio.sleep(0)
    assert len(told) == 1
    assert mine.is_connected
    assert hub.queue.links == {ADDRESS: near}
    await mine.disconnect()
    await asyncio.sleep(0)
    assert len(told) == 2
    assert hub.queue.links == {}


async def test_a_bond_counts_while_its_radio_is_there(hub: Hub, radios: Radios) -> None:
    """One that is away is waited for; one that has left the fleet has taken the bond along."""
    near, far = radios
    async with client(hub, pair=True):
        assert hub.queue.links == {ADDRESS: near}
    near.become(RadioState.GONE)
    assert [path.usable for path in hub.paths(ADDRESS)] == [False, False]
    hub.radio_removed(near)
    assert [path.usable for path in hub.paths(ADDRESS)] == [True]
    async with client(hub):
        assert hub.queue.links == {ADDRESS: far}


async def test_whoever_disconnects_while_a_link_is_closed_waits_for_that(
    hub: Hub, radios: Radios, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The device is given back when the link is down, once, not when somebody asks again."""
    near, _ = radios
    closable, asked = asyncio.Event(), 0

    async def close(link: FakeClient) -> None:
        nonlocal asked
        asked += 1
        # A backend has nothing to close for whoever comes second.
        if asked == 1:
            await closable.wait()
            link.lose()

    monkeypatch.setattr(FakeClient, "disconnect", close)
    mine = client(hub)
    await mine.connect()
    closing = [asyncio.create_task(mine.disconnect()) for _ in range(3)]
    await asyncio.sleep(1.0)
    assert not any(task.done() for task in closing)
    assert hub.queue.holders.leaving(ADDRESS)
    closing[1].cancel()
    closable.set()
    await asyncio.gather(*closing, return_exceptions=True)
    assert asked == 1
    assert ADDRESS not in hub.queue.links
    assert not near.last.is_connected
