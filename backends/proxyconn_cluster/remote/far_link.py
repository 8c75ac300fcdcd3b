"""One link that an owner elsewhere holds for us."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final, Protocol

from proxyconn.errors import ErrorKind, LinkError, RadioError
from proxyconn.radio import call_guarded
from proxyconn_cluster.bus.messages import Message
from proxyconn_cluster.exchange.failures import error_of
from proxyconn_cluster.exchange.link_messages import Close, Do, Event, Open, Reply
from proxyconn_cluster.members import Member

OPERATION_TIMEOUT: Final = 35.0
"""Seconds for one operation: the holder of the link gives each 30 s itself."""

CLOSE_TIMEOUT: Final = 12.0
"""Seconds for a link to be closed, slot included."""

MOST_EARLY: Final = 1024
"""Events that may wait for one that is missing."""

_LOGGER = logging.getLogger(__name__)


class Exchanger(Protocol):
    """Asks the owner that holds a link."""

    async def exchange(self, member: Member, verb: str, message: Message, timeout: float) -> Reply:
        """Return the answer. Raises RadioUnavailableError, TimeoutError."""
        ...

    def missing(self, link: FarLink) -> None:
        """An event has not come, though a later one has."""

    def forget(self, link: FarLink) -> None:
        """The link is over."""


class FarLink:
    """A link.

    Args:
        name: what we call it; never used twice.
        member: the owner that holds it.
        source: name of the radio.
        exchanger: asks the owner.
        on_down: called once with how the link has ended, if we have not closed it.

    Attributes:
        is_up: whether it carries requests.
        last: number of the last event that was delivered.
    """

    def __init__(
        self,
        name: str,
        member: Member,
        source: str,
        exchanger: Exchanger,
        on_down: Callable[[RadioError], object],
    ) -> None:
        self.name = name
        self.member = member
        self.source = source
        self.is_up = False
        self.last = 0
        self.handlers: dict[int, Callable[[bytearray], object]] = {}
        self._exchanger = exchanger
        self._on_down = on_down
        self._number = 0
        self._under_way: set[int] = set()
        self._early: dict[int, Event] = {}
        self._end: RadioError | None = None
        self._scopes: set[asyncio.Timeout] = set()

    async def open(self, asked: Open) -> Reply:
        """Have it opened.

        Raises:
            BleakError, TimeoutError: what the holder failed with, or that it is not there.
        """
        reply = await self._unless_ended("open", asked, asked.left)
        self.is_up = True
        return reply

    async def do(
        self,
        what: str,
        handle: int = 0,
        data: bytes = b"",
        *,
        flag: bool = False,
        numbers: tuple[int, ...] = (),
    ) -> Reply:
        """Do something over it.

        Raises:
            BleakError, TimeoutError, ValueError: what the holder failed with.
            LinkError: the link has ended meanwhile.
        """
        self._number += 1
        number = self._number
        done = min(self._under_way, default=number) - 1
        self._under_way.add(number)
        asked = Do(
            link=self.name,
            number=number,
            done=done,
            what=what,
            handle=handle,
            data=data,
            flag=flag,
            numbers=numbers,
            left=OPERATION_TIMEOUT,
        )
        try:
            return await self._unless_ended("do", asked, asked.left)
        finally:
            self._under_way.discard(number)

    async def _unless_ended(self, verb: str, asked: Message, timeout: float) -> Reply:
        if self._end:
            raise self._end
        # No task of its own for each operation: that would be a fifth of what it costs.
        scope = asyncio.timeout(None)
        try:
            async with scope:
                self._scopes.add(scope)
                reply = await self._exchanger.exchange(self.member, verb, asked, timeout)
        except TimeoutError:
            if scope.expired() and self._end:
                raise self._end from None
            raise
        finally:
            self._scopes.discard(scope)
        if reply.failed:
            raise error_of(reply.failed)
        return reply

    async def close(self) -> None:
        """Have it closed, or never opened. Raises RadioUnavailableError, TimeoutError."""
        self.is_up = False
        self._exchanger.forget(self)
        await self._exchanger.exchange(self.member, "close", Close(link=self.name), CLOSE_TIMEOUT)

    # What happens on it

    def take(self, event: Event) -> None:
        """An event has come, in whatever order."""
        if event.number <= self.last or event.number in self._early:
            return
        if event.number == self.last + 1 or len(self._early) < MOST_EARLY:
            self._early[event.number] = event
        while one := self._early.pop(self.last + 1, None):
            self.last += 1
            self._deliver(one)
        if self._early:
            self._exchanger.missing(self)

    def _deliver(self, event: Event) -> None:
        if not event.handle:
            self.down(LinkError(event.why, kind=ErrorKind.LINK_TERMINATED, source=self.source))
        elif handler := self.handlers.get(event.handle):
            call_guarded(lambda: handler(bytearray(event.data)))

    def down(self, error: RadioError) -> None:
        """The link has ended; idempotent."""
        self._end = self._end or error
        now = asyncio.get_running_loop().time()
        while self._scopes:
            self._scopes.pop().reschedule(now)
        was_up, self.is_up = self.is_up, False
        self._exchanger.forget(self)
        if was_up:
            self._on_down(error)
