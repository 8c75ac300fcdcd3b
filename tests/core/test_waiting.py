"""Which radio a caller waits for and how long, and what is forgotten meanwhile."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import OutOfSlotsError, RadioState, UnsupportedError
from proxyconn.advertisements.merged_device import STALE_AT_MOST
from proxyconn.fleet.radio_hub import Hub
from proxyconn.routing.connection_queue import PLACE_KEPT, UNREACHABLE_TIMEOUT
from proxyconn.routing.failure_memory import FailureMemory

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

FIRST, SECOND, THIRD = (f"C4:00:00:00:00:0{number}" for number in (1, 2, 3))
OTHER, ANOTHER = "AA:00:00:00:00:01", "AA:00:00:00:00:02"


async def a_near_radio(hub: Hub) -> FakeRadio:
    """Return a radio whose slot is held for a second at a time, and has just been taken."""
    near = FakeRadio(hub, "near", 1)
    near.report(OTHER)
    await asyncio.sleep(1)
    near.report()
    near.report(OTHER)
    return near


def now() -> float:
    """Return the time."""
    return asyncio.get_running_loop().time()


async def test_those_ahead_count(hub: Hub) -> None:
    """The first waits a second for the near radio; for the next one that would be two."""
    near, far = await a_near_radio(hub), FakeRadio(hub, "far", 1)
    for address in (FIRST, SECOND):
        near.hear(address, -70)
        far.hear(address, -88)
    first = asyncio.create_task(hub.queue.take(FIRST, 10))
    second = asyncio.create_task(hub.queue.take(SECOND, 10))
    await asyncio.sleep(0.1)
    assert not first.done()
    assert await second is far
    near.report()
    assert await first is near


async def test_nobody_waits_for_ever_for_the_best(hub: Hub) -> None:
    """Its slot may go from one to the other, and be expected back in a second again and again."""
    near, far = await a_near_radio(hub), FakeRadio(hub, "far", 1)
    near.hear(FIRST, -70)
    far.hear(FIRST, -95)
    begun = now()
    waiting = asyncio.create_task(hub.queue.take(FIRST, 60))
    for holder in (ANOTHER, OTHER) * 5:
        await asyncio.sleep(0.9)
        near.report(holder)
        if waiting.done():
            break
    assert await waiting is far
    assert 1 < now() - begun < 4


async def test_each_absence_is_waited_for_anew(hub: Hub) -> None:
    """Two short ones are no long one, though no slot came free in between."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(FIRST, -50)
    radio.report(OTHER)
    waiting = asyncio.create_task(hub.queue.take(FIRST, 60))
    for state in (RadioState.CONNECTING, RadioState.READY, RadioState.CONNECTING):
        radio.become(state)
        await asyncio.sleep(0.7 * UNREACHABLE_TIMEOUT)
    assert not waiting.done()
    radio.report()
    radio.become(RadioState.READY)
    await asyncio.sleep(0)
    assert waiting.done()
    assert await waiting is radio


async def test_a_place_is_kept_for_a_while_only(hub: Hub) -> None:
    """Who comes back late is late."""
    radio = FakeRadio(hub, "kitchen", 1)
    for address in (FIRST, SECOND):
        radio.hear(address, -50)
    radio.report(OTHER)
    with pytest.raises(OutOfSlotsError):
        await hub.queue.take(FIRST, 1)
    await asyncio.sleep(PLACE_KEPT + 1)
    tasks = [asyncio.create_task(hub.queue.take(address, 1)) for address in (SECOND, FIRST)]
    await asyncio.sleep(0)
    assert hub.queue.waiting == [SECOND, FIRST]
    await asyncio.wait(tasks)


async def test_a_radio_that_only_listens_is_told_at_once(hub: Hub) -> None:
    """Waiting would not help."""
    radio = FakeRadio(hub, "kitchen")
    radio.connectable = False
    radio.hear(FIRST, -50)
    with pytest.raises(UnsupportedError, match="active: true"):
        await hub.queue.take(FIRST, 60)
    assert now() == 0


@pytest.mark.parametrize("how", ["wedged", "removed"])
async def test_a_slot_of_a_radio_that_is_lost_is_not_waited_for(hub: Hub, how: str) -> None:
    """A wedged proxy never lets go, and one that has left the fleet is never heard of again."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.hear(FIRST, -50)
    far.hear(FIRST, -60)
    far.report(FIRST)
    waiting = asyncio.create_task(hub.queue.take(FIRST, 60))
    await asyncio.sleep(1)
    assert not waiting.done()
    if how == "wedged":
        far.become(RadioState.WEDGED)
    else:
        hub.radio_removed(far)
    await asyncio.sleep(0)
    assert waiting.done()
    assert await waiting is near


async def test_a_connected_device_is_remembered(hub: Hub) -> None:
    """It does not advertise, and right after the link it can be found."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(FIRST, -50)
    await hub.queue.take(FIRST, 1)
    await asyncio.sleep(2 * STALE_AT_MOST)
    radio.hear(SECOND, -50)
    assert hub.find(FIRST) is None
    hub.link_ended(FIRST)
    assert hub.find(FIRST) is hub.sightings[FIRST].device
    await asyncio.sleep(2 * STALE_AT_MOST)
    radio.hear(SECOND, -50)
    assert FIRST not in hub.sightings


async def test_faded_failures_take_no_memory(hub: Hub) -> None:
    """Devices that nobody asks for any more are forgotten with what they failed at."""
    radio = FakeRadio(hub, "kitchen")
    hub.attempt_ended(FIRST, radio, TimeoutError())
    assert hub.routing.memory != FailureMemory()
    await asyncio.sleep(2 * STALE_AT_MOST)
    radio.hear(SECOND, -50)
    assert hub.routing.memory == FailureMemory()


async def test_what_is_given_back_goes_to_the_next_at_once(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the radio does not say that a claim was given up."""
    radio = FakeRadio(hub, "kitchen", 1)
    monkeypatch.setattr(radio, "release", radio.ledger.drop_claim)
    for address in (FIRST, SECOND):
        radio.hear(address, -50)
    await hub.queue.take(FIRST, 1)
    waiting = asyncio.create_task(hub.queue.take(SECOND, 1))
    await asyncio.sleep(0)
    hub.queue.give_back(FIRST)
    await asyncio.sleep(0)
    assert waiting.done()
    assert await waiting is radio
