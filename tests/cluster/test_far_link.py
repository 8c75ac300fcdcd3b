"""One link at another owner: what is under way when it ends, and events in whatever order."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn.errors import LinkError, RadioError
from proxyconn_cluster.bus.messages import Message
from proxyconn_cluster.exchange.link_messages import Do, Event, Reply
from proxyconn_cluster.members import Member
from proxyconn_cluster.remote.far_link import MOST_EARLY, FarLink

pytestmark = pytest.mark.looptime


class Holder:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[Message] = []
        self.answer: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.missed = 0

    async def exchange(self, member: Member, verb: str, message: Message, timeout: float) -> Reply:
        self.asked.append(message)
        return await asyncio.shield(self.answer)

    def missing(self, link: FarLink) -> None:
        self.missed += 1

    def forget(self, link: FarLink) -> None:
        """Nothing."""


class Place:
    """A link that is up."""

    def __init__(self) -> None:
        self.holder = Holder()
        self.downs: list[RadioError] = []
        self.heard: list[bytes] = []
        member = Member("north", "1", "home", 10.0, 0.0)
        self.link = FarLink("link", member, "kitchen", self.holder, self.downs.append)
        self.link.is_up = True
        self.link.handlers[7] = lambda data: self.heard.append(bytes(data))

    def notified(self, number: int) -> None:
        """Have an event come."""
        self.link.take(Event("link", number, 7, bytes((number,))))


@pytest.fixture
async def place() -> Place:
    """Return a link that is up."""
    return Place()


async def test_what_is_under_way_ends_with_the_link(place: Place) -> None:
    reads = [asyncio.ensure_future(place.link.do("read", number)) for number in range(3)]
    await asyncio.sleep(0.1)
    end = LinkError("it was lost")
    place.link.down(end)
    assert await asyncio.gather(*reads, return_exceptions=True) == [end] * 3
    with pytest.raises(LinkError, match="it was lost"):
        await place.link.do("read", 1)
    place.link.down(LinkError("again"))
    assert place.downs == [end]
    assert len(place.holder.asked) == 3


async def test_a_request_that_is_cancelled_is_over_for_its_holder(place: Place) -> None:
    reading = asyncio.ensure_future(place.link.do("read", 1))
    await asyncio.sleep(0.1)
    reading.cancel()
    await asyncio.gather(reading, return_exceptions=True)
    place.holder.answer.set_result(Reply(data=b"now"))
    assert (await place.link.do("read", 2)).data == b"now"
    numbers = [(one.number, one.done) for one in place.holder.asked if isinstance(one, Do)]
    assert numbers == [(1, 0), (2, 1)]


async def test_an_answer_that_is_still_waited_for_is_kept_by_its_holder(place: Place) -> None:
    reads = [asyncio.ensure_future(place.link.do("read", number)) for number in range(3)]
    await asyncio.sleep(0.1)
    done = [one.done for one in place.holder.asked if isinstance(one, Do)]
    assert done == [0, 0, 0], "a request that is sent again would be carried out again"
    place.holder.answer.set_result(Reply())
    await asyncio.gather(*reads)
    await place.link.do("read", 3)
    assert [one.done for one in place.holder.asked if isinstance(one, Do)][-1] == 3


async def test_events_are_delivered_once_and_in_order(place: Place) -> None:
    for number in (1, 3, 3, 1, 4):
        place.notified(number)
    assert place.heard == [b"\x01"]
    assert place.holder.missed == 2
    assert place.link.last == 1
    place.notified(2)
    assert place.heard == [b"\x01", b"\x02", b"\x03", b"\x04"]
    place.link.take(Event("link", 5, why="it went away"))
    assert [str(end) for end in place.downs] == ["it went away"]


async def test_the_next_event_is_taken_however_many_wait_for_it(place: Place) -> None:
    for number in range(2, MOST_EARLY + 2):
        place.link.take(Event("link", number, 7, b"later"))
    place.link.take(Event("link", 1, 7, b"first"))
    assert place.heard == [b"first"] + [b"later"] * MOST_EARLY


async def test_only_so_many_events_wait_for_one_that_is_missing(place: Place) -> None:
    for number in range(2, MOST_EARLY + 9):
        place.link.take(Event("link", number, 7, b"later"))
    place.link.take(Event("link", 1, 7, b"first"))
    assert place.link.last == MOST_EARLY + 1, "the rest is sent again"
