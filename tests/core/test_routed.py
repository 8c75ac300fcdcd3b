"""Clients of a fleet that wait in its queue: what ends the wait, and what does not."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ErrorKind,
    LinkError,
    establish_connection,
)
from proxyconn.fleet.radio_hub import Hub

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

ADDRESS, OTHER = "C4:00:00:00:00:01", "AA:00:00:00:00:01"


@pytest.fixture
async def radio(hub: Hub) -> FakeRadio:
    """Return a radio that hears the device, and whose only slot is taken."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(ADDRESS, -50)
    radio.report(OTHER)
    return radio


def client(hub: Hub) -> BleakClientWithServiceCache:
    """Return a client for the device."""
    return BleakClientWithServiceCache(hub.sightings[ADDRESS].device)


async def begun(connect: asyncio.Task[None], hub: Hub) -> None:
    """Wait until a connect waits for a radio."""
    await asyncio.sleep(0)
    assert not connect.done()
    assert hub.queue.waiting == [ADDRESS]


@pytest.mark.parametrize("granted", [False, True], ids=["waiting", "given a radio just now"])
async def test_disconnect_ends_the_wait(hub: Hub, radio: FakeRadio, granted: bool) -> None:
    """It is no failure of the radio, and nothing is left behind."""
    mine = client(hub)
    connecting = asyncio.create_task(mine.connect())
    await begun(connecting, hub)
    if granted:
        radio.report()
    await mine.disconnect()
    with pytest.raises(LinkError, match="Disconnected while connecting"):
        await connecting
    assert asyncio.get_running_loop().time() == 0
    assert (hub.queue.waiting, hub.queue.links) == ([], {})
    assert not radio.ledger.claims
    assert not hub.paths(ADDRESS)[0].failures


async def test_another_client_does_not_end_the_wait(hub: Hub, radio: FakeRadio) -> None:
    """Neither one that never connected, nor one that was refused."""
    connecting = asyncio.create_task(client(hub).connect())
    await begun(connecting, hub)
    other = client(hub)
    await other.disconnect()
    with pytest.raises(LinkError, match="about to connect"):
        await other.connect()
    await other.disconnect()
    await begun(connecting, hub)
    connecting.cancel()
    await asyncio.wait([connecting])


async def test_one_client_connects_once_at_a_time(hub: Hub, radio: FakeRadio) -> None:
    """A second connect of the same client is refused, and the first goes on."""
    mine = client(hub)
    connecting = asyncio.create_task(mine.connect())
    await begun(connecting, hub)
    with pytest.raises(LinkError, match="already connecting") as caught:
        await mine.connect()
    assert caught.value.kind is ErrorKind.IN_USE
    await begun(connecting, hub)
    await mine.disconnect()
    with pytest.raises(LinkError, match="Disconnected"):
        await connecting


async def test_the_end_of_the_fleet_ends_the_wait(hub: Hub, radio: FakeRadio) -> None:
    """No deadline is waited for: a closed fleet does not come back."""
    device = hub.sightings[ADDRESS].device
    connecting = asyncio.create_task(
        establish_connection(BleakClientWithServiceCache, device, "kettle", deadline=300)
    )
    await asyncio.sleep(1)
    assert hub.queue.waiting == [ADDRESS]
    hub.close()
    with pytest.raises(BleakConnectionError, match="its fleet is closed") as caught:
        await connecting
    assert caught.value.kind is ErrorKind.FLEET_CLOSED
    assert asyncio.get_running_loop().time() == 1
    with pytest.raises(BleakConnectionError, match="its fleet is closed"):
        await establish_connection(BleakClientWithServiceCache, device, "kettle", deadline=300)
    assert asyncio.get_running_loop().time() == 1


async def test_a_busy_radio_costs_no_attempt(hub: Hub) -> None:
    """A radio that opens one link after another is waited for until the deadline, however long."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(ADDRESS, -50)
    radio.claim(OTHER)
    device = hub.sightings[ADDRESS].device
    with pytest.raises(
        BleakConnectionError, match="kitchen was busy opening other links"
    ) as caught:
        await establish_connection(BleakClientWithServiceCache, device, "kettle", deadline=600)
    assert caught.value.kind is ErrorKind.RADIO_BUSY
    assert asyncio.get_running_loop().time() == pytest.approx(600)
