"""Asks every owner what a link to a device would be worth: one question, an answer from each."""

from __future__ import annotations

import asyncio
import itertools
import logging
from typing import Final

from nats.aio.msg import Msg

from proxyconn_cluster.bus.connection import Subscribed
from proxyconn_cluster.bus.messages import MessageError, decode, encode
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.exchange.offers import Answer, Ask
from proxyconn_cluster.members import Key, Members

ANSWERS_WITHIN: Final = 0.08
"""Seconds for owners to answer: one that is busy or far away does not keep everybody waiting."""

_LOGGER = logging.getLogger(__name__)


class _Question:
    """What was asked, and who has not answered yet."""

    def __init__(self, awaited: set[Key]) -> None:
        self.awaited = awaited
        self.answers: dict[Key, Answer] = {}
        self.all: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def take(self, answer: Answer) -> None:
        key = answer.sender, answer.run
        self.answers[key] = answer
        self.awaited.discard(key)
        if not self.awaited and not self.all.done():
            self.all.set_result(None)


class OfferRequests:
    """Asks every member for its offer.

    Args:
        members: who is there.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._numbers = itertools.count(1)
        self._questions: dict[int, _Question] = {}
        self._subscribed: Subscribed | None = None

    @property
    def _reply(self) -> str:
        return self._members.subject(Kind.ANSWER)

    async def start(self) -> None:
        """Be ready for answers."""
        self._subscribed = await self._members.bus.subscribe(self._reply, self._on_answer)

    async def aclose(self) -> None:
        """Ask no more; idempotent."""
        if self._subscribed:
            await self._members.bus.unsubscribe(self._subscribed)
            self._subscribed = None

    async def ask(self, device: str, timeout: float = ANSWERS_WITHIN) -> dict[Key, Answer]:
        """Return what owners say of a device, those who have answered in time.

        Args:
            device: its address, or a name that it says.
            timeout: seconds to wait, at most; `ANSWERS_WITHIN` if that is less.
        """
        owners = {member.key for member in self._members.owners()}
        if not owners or not self._members.bus.connected:
            return {}
        number = next(self._numbers)
        question = self._questions[number] = _Question(owners)
        asked = Ask(sender=self._members.name, number=number, reply=self._reply, device=device)
        try:
            async with asyncio.timeout(max(min(timeout, ANSWERS_WITHIN), 0.0)):
                await self._members.bus.publish(
                    self._members.bus.subjects.of_all(Kind.ASK), encode(asked)
                )
                await question.all
        except TimeoutError:
            _LOGGER.debug("%s: no answer of %s", device, question.awaited)
        finally:
            del self._questions[number]
        return question.answers

    async def _on_answer(self, message: Msg) -> None:
        try:
            answer = decode(message.data, Answer)
        except MessageError as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            return
        if question := self._questions.get(answer.number):
            question.take(answer)
