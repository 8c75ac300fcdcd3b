"""The connection to NATS: made once, kept for ever.

nats-py reconnects by itself; where it gives up for good (a server that refuses us for a while), a
new connection takes its place, with the same subscriptions.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.js import JetStreamContext
from nats.js.api import StorageType
from nats.js.errors import NotFoundError
from nats.js.kv import KeyValue

from proxyconn.callbacks import Callbacks, log_failure
from proxyconn_cluster.bus.closing import close_client
from proxyconn_cluster.bus.credentials import INBOX
from proxyconn_cluster.bus.dialling import RECONNECT_WAIT, Watcher, dial
from proxyconn_cluster.bus.errors import (
    ClusterError,
    NoAnswerError,
    NobodyThereError,
    why_no_bucket,
)
from proxyconn_cluster.bus.messages import headers
from proxyconn_cluster.bus.subjects import Subjects
from proxyconn_cluster.settings import ClusterSettings

API_TIMEOUT: Final = 2.0
"""Seconds within which JetStream answers: less than a lease may go without being renewed."""

NO_RESPONDERS: Final = "503"
"""Status of the answer that the server gives where nobody hears a request."""

Handler = Callable[[Msg], Awaitable[None]]

_LOGGER = logging.getLogger(__name__)


@dataclass(eq=False)
class Subscribed:
    """A subscription that outlives connections.

    Attributes:
        subject: what is heard; may have wildcards.
        handler: gets each message, one after the other; what it raises is logged.
        queue: name of the group of which one member gets each message; empty for none.
    """

    subject: str
    handler: Handler
    queue: str = ""
    live: Subscription | None = None


class Bus:
    """A connection to NATS.

    Args:
        settings: where, and as whom.
        name: who we are: shown by the server, and in every message.

    Attributes:
        subjects: the subjects of our fleet.
        settings, name: as above.
    """

    def __init__(self, settings: ClusterSettings, name: str) -> None:
        self.settings = settings
        self.name = name
        self.subjects = Subjects(settings.fleet, settings.domain)
        self._client = Client()
        self._watcher = Watcher(self._on_disconnected, self._on_reconnected, self._on_closed)
        self._opened = self._closing = False
        self._subscribed: list[Subscribed] = []
        self._changed = Callbacks[[]]("the cluster")
        self._reopening: asyncio.Task[None] | None = None

    @property
    def client(self) -> Client:
        """nats-py's client; another one after a connection was given up."""
        return self._client

    @property
    def jetstream(self) -> JetStreamContext:
        """JetStream of the configured domain."""
        domain = {"domain": self.settings.domain} if self.settings.domain else {}
        return self._client.jetstream(timeout=API_TIMEOUT, **domain)

    @property
    def connected(self) -> bool:
        """Whether a server is there now."""
        return self._client.is_connected

    @property
    def servers(self) -> str:
        """The servers, for people."""
        return ", ".join(self.settings.servers)

    def register_state_callback(self, callback: Callable[[], None]) -> Callable[[], None]:
        """Have a function called when the connection is lost or there again; returns its end."""
        return self._changed.register(callback)

    async def open(self) -> None:
        """Connect.

        Raises:
            ClusterError: there is no server, or it does not want us.
        """
        self._client = await dial(self.settings, self.name, self._watcher)
        self._opened = True

    async def aclose(self) -> None:
        """Say goodbye; idempotent."""
        self._closing = True
        if self._reopening:
            self._reopening.cancel()
            await asyncio.gather(self._reopening, return_exceptions=True)
        if self._opened:
            await close_client(self._client)

    # Messages

    async def publish(self, subject: str, data: bytes, left: float | None = None) -> None:
        """Send a message; lost if nobody listens, or nobody is there to send it.

        Args:
            subject: to whom.
            data: what, encoded.
            left: seconds within which it is of use; None for ever.
        """
        # Headers are dear to write and dearer to read: subject and data say version and sender.
        said = None if left is None else headers(self.name, left)
        with contextlib.suppress(nats.errors.Error):
            await self._client.publish(subject, data, headers=said)

    async def answer(self, asked: Msg, data: bytes) -> None:
        """Answer a request; lost if nobody waits for it, or nobody is there to send it.

        Only where answers are waited for, and without the headers that the asker has sent, which
        `Msg.respond` copies: else whoever may ask us could have us write or delete anywhere.
        """
        if asked.reply.startswith(f"{INBOX}."):
            await self.publish(asked.reply, data)

    async def request(self, subject: str, data: bytes, timeout: float) -> Msg:
        """Send a message and return the answer; the deadline goes with it.

        Raises:
            NoAnswerError: nobody answers within `timeout` seconds.
            NobodyThereError: nobody can.
            ClusterError: there is no connection.
        """
        said = headers(self.name, timeout)
        try:
            async with asyncio.timeout(timeout):
                return await self._client.request(subject, data, timeout=timeout, headers=said)
        except TimeoutError:
            raise NoAnswerError(f"no answer on {subject} within {timeout:g} s") from None
        except nats.errors.NoRespondersError:
            raise NobodyThereError(f"nobody answers on {subject}") from None
        except nats.errors.Error as exc:
            raise ClusterError(f"no answer on {subject}: {exc}") from None

    async def gather(
        self, subject: str, data: bytes, seconds: float, quiet: float | None = None
    ) -> list[Msg]:
        """Ask everybody who hears a subject, and return what they answer.

        Args:
            subject: where they hear.
            data: what is asked.
            seconds: how long they have; it goes with the request.
            quiet: seconds without another answer after which no more are waited for; None to wait
                for all of the time.

        Raises:
            ClusterError: there is no connection.
        """
        answers: list[Msg] = []
        inbox = self._client.new_inbox()
        try:
            heard = await self._client.subscribe(inbox)
            said = headers(self.name, seconds)
            await self._client.publish(subject, data, reply=inbox, headers=said)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    while True:
                        wait = seconds if quiet is None or not answers else quiet
                        msg = await heard.next_msg(timeout=wait)
                        if msg.headers and msg.headers.get("Status") == NO_RESPONDERS:
                            break
                        answers.append(msg)
            await heard.unsubscribe()
        except nats.errors.Error as exc:
            raise ClusterError(f"nobody can be asked on {subject}: {exc}") from None
        return answers

    async def subscribe(self, subject: str, handler: Handler, queue: str = "") -> Subscribed:
        """Hear what is sent to a subject, over every connection from now on."""
        one = Subscribed(subject, handler, queue)
        self._subscribed.append(one)
        if not self._client.is_closed:
            await self._subscribe(self._client, one)
        return one

    async def unsubscribe(self, one: Subscribed) -> None:
        """Hear it no more; idempotent."""
        if one in self._subscribed:
            self._subscribed.remove(one)
        live, one.live = one.live, None
        if live is not None:
            with contextlib.suppress(nats.errors.Error):
                await live.unsubscribe()

    async def _subscribe(self, client: Client, one: Subscribed) -> None:
        one.live = await client.subscribe(one.subject, queue=one.queue, cb=one.handler)
        if one not in self._subscribed:
            await self.unsubscribe(one)

    # Buckets

    async def bucket(self, name: str, ttl: float) -> KeyValue:
        """Return a bucket of JetStream's key-value store, made if it is not there.

        Args:
            name: its name, from `Subjects`.
            ttl: seconds after which what nobody renews is gone; 0 for never.

        Raises:
            ClusterError: JetStream is off, refuses, or does not answer.
        """
        try:
            return await self._bucket(name, ttl)
        except (nats.errors.Error, TimeoutError) as exc:
            raise ClusterError(why_no_bucket(exc, self.servers)) from None

    async def _bucket(self, name: str, ttl: float) -> KeyValue:
        try:
            return await self.jetstream.key_value(name)
        except NotFoundError:
            # In a file: a server that comes back without the leases gives proxies away twice.
            return await self.jetstream.create_key_value(
                bucket=name, ttl=ttl or None, history=1, storage=StorageType.FILE, direct=False
            )

    # The connection

    async def _on_disconnected(self) -> None:
        # Who joins is told by an error what was the matter.
        if self._opened and not self._closing:
            _LOGGER.warning("%s: the connection is lost", self.servers)
        self._changed()

    async def _on_reconnected(self) -> None:
        # As loud as that it was lost, or nobody reads that it is well again.
        _LOGGER.warning("%s: connected again", self.servers)
        self._changed()

    async def _on_closed(self) -> None:
        # A client that has been replaced may say late that it is closed.
        lost = self._client.is_closed and self._opened and not self._closing
        if lost and self._reopening is None:
            self._reopening = asyncio.get_running_loop().create_task(self._reopen())
            self._reopening.add_done_callback(log_failure)

    async def _reopen(self) -> None:
        try:
            while self._client.is_closed:
                try:
                    client = await dial(self.settings, self.name, self._watcher)
                    # Nobody may use it before: nats-py fails by assertions where it is not ready.
                    self._client = await self._subscribed_anew(client)
                except (ClusterError, nats.errors.Error) as exc:
                    _LOGGER.warning("%s", exc)
                    await asyncio.sleep(RECONNECT_WAIT)
        finally:
            self._reopening = None
        await self._on_reconnected()

    async def _subscribed_anew(self, client: Client) -> Client:
        """Hear everything over another client. Raises nats.errors.Error."""
        try:
            for one in self._subscribed:
                one.live = None
            while new := [one for one in self._subscribed if one.live is None]:
                await self._subscribe(client, new[0])
        except BaseException:
            await close_client(client)
            raise
        return client


@asynccontextmanager
async def opened(settings: ClusterSettings, name: str) -> AsyncIterator[Bus]:
    """Yield a connection to NATS.

    Raises:
        ClusterError: there is none to be had.
    """
    bus = Bus(settings, name)
    await bus.open()
    try:
        yield bus
    finally:
        await bus.aclose()
