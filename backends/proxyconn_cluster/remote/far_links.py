"""The links that others hold for us: asks their holders, and tells them that we are still there."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections import defaultdict
from collections.abc import Callable, Coroutine
from typing import Any, Final

from nats.aio.msg import Msg

from proxyconn.callbacks import log_failure
from proxyconn.errors import ErrorKind, LinkError, RadioError, RadioUnavailableError
from proxyconn_cluster.bus.connection import Subscribed
from proxyconn_cluster.bus.errors import ClusterError, NobodyThereError
from proxyconn_cluster.bus.messages import Message, MessageError, decode, encode
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.exchange.link_messages import Events, Keep, Reply
from proxyconn_cluster.members import Member, Members
from proxyconn_cluster.remote.far_link import FarLink

ASK_AGAIN_AFTER: Final = 2.0
"""Seconds after which a request without an answer is sent again; who is there answers before."""

NOBODY_FOR: Final = 1.5
"""Seconds for which nobody may listen where a member was: its connection may be made anew."""

LOOK_AGAIN: Final = 0.1
"""Seconds between two tries meanwhile."""

KEEPS: Final = 4
"""Words to the holder of our links within its lease, after which it closes them."""

KEEP_AT_MOST: Final = 2.5
"""Seconds between two of them, at most."""

LAST_WORDS: Final = 3.0
"""Seconds for links to be closed when the fleet is."""

OVERTAKEN: Final = 0.6
"""Seconds after which an event that was overtaken by a later one is taken for lost."""

_LOGGER = logging.getLogger(__name__)


class FarLinks:
    """The links.

    Args:
        members: who is there.
    """

    def __init__(self, members: Members) -> None:
        self._members = members
        self._links: dict[str, FarLink] = {}
        self._answered: dict[Member, float] = {}
        self._subscribed: Subscribed | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._keeping: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()
        self._unregister: Callable[[], None] | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def user(self) -> str:
        """Who we are, for people."""
        return self._members.name

    @property
    def events(self) -> str:
        """The subject on which holders tell us what happens."""
        return self._members.subject(Kind.EVENT)

    async def start(self) -> None:
        """Listen to holders, and speak to them."""
        self._subscribed = await self._members.bus.subscribe(self.events, self._on_events)
        self._unregister = self._members.gone.register(self._member_gone)
        self._keeping = self._loop.create_task(self._keep())
        self._keeping.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Close every link; idempotent."""
        if self._keeping:
            self._keeping.cancel()
            await asyncio.gather(self._keeping, return_exceptions=True)
            self._keeping = None
        if self._unregister:
            self._unregister()
            self._unregister = None
        for link in list(self._links.values()):
            self.close_later(link)
            link.down(LinkError("the fleet is closed", kind=ErrorKind.FLEET_CLOSED))
        if self._tasks:
            # Their holders close the rest by themselves.
            await asyncio.wait(self._tasks, timeout=LAST_WORDS)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._subscribed:
            await self._members.bus.unsubscribe(self._subscribed)
            self._subscribed = None

    def make(self, member: Member, source: str, on_down: Callable[[RadioError], object]) -> FarLink:
        """Return a link that is not open yet."""
        name = f"{self._members.name}-{self._members.run}-{secrets.token_hex(6)}"
        link = self._links[name] = FarLink(name, member, source, self, on_down)
        self._answered.setdefault(member, self._loop.time())
        return link

    def close_later(self, link: FarLink) -> None:
        """Have a link closed that nobody waits for."""
        self._spawn(self._close(link))

    async def _close(self, link: FarLink) -> None:
        try:
            await link.close()
        except (RadioUnavailableError, TimeoutError) as exc:
            # Its holder closes it by itself when it does not hear of us.
            _LOGGER.debug("%s: not closed in order: %s", link.name, exc)

    # What holders are asked

    async def exchange(self, member: Member, verb: str, message: Message, timeout: float) -> Reply:
        """Return what a holder answers; requests and answers that are lost are sent again.

        Raises:
            RadioUnavailableError: the holder is not there any more.
            TimeoutError: there was no answer within `timeout` seconds.
        """
        until = self._loop.time() + timeout
        subject, data = self._members.subject_of(member, Kind.LINK, verb), encode(message)
        nobody_since: float | None = None
        while (left := until - self._loop.time()) > 0:
            try:
                answer = await self._members.bus.request(subject, data, min(left, ASK_AGAIN_AFTER))
            except NobodyThereError:
                now = self._loop.time()
                nobody_since = now if nobody_since is None else nobody_since
                if now - nobody_since >= NOBODY_FOR or not self._is_there(member):
                    raise self._gone(member) from None
                await asyncio.sleep(LOOK_AGAIN)
                continue
            except ClusterError as exc:
                _LOGGER.debug("%s: %s", subject, exc)
                if not self._is_there(member):
                    raise self._gone(member) from None
                # Without a connection it fails at once.
                await asyncio.sleep(LOOK_AGAIN)
                continue
            nobody_since = None
            self._answered[member] = self._loop.time()
            try:
                reply = decode(answer.data, Reply)
            except MessageError as exc:
                raise RadioUnavailableError(f"{member.name}: {exc}") from None
            if not reply.pending:
                return reply
        raise TimeoutError(f"{member.name} has not answered within {timeout:g} s")

    def _is_there(self, member: Member) -> bool:
        return not member.silent

    def _gone(self, member: Member) -> RadioUnavailableError:
        return RadioUnavailableError(f"the owner {member.name} has left the cluster")

    def missing(self, link: FarLink) -> None:
        """Have its holder send again what has not come."""
        self._hurry.set()

    def forget(self, link: FarLink) -> None:
        """Keep a link no longer."""
        self._links.pop(link.name, None)

    # Who is still there

    async def _keep(self) -> None:
        while True:
            hurried = False
            try:
                async with asyncio.timeout(self._keep_every()):
                    await self._hurry.wait()
                    hurried = True
            except TimeoutError:
                pass
            if hurried:
                # An event that was overtaken is often there in a moment.
                await asyncio.sleep(OVERTAKEN)
            self._hurry.clear()
            by_member: dict[Member, list[FarLink]] = defaultdict(list)
            for link in self._links.values():
                by_member[link.member].append(link)
            self._answered = {one: at for one, at in self._answered.items() if one in by_member}
            for member, links in by_member.items():
                self._spawn(self._keep_one(member, links))

    def _keep_every(self) -> float:
        shortest = min((link.member.lease for link in self._links.values()), default=10.0)
        return min(KEEP_AT_MOST, shortest / KEEPS)

    async def _keep_one(self, member: Member, links: list[FarLink]) -> None:
        asked = Keep(links={link.name: link.last for link in links})
        asked_at = self._loop.time()
        try:
            reply = await self.exchange(member, "keep", asked, member.lease / KEEPS)
        except (RadioUnavailableError, TimeoutError) as exc:
            silence = self._loop.time() - self._answered.get(member, asked_at)
            if silence < member.lease and self._members.all.get(member.key) is member:
                return
            for link in links:
                link.down(_lost(member, exc))
                self.close_later(link)
            return
        for link in links:
            if link.name in reply.unknown and link.is_up:
                link.down(_lost(member, reply.ended.get(link.name)))

    def _member_gone(self, member: Member) -> None:
        for link in [one for one in self._links.values() if one.member is member]:
            link.down(_lost(member, None))

    # What they tell

    async def _on_events(self, message: Msg) -> None:
        try:
            told = decode(message.data, Events)
        except MessageError as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            return
        for event in told.events:
            if link := self._links.get(event.link):
                link.take(event)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)


def _lost(member: Member, why: Exception | str | None) -> LinkError:
    end = f": {why}" if why else ""
    return LinkError(
        f"the owner {member.name} does not hold the link any more{end}",
        kind=ErrorKind.LINK_TERMINATED,
    )
