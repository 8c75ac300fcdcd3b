"""What becomes of callers whom a radio refuses a slot that it has reported free."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import ErrorKind, LinkError, OutOfSlotsError
from proxyconn.fleet.radio_hub import Hub
from proxyconn.radio import Radio
from proxyconn.routing.slot_refusals import REST

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

DEVICE, OTHER = "C4:00:00:00:00:01", "C4:00:00:00:00:02"
REFUSED = OutOfSlotsError("refused")


def refuse(hub: Hub, radio: FakeRadio, address: str) -> None:
    """End an attempt as a client does that a radio has refused."""
    hub.link_ended(address)
    hub.attempt_ended(address, radio, REFUSED)


async def given_after(hub: Hub, address: str, timeout: float = 20.0) -> tuple[Radio, float]:
    """Return the radio that the queue gives, and the seconds until then."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    radio = await hub.queue.take(address, timeout)
    return radio, loop.time() - begun


async def test_the_refused_wait(hub: Hub) -> None:
    """Nobody asks again at once, not even when somebody else's attempt has ended meanwhile.

    Two callers would otherwise ask in turn, as fast as the radio answers.
    """
    radio = FakeRadio(hub, "kitchen", 1)
    for address in (DEVICE, OTHER):
        radio.hear(address, -50)
    for address in (DEVICE, OTHER):
        assert await given_after(hub, address) == (radio, 0.0)
        refuse(hub, radio, address)
    first = asyncio.create_task(given_after(hub, DEVICE))
    second = asyncio.create_task(given_after(hub, OTHER))
    given, seconds = await first
    assert given is radio
    assert seconds == pytest.approx(4.0, abs=0.3)
    hub.link_ended(DEVICE)
    assert await second == (radio, seconds)


async def test_one_more_free_slot_ends_the_wait(hub: Hub) -> None:
    """The same report again does not; nor does a slot that is only given back."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    await given_after(hub, DEVICE)
    refuse(hub, radio, DEVICE)
    waiting = asyncio.create_task(given_after(hub, DEVICE))
    await asyncio.sleep(1.0)
    radio.report()
    radio.claim(OTHER)
    radio.release(OTHER)
    await asyncio.sleep(1.0)
    radio.report(OTHER)
    await asyncio.sleep(1.0)
    assert not waiting.done()
    radio.report()
    given, seconds = await waiting
    assert given is radio
    assert seconds == pytest.approx(3.0, abs=0.01)


async def test_another_radio_is_taken(hub: Hub) -> None:
    """However much better the radio is that refuses, and as soon as the other one has a slot."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.hear(DEVICE, -40)
    far.hear(DEVICE, -99)
    far.report(OTHER)
    assert await given_after(hub, DEVICE) == (near, 0.0)
    refuse(hub, near, DEVICE)
    waiting = asyncio.create_task(given_after(hub, DEVICE))
    await asyncio.sleep(1.0)
    far.report()
    assert await waiting == (far, 1.0)


async def test_what_is_said_when_all_refuse(hub: Hub) -> None:
    """A caller whose time is up meanwhile hears of slots, not of a radio that is busy."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    await given_after(hub, DEVICE)
    refuse(hub, radio, DEVICE)
    with pytest.raises(OutOfSlotsError):
        await hub.queue.take(DEVICE, 1.0)


async def test_a_radio_that_left_is_forgotten(hub: Hub) -> None:
    """What it refused does not count when it joins again."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    await given_after(hub, DEVICE)
    refuse(hub, radio, DEVICE)
    hub.radio_removed(radio)
    hub.radio_removed(radio)
    hub.radio_added(radio)
    radio.hear(DEVICE, -50)
    assert await given_after(hub, DEVICE) == (radio, 0.0)


async def test_who_is_to_blame_for_a_refusal(hub: Hub) -> None:
    """A radio that has said that it is full is not; one that has not is, promised or not."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(DEVICE, -50)
    radio.report(OTHER)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    assert not hub.paths(DEVICE)[0].failures
    radio.report()
    radio.claim(OTHER)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    assert hub.paths(DEVICE)[0].failures == 1.0


async def test_another_failure_is_no_refusal(hub: Hub) -> None:
    """A radio that only lost the link may be asked again at once."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    await given_after(hub, DEVICE)
    hub.link_ended(DEVICE)
    hub.attempt_ended(DEVICE, radio, LinkError("lost", kind=ErrorKind.LINK_TERMINATED))
    assert await given_after(hub, DEVICE) == (radio, 0.0)


async def test_a_refusal_lasts_as_long_as_the_wait_for_a_slot(hub: Hub) -> None:
    """And not a moment longer; another device is asked for at once."""
    radio = FakeRadio(hub, "kitchen")
    refusals = hub.routing.refusals
    refusals.add(DEVICE, radio, 0.0)
    refusals.add(OTHER, radio, 3.0)
    assert refusals.stands(DEVICE, radio, REST - 0.1)
    assert not refusals.stands(DEVICE, radio, REST)
    assert refusals.stands(OTHER, radio, REST)
    assert not refusals.stands(OTHER, radio, 3.0 + REST)


async def test_the_first_report_ends_the_refusals_of_before(hub: Hub) -> None:
    """A radio that had not reported had no free slot to speak of."""
    radio = FakeRadio(hub, "kitchen", 0)
    refusals = hub.routing.refusals
    refusals.add(DEVICE, radio, 0.0)
    assert refusals.stands(DEVICE, radio, 1.0)
    hub.slots_changed(radio, radio.ledger.update(1, 1, []))
    assert not refusals.stands(DEVICE, radio, 1.0)
