"""One link that is held for a user who does not hear everything that happens on it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest

from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_cluster.bus.messages import MOST_BYTES, decode
from proxyconn_cluster.exchange.link_messages import Do, Event, Events, Open
from proxyconn_cluster.exchange.services import Characteristic, Service, service_collection
from proxyconn_cluster.serving.lent_link import (
    END_IN_ORDER,
    GIVE_UP_AFTER,
    MOST_EVENTS,
    UNDELIVERED,
    LentLink,
)

SERVICE = "0000fff0-0000-1000-8000-00805f9b34fb"
TICK = "0000fff3-0000-1000-8000-00805f9b34fb"

pytestmark = pytest.mark.looptime


class Device:
    """Stands for the client: a link that is up."""

    address, source, link_end = "C4:00:00:00:00:01", "kitchen", "it went away"
    mtu_size, is_connected = 517, True

    def __init__(self) -> None:
        told = Service(6, SERVICE, (Characteristic(7, TICK, ("notify",)),))
        self.services = service_collection([told], lambda: 20)
        self.notify: Callable[[bytearray], None] = lambda data: None
        self.lose: Callable[[], None] = lambda: None
        self.closed = 0

    def set_disconnected_callback(self, callback: Callable[[], None]) -> None:
        self.lose = callback

    async def connect(self, *args: Any, **kwargs: Any) -> None:
        """Nothing."""

    async def start_notify(self, what: object, notify: Callable[[bytearray], None]) -> None:
        self.notify = notify

    async def disconnect(self) -> None:
        self.closed += 1


class House:
    """A link that is up, and what its user is sent."""

    def __init__(self) -> None:
        self.device = Device()
        self.sent: list[bytes] = []
        asked = Open(
            link="link-1",
            user="program",
            events="events",
            radio="kitchen",
            address=self.device.address,
            address_type=1,
            left=5.0,
        )
        self.link = LentLink(asked, cast("RoutedClient", self.device), self._publish)

    async def _publish(self, subject: str, data: bytes) -> None:
        self.sent.append(data)

    async def notified(self, count: int) -> None:
        """Have the device notify, each time with the longest value."""
        for _ in range(count):
            self.device.notify(bytearray(512))
        await asyncio.sleep(0)
        await asyncio.sleep(0)

    def told(self) -> list[Event]:
        """Return what the user can read of what was sent, and forget it."""
        sent, self.sent = self.sent, []
        assert max(map(len, sent), default=0) < MOST_BYTES
        return [event for data in sent for event in decode(data, Events).events]


@pytest.fixture
async def house() -> AsyncIterator[House]:
    """Yield a link that is up."""
    house = House()
    await house.link.opening
    request = house.link.request(
        Do(link="link-1", number=1, what="start_notify", handle=7, left=5.0)
    )
    assert request
    await request
    yield house
    await house.link.close()
    await house.link.aclose()


async def test_what_is_missing_is_sent_again_in_messages_that_can_be_read(house: House) -> None:
    await house.notified(MOST_EVENTS)
    assert len(house.told()) == MOST_EVENTS
    await asyncio.sleep(1.0)
    assert house.link.keep(0) is None
    await asyncio.sleep(0.1)
    assert [event.number for event in house.told()] == list(range(1, MOST_EVENTS + 1))


async def test_a_link_whose_notifications_are_lost_for_good_is_closed(house: House) -> None:
    await house.notified(MOST_EVENTS + 9)
    assert house.link.keep(8) is None, "what is missing may be on its way"
    await asyncio.sleep(0.1)
    assert house.link.keep(8) is None
    await asyncio.sleep(1.0)
    assert house.link.keep(8) == UNDELIVERED
    await asyncio.sleep(0.1)
    assert house.device.closed
    assert house.link.keep(8) == UNDELIVERED, "the answer may have been lost"


async def test_a_user_who_has_everything_in_the_end_keeps_the_link(house: House) -> None:
    for last in range(0, 9 * MOST_EVENTS, MOST_EVENTS):
        await house.notified(MOST_EVENTS + 1)
        assert house.link.keep(last) is None
        await asyncio.sleep(1.0)
    assert not house.device.closed


async def test_a_user_who_lacks_nothing_keeps_a_link_on_which_nothing_happens(house: House) -> None:
    await house.notified(2)
    house.told()
    for _ in range(4):
        assert house.link.keep(2) is None
        await asyncio.sleep(GIVE_UP_AFTER)
    assert house.told() == []
    assert not house.device.closed


async def test_the_end_is_told_in_order_and_after_a_while_in_any_case(house: House) -> None:
    await house.notified(2)
    house.told()
    house.device.lose()
    assert house.link.keep(0) is None
    await asyncio.sleep(0.1)
    assert [event.why for event in house.told()] == ["it went away"]
    await asyncio.sleep(END_IN_ORDER)
    assert house.link.keep(0) == "it went away"
