"""What is asked of the owner that holds a link, when nobody answers where it was."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import cast

import pytest
from nats.aio.msg import Msg

from proxyconn.errors import RadioUnavailableError
from proxyconn_cluster.bus.errors import NoAnswerError, NobodyThereError
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.exchange.link_messages import Close, Reply
from proxyconn_cluster.members import Member, Members
from proxyconn_cluster.remote.far_links import ASK_AGAIN_AFTER, NOBODY_FOR, FarLinks

pytestmark = pytest.mark.looptime

LONG = 30.0
"""Seconds that an operation may take: far more than it takes to see that nobody is there."""

DONE = Reply(data=b"done")


class Line:
    """A broker that does what a test says with each request."""

    def __init__(self) -> None:
        self.replies: Callable[[float], Reply | Exception] = lambda seconds: DONE
        self.asked = 0
        self.answers = 0
        self._loop = asyncio.get_running_loop()
        self._began: float | None = None

    @property
    def seconds(self) -> float:
        """How long ago the first request was."""
        self._began = self._loop.time() if self._began is None else self._began
        return self._loop.time() - self._began

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        self.asked += 1
        reply = self.replies(self.seconds)
        if isinstance(reply, NoAnswerError):
            await asyncio.sleep(timeout)
        if isinstance(reply, Exception):
            raise reply
        return cast("Msg", SimpleNamespace(data=encode(reply)))


class Place:
    """A program whose links a member of the cluster holds."""

    def __init__(self) -> None:
        self.line = Line()
        members = SimpleNamespace(bus=self.line, name="program", subject_of=lambda *_: "asked")
        self.links = FarLinks(cast("Members", members))
        self.member = Member("north", "1", "home", 10.0, 0.0)

    async def ask(self, timeout: float = LONG) -> Reply:
        """Ask the member."""
        return await self.links.exchange(self.member, "close", Close(link="link"), timeout)


@pytest.fixture
async def place() -> Place:
    """Return a program; its member is there."""
    return Place()


async def test_where_nobody_listens_for_a_while_the_holder_has_left(place: Place) -> None:
    place.line.replies = lambda seconds: NobodyThereError("nobody")
    with pytest.raises(RadioUnavailableError, match="north has left"):
        await place.ask()
    assert NOBODY_FOR <= place.line.seconds < 2 * NOBODY_FOR


async def test_where_nobody_listens_a_silent_holder_has_left_at_once(place: Place) -> None:
    place.line.replies = lambda seconds: NobodyThereError("nobody")
    place.member.silent = True
    with pytest.raises(RadioUnavailableError, match="north has left"):
        await place.ask()
    assert place.line.seconds == 0


async def test_a_holder_that_connects_anew_meanwhile_answers(place: Place) -> None:
    place.line.replies = lambda seconds: (
        DONE if seconds > NOBODY_FOR / 2 else NobodyThereError("nobody")
    )
    assert await place.ask() == DONE


async def test_only_a_while_without_any_answer_counts(place: Place) -> None:
    def replies(seconds: float) -> Reply | Exception:
        if place.line.answers == 0 and seconds > 0.8 * NOBODY_FOR:
            place.line.answers += 1
            return Reply(pending=True)
        return DONE if seconds > 1.5 * NOBODY_FOR else NobodyThereError("nobody")

    place.line.replies = replies
    assert await place.ask() == DONE


async def test_a_request_without_an_answer_is_sent_again(place: Place) -> None:
    place.line.replies = lambda seconds: (
        DONE if seconds > 3 * ASK_AGAIN_AFTER else NoAnswerError("lost")
    )
    assert await place.ask() == DONE
    place.line.replies = lambda seconds: NoAnswerError("lost")
    with pytest.raises(TimeoutError, match="within 1 s"):
        await place.ask(1.0)


async def test_what_is_under_way_at_its_holder_is_asked_for_until_it_is_done(place: Place) -> None:
    replies = iter([Reply(pending=True), Reply(pending=True), DONE])
    place.line.replies = lambda seconds: next(replies)
    assert await place.ask() == DONE
    assert place.line.asked == 3
