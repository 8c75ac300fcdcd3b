"""What a hub makes of a radio that contradicts its own report."""

from __future__ import annotations

import asyncio
from unittest.mock import Mock

import pytest

from proxyconn import ErrorKind, LinkError, RadioState
from proxyconn._hub import Hub

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

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
    hub.attempt_ended(DEVICE, radio, LinkError("refused", kind=ErrorKind.TRANSIENT))
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
    """Without another report the wait takes its full time; a radio that did not fail ends it."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(DEVICE, -50)
    assert await hub.wait_for_report(DEVICE, 4.0)
    hub.attempt_ended(DEVICE, radio, LinkError("refused", kind=ErrorKind.TRANSIENT))
    assert not await hub.wait_for_report(DEVICE, 4.0)
    assert asyncio.get_running_loop().time() == pytest.approx(4.0)


async def test_a_better_radio_without_a_slot_changes_nothing(hub: Hub) -> None:
    """The radio that would be given next is the one that refused; a slot of the other one helps."""
    near, far = FakeRadio(hub, "near", 1), FakeRadio(hub, "far", 1)
    near.hear(DEVICE, -50)
    far.hear(DEVICE, -60)
    near.report(OTHER)
    hub.attempt_ended(DEVICE, far, LinkError("refused", kind=ErrorKind.TRANSIENT))
    waiting = asyncio.create_task(hub.wait_for_report(DEVICE, 4.0))
    await asyncio.sleep(1.0)
    assert not waiting.done()
    near.report()
    assert await waiting
    far.become(RadioState.GONE)
    near.report(OTHER)
    assert await hub.wait_for_report(DEVICE, 4.0), "the queue is the place to wait"
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)
