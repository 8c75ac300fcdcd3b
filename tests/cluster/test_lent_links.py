"""An owner that is asked for more than anybody needs remembers and does a limited part of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import SimpleNamespace
from typing import Any, cast

import pytest
from nats.aio.msg import Msg

from proxyconn.fleet.lending import Lending
from proxyconn_cluster.bus.messages import Message, decode, encode
from proxyconn_cluster.bus.subjects import Subjects
from proxyconn_cluster.exchange.link_messages import Close, Keep, Open, Reply
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.lent_links import MOST_OVER, MOST_UNDER_WAY, LentLinks

pytestmark = pytest.mark.looptime


class Slow:
    """A client whose device does not answer."""

    address, source, link_end = "C4:00:00:00:00:01", "kitchen", None

    def set_disconnected_callback(self, callback: Callable[[], None]) -> None:
        """Nothing."""

    async def connect(self, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(20.0)

    async def disconnect(self) -> None:
        """Nothing."""


class Asked:
    """An owner that is asked; there is no broker."""

    name, lease, subjects = "north", 10.0, Subjects("house")

    def __init__(self) -> None:
        self.answers: list[Reply] = []
        self.handler: Callable[[Msg], Awaitable[None]]
        lending = SimpleNamespace(client=lambda *_, **__: Slow())
        members = SimpleNamespace(bus=self, name="north", lease=10.0, subject=lambda *_: "asked")
        self.links = LentLinks(cast("Lending", lending), cast("Members", members))

    async def subscribe(self, subject: str, handler: Callable[[Msg], Awaitable[None]]) -> None:
        self.handler = handler

    async def publish(self, subject: str, data: bytes) -> None:
        """Nobody is told."""

    async def answer(self, message: Msg, data: bytes) -> None:
        self.answers.append(decode(data, Reply))

    async def ask(self, verb: str, message: Message, *, wait: float = 0.01) -> Reply | None:
        """Ask, and return the answer if there is one within some seconds."""
        self.answers.clear()
        await self.handler(Msg(cast("Any", None), f"link.{verb}", "", encode(message)))
        await asyncio.sleep(wait)
        return self.answers[-1] if self.answers else None


@pytest.fixture
async def asked() -> AsyncIterator[Asked]:
    """Yield an owner."""
    asked = Asked()
    await asked.links.start()
    yield asked
    await asked.links.aclose()


def opening(link: str) -> Open:
    """Return a request to open a link."""
    return Open(
        link=link,
        user="program",
        events="proxyconn.v1.house.home.event.program.1",
        radio="kitchen",
        address=Slow.address,
        address_type=1,
        left=9.0,
    )


async def test_only_so_many_links_that_are_over_are_remembered(asked: Asked) -> None:
    for number in range(MOST_OVER + 1):
        assert await asked.ask("close", Close(link=f"link-{number}"), wait=0.0) == Reply()
    late = await asked.ask("open", opening(f"link-{MOST_OVER}"))
    assert late
    assert late.failed
    assert "has no link" in late.failed.text
    assert await asked.ask("open", opening("link-0")) is None, "it is opened"


@pytest.mark.parametrize("name", ["x" * 129, "", "a.b", "a\n", "é"])
async def test_what_is_no_name_of_a_link_is_not_remembered(asked: Asked, name: str) -> None:
    for verb, message in (("close", Close(link=name)), ("open", opening(name))):
        reply = await asked.ask(verb, message)
        assert reply
        assert reply.failed
        assert reply.failed.kind == "unsupported"


async def test_only_so_many_requests_are_under_way(asked: Asked) -> None:
    for _ in range(MOST_UNDER_WAY):
        assert await asked.ask("open", opening("link"), wait=0.0) is None
    refused = await asked.ask("open", opening("other"))
    assert refused
    assert refused.failed
    assert refused.failed.kind == "transient"
    assert await asked.ask("keep", Keep(links={"link": 0})) == Reply(), (
        "links are kept all the same"
    )
    await asyncio.sleep(1.5)
    pending = await asked.ask("open", opening("other"), wait=1.5)
    assert pending
    assert pending.pending
