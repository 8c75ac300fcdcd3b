"""The links that an owner holds for others: what is asked of them, and who is still there."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, Final

from bleak.exc import BleakError
from nats.aio.msg import Msg

from proxyconn.callbacks import log_failure
from proxyconn.errors import ErrorKind, LinkError, NotConnectedError
from proxyconn.fleet.lending import Lending
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_cluster.bus.connection import Subscribed
from proxyconn_cluster.bus.messages import MessageError, decode, encode
from proxyconn_cluster.bus.subjects import Kind, address_token
from proxyconn_cluster.exchange.failures import told_failure
from proxyconn_cluster.exchange.link_messages import (
    Close,
    Device,
    Do,
    Keep,
    Open,
    Reply,
)
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.lent_link import FAILURES, LentLink
from proxyconn_cluster.serving.names import own_identity

PENDING_AFTER: Final = 1.0
"""Seconds after which an answer that is not known yet is said to be on its way."""

LOOK_EVERY: Final = 0.25
"""Seconds between two looks for links whose user has gone, while there are links."""

DEVICE_TIMEOUT: Final = 10.0
"""Seconds for what is asked about a device without a link."""

REMEMBERED: Final = 60.0
"""Seconds for which a link that is over is remembered: a request to open it may be late."""

MOST_LINKS: Final = 4096
"""Links that are held or waited for at most: each takes memory, whoever asks for it."""

MOST_OVER: Final = 4096
"""Links that are over and remembered, at most; the oldest are forgotten first."""

MOST_UNDER_WAY: Final = 512
"""Requests of all users that are under way at most."""

_LOGGER = logging.getLogger(__name__)

Verb = Callable[[Msg], Coroutine[Any, Any, Reply | None]]


class LentLinks:
    """The links of others.

    Args:
        lending: the fleet.
        members: who is there.
    """

    def __init__(self, lending: Lending, members: Members) -> None:
        self._lending = lending
        self._members = members
        self._links: dict[str, LentLink] = {}
        self._over: dict[str, float] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._subscribed: Subscribed | None = None
        self._some = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()
        self._verbs: Mapping[str, Verb] = {
            "open": self._open,
            "do": self._do,
            "close": self._close,
            "keep": self._keep,
            "device": self._device,
        }

    @property
    def links(self) -> list[LentLink]:
        """Those that are up, opened or closed."""
        return list(self._links.values())

    def lends(self, address: str) -> bool:
        """Whether a device is connected for somebody else, or is to be."""
        return any(one.address == address and not one.over for one in self._links.values())

    async def start(self) -> None:
        """Answer."""
        subject = self._members.subject(Kind.LINK, "*")
        self._subscribed = await self._members.bus.subscribe(subject, self._on_request)
        self._watch = self._loop.create_task(self._mind())
        self._watch.add_done_callback(log_failure)

    async def aclose(self) -> None:
        """Close every link; idempotent."""
        if self._subscribed:
            await self._members.bus.unsubscribe(self._subscribed)
        if self._watch:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        await asyncio.gather(*(link.close() for link in self.links), return_exceptions=True)
        await asyncio.gather(*(link.aclose() for link in self.links), return_exceptions=True)
        self._links.clear()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    # Requests

    async def _on_request(self, message: Msg) -> None:
        name = message.subject.rpartition(".")[2]
        verb = self._verbs.get(name)
        if verb is None:
            return
        if name == "keep":
            # It waits for no device, and links end without it: nobody's other requests delay it.
            await self._answer(message, verb)
        elif len(self._tasks) >= MOST_UNDER_WAY:
            await self._answer(message, _too_many)
        else:
            # Each in a task of its own: none waits for another one's device.
            self._spawn(self._answer(message, verb))

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)

    async def _answer(self, message: Msg, verb: Verb) -> None:
        try:
            reply = await verb(message)
        except (MessageError, ValueError) as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            reply = Reply(failed=told_failure(LinkError(str(exc), kind=ErrorKind.UNSUPPORTED)))
        except BleakError as exc:
            reply = Reply(failed=told_failure(exc))
        if reply is not None:
            await self._members.bus.answer(message, encode(reply))

    async def _open(self, message: Msg) -> Reply | None:
        asked = decode(message.data, Open)
        address_token(asked.address)
        if not self._members.bus.subjects.is_members_own(asked.events, Kind.EVENT):
            raise MessageError(f"no member is told of events on {asked.events[:128]!r}")
        if asked.link in self._over:
            # It was closed before it was to be opened: the request is late.
            return Reply(failed=told_failure(_is_over(asked.link)))
        link = self._links.get(asked.link)
        if link is None:
            if len(self._links) >= MOST_LINKS:
                raise LinkError("too many links", kind=ErrorKind.TRANSIENT)
            link = self._links[asked.link] = self._make(asked)
            self._some.set()
        return await self._when_known(link.opening)

    def _make(self, asked: Open) -> LentLink:
        return LentLink(asked, self._client(asked, asked.left), self._members.bus.publish)

    def _client(self, asked: Open | Device, timeout: float) -> RoutedClient:
        return self._lending.client(
            asked.address.upper(),
            asked.address_type,
            party=asked.user,
            only=own_identity(asked.radio, self._members.name),
            timeout=max(timeout, 0.0),
        )

    async def _device(self, message: Msg) -> Reply | None:
        asked = decode(message.data, Device)
        address_token(asked.address)
        client = self._client(asked, DEVICE_TIMEOUT)
        try:
            async with asyncio.timeout(DEVICE_TIMEOUT):
                if asked.what == "clear_cache":
                    return Reply(flag=await client.clear_cache())
                if asked.what == "unpair":
                    await client.unpair()
                    return Reply()
        except FAILURES as exc:
            return Reply(failed=told_failure(exc))
        raise MessageError(f"this owner cannot {asked.what[:64]!r}")

    async def _do(self, message: Msg) -> Reply | None:
        asked = decode(message.data, Do)
        link = self._links.get(asked.link)
        if link is None:
            return Reply(failed=told_failure(_is_over(asked.link)))
        task = link.request(asked)
        return None if task is None else await self._when_known(task)

    async def _close(self, message: Msg) -> Reply | None:
        asked = decode(message.data, Close)
        link = self._links.get(asked.link)
        if link is None:
            self._remember_over(asked.link)
            return Reply()
        closing = link.close()
        await asyncio.wait([closing], timeout=PENDING_AFTER)
        if not closing.done():
            return Reply(pending=True)
        self._forget(link)
        return Reply()

    async def _keep(self, message: Msg) -> Reply | None:
        asked = decode(message.data, Keep)
        ended: dict[str, str] = {}
        for name, last in asked.links.items():
            link = self._links.get(name)
            end = "" if link is None else link.keep(last)
            if end is not None:
                ended[name] = end
        told = {name: end for name, end in ended.items() if end}
        return Reply(unknown=tuple(ended), ended=told)

    @staticmethod
    async def _when_known(task: asyncio.Task[Reply]) -> Reply:
        await asyncio.wait([task], timeout=PENDING_AFTER)
        if not task.done():
            return Reply(pending=True)
        if task.cancelled():
            return Reply(failed=told_failure(NotConnectedError("the link was closed")))
        if error := task.exception():
            # A defect must not leave the user without an answer.
            _LOGGER.error("this should not happen", exc_info=error)
            return Reply(failed=told_failure(error))
        return task.result()

    # Who is still there

    async def _mind(self) -> None:
        """Close links whose users have gone, and forget those that are over."""
        while True:
            await self._some.wait()
            await asyncio.sleep(LOOK_EVERY)
            now = self._loop.time()
            for link in self.links:
                silence = now - link.kept_at
                if silence > self._members.lease and link.closing is None:
                    _LOGGER.warning("%r: its user has gone; closed", link)
                    link.close()
                if (link.closing and link.closing.done()) or (
                    link.over and silence > 2 * self._members.lease
                ):
                    self._forget(link)
            self._over = {one: at for one, at in self._over.items() if now - at < REMEMBERED}
            if not self._links and not self._over:
                self._some.clear()

    def _forget(self, link: LentLink) -> None:
        if self._links.get(link.name) is link:
            del self._links[link.name]
            self._remember_over(link.name)
            self._spawn(link.aclose())

    def _remember_over(self, name: str) -> None:
        self._over.pop(name, None)
        if len(self._over) >= MOST_OVER:
            del self._over[next(iter(self._over))]
        self._over[name] = self._loop.time()
        self._some.set()


async def _too_many(message: Msg) -> Reply | None:
    raise LinkError("too many requests are under way", kind=ErrorKind.TRANSIENT)


def _is_over(name: str) -> NotConnectedError:
    return NotConnectedError(f"not connected: the holder has no link {name[:64]}")
