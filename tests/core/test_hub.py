"""What a hub makes of a radio that contradicts its own report."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from proxyconn import ErrorKind, LinkError, OutOfSlotsError
from proxyconn._hub import Hub

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

REFUSED = OutOfSlotsError("refused")
DEVICE, OTHER = "C4:00:00:00:00:01", "C4:00:00:00:00:02"


@pytest.fixture
async def hub() -> Hub:
    """Return a hub whose routes lead nowhere."""
    return Hub(Mock(), {})


async def test_the_refused_do_not_wake_each_other(hub: Hub) -> None:
    """A radio that refuses what it reports free is not asked again because another attempt ended.

    Two callers would otherwise ask it in turn, as fast as it answers.
    """
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(DEVICE, -50)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    radio.claim(OTHER)
    waiting = asyncio.create_task(hub.wait_for_report(DEVICE, 4.0))
    await asyncio.sleep(1.0)
    assert not waiting.done()
    radio.release(OTHER)
    radio.report()
    await asyncio.sleep(1.0)
    assert not waiting.done()
    radio.report(OTHER)
    await asyncio.sleep(1.0)
    assert not waiting.done()
    radio.report()
    assert await waiting
    assert asyncio.get_running_loop().time() == pytest.approx(3.0)


async def test_a_refusal_is_waited_out(hub: Hub) -> None:
    """Without another report the wait takes its full time, once for each refusal."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    assert await hub.wait_for_report(DEVICE, 4.0)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    assert not await hub.wait_for_report(DEVICE, 4.0)
    assert await hub.wait_for_report(DEVICE, 4.0)
    hub.attempt_ended(DEVICE, radio, LinkError("lost", kind=ErrorKind.LINK_TERMINATED))
    assert await hub.wait_for_report(DEVICE, 4.0)
    assert asyncio.get_running_loop().time() == pytest.approx(4.0)


async def test_another_radio_ends_the_wait(hub: Hub) -> None:
    """One that can be taken does so, once it is neither full nor busy."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.hear(DEVICE, -50)
    far.hear(DEVICE, -60)
    near.claim(OTHER)
    hub.attempt_ended(DEVICE, far, REFUSED)
    waiting = asyncio.create_task(hub.wait_for_report(DEVICE, 4.0))
    await asyncio.sleep(1.0)
    near.report(OTHER)
    await asyncio.sleep(1.0)
    assert not waiting.done()
    near.report()
    assert await waiting
    hub.attempt_ended(DEVICE, far, REFUSED)
    assert await hub.wait_for_report(DEVICE, 4.0)
    assert asyncio.get_running_loop().time() == pytest.approx(2.0)


async def test_a_radio_that_left_is_not_waited_for(hub: Hub) -> None:
    """What it refused is forgotten with it."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    hub.radio_removed(radio)
    assert await hub.wait_for_report(DEVICE, 4.0)
    assert asyncio.get_running_loop().time() == 0.0


async def test_who_is_to_blame_for_a_refusal(hub: Hub) -> None:
    """A radio that has said that it is full is not; one that has not is, promises or no promises."""
    radio = FakeRadio(hub, "kitchen", 1)
    radio.hear(DEVICE, -50)
    radio.report(OTHER)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    assert not hub.paths(DEVICE)[0].failures
    radio.report()
    radio.claim(OTHER)
    hub.attempt_ended(DEVICE, radio, REFUSED)
    assert hub.paths(DEVICE)[0].failures == 1.0
