"""What a connected=false means, in the state that a link is in and after the time it took."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    BleakNotFoundError,
    ErrorKind,
    establish_connection,
)
from proxyconn_esphome.codes import ConnectionReason
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.link_ends import SILENT_AFTER, connection_error
from proxyconn_esphome.link.states import LinkEvent
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.by_hand import ADDRESS, NUMBER, HandProxy
from tests.esphome.clocked import a_house, device

pytestmark = pytest.mark.looptime

STACK_ERROR = ConnectionReason(0x85)


def link(*events: LinkEvent) -> Link:
    """Return a link after these events; it was asked for just now."""
    made = Link(HandProxy(), ADDRESS, NUMBER, lambda error: None)
    made.asked_at = asyncio.get_running_loop().time()
    for event in events:
        made.move(event)
    return made


async def test_device_that_did_not_answer() -> None:
    """133 after ten seconds is a device that was not there; at once it is the stack's own error."""
    opening = link(LinkEvent.CONNECT_SENT)
    assert connection_error(opening, STACK_ERROR).kind is ErrorKind.STACK_ERROR
    await asyncio.sleep(SILENT_AFTER)
    error = connection_error(opening, STACK_ERROR)
    assert error.kind is ErrorKind.TIMEOUT
    assert "did not answer for 10 s" in str(error)
    assert error.code is STACK_ERROR


async def test_failed_discovery_has_a_name() -> None:
    """A GATT status in place of a reason is told by its name, and is no failure to open."""
    error = connection_error(link(LinkEvent.CONNECT_SENT), ConnectionReason(0x81))
    assert "services were not discovered: ESP_GATT_INTERNAL_ERROR" in str(error)
    assert error.kind is ErrorKind.TRANSIENT


async def test_failed_service_walk() -> None:
    """133 after the link came up, and before its services, is worth another try and no more."""
    error = connection_error(link(LinkEvent.CONNECT_SENT, LinkEvent.UP), STACK_ERROR)
    assert error.kind is ErrorKind.TRANSIENT
    assert "could not read its services" in str(error)
    up = link(LinkEvent.CONNECT_SENT, LinkEvent.UP, LinkEvent.SET_UP)
    assert connection_error(up, STACK_ERROR).kind is ErrorKind.STACK_ERROR


async def test_silent_device_is_not_found() -> None:
    """On a release that says 133 of everything, a device that never answers is not found."""
    silent = [Outcome(0x85, after=20.0)] * 9
    async with a_house(device(outcomes=silent), profile="2026.10") as house:
        with pytest.raises(BleakNotFoundError):
            await establish_connection(
                BleakClientWithServiceCache, house.device(), "Kettle", max_attempts=1
            )
