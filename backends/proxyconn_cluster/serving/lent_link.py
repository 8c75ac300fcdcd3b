"""One link that is held for somebody else in the cluster."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final

from bleak.backends.characteristic import BleakGATTCharacteristic
from bleak.backends.descriptor import BleakGATTDescriptor
from bleak.exc import BleakError

from proxyconn.att import INVALID_HANDLE
from proxyconn.errors import ErrorKind, GATTError, LinkError, NotConnectedError
from proxyconn.fleet.routed_client import RoutedClient
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.exchange.failures import told_failure
from proxyconn_cluster.exchange.link_messages import Do, Event, Events, Open, Reply
from proxyconn_cluster.exchange.services import told_services

FAILURES: Final = (BleakError, TimeoutError, OSError, EOFError, ValueError)
"""What links fail with; D-Bus ends with EOFError when bluetoothd goes."""

ANSWER_TIME: Final = 0.05
"""Seconds of a caller's time that are left for the answer to reach it."""

CLOSE_TIMEOUT: Final = 15.0
"""Seconds for a link to be closed, slot included."""

MOST_EVENTS: Final = 512
"""Events that are kept until the user has them; the oldest go first."""

MOST_EVENTS_AT_ONCE: Final = 64
"""Events of one message: with the longest values of attributes it stays well below `MOST_BYTES`."""

MOST_WHY: Final = 300
"""Characters of how a link has ended that are told."""

SEND_AGAIN_AFTER: Final = 0.5
"""Seconds after which an event that the user does not have is taken for lost."""

GIVE_UP_AFTER: Final = 1.0
"""Seconds for which a user may lack an event that is not kept any more: it may be on its way."""

END_IN_ORDER: Final = 5.0
"""Seconds after a link's end for the user to hear of it in order, behind the last notification."""

UNDELIVERED: Final = "notifications could not be delivered"

MOST_UNDER_WAY: Final = 64
"""Requests of one link that may be under way."""

_LOGGER = logging.getLogger(__name__)

Publish = Callable[[str, bytes], Awaitable[None]]


class LentLink:
    """A link, from the request to open it until it is over.

    Args:
        asked: the request.
        client: connects to the device, and is connected to nothing yet.
        publish: sends a message to a subject.

    Attributes:
        user: whose it is, for people.
        kept_at: when the user was last heard of, in the loop's seconds.
        over: whether it has ended, or was never up.
    """

    def __init__(self, asked: Open, client: RoutedClient, publish: Publish) -> None:
        self.name = asked.link
        self.user = asked.user
        self.over = False
        self._asked = asked
        self._client = client
        self._publish = publish
        self._loop = asyncio.get_running_loop()
        self.kept_at = self._loop.time()
        self.opening = self._loop.create_task(self._open(asked))
        self._requests: dict[int, asyncio.Task[Reply]] = {}
        self._done = 0
        self._attributes: dict[int, BleakGATTCharacteristic | BleakGATTDescriptor] = {}
        self._events: deque[tuple[float, Event]] = deque(maxlen=MOST_EVENTS)
        self._number = self._sent = 0
        self._sending: asyncio.Task[None] | None = None
        self._lacks = (0, 0.0)
        self._ended = ("", 0.0)
        self.closing: asyncio.Task[None] | None = None
        self._operations: Mapping[str, Callable[[Do], Awaitable[Reply]]] = {
            "read": self._read,
            "write": self._write,
            "start_notify": self._notify,
            "stop_notify": self._no_notify,
            "pair": self._pair,
            "unpair": self._unpair,
            "clear_cache": self._clear_cache,
            "set_connection_params": self._parameters,
        }
        client.set_disconnected_callback(self._on_lost)

    def __repr__(self) -> str:
        return f"<LentLink {self.address} of {self.user}>"

    @property
    def address(self) -> str:
        """The device."""
        return self._client.address

    # Its life

    async def _open(self, asked: Open) -> Reply:
        left = max(asked.left - ANSWER_TIME, ANSWER_TIME)
        try:
            await self._client.connect(
                asked.pair, timeout=left, dangerous_use_bleak_cache=asked.cached
            )
        except FAILURES as exc:
            _LOGGER.info("%r: no link: %s", self, exc)
            self.over = True
            return Reply(failed=told_failure(exc))
        except BaseException:
            self.over = True
            raise
        if self.closing:
            return self._closed()
        for service in self._client.services or ():
            for characteristic in service.characteristics:
                self._attributes[characteristic.handle] = characteristic
                for descriptor in characteristic.descriptors:
                    self._attributes[descriptor.handle] = descriptor
        _LOGGER.info("%r: connected through %s", self, self._client.source)
        return Reply(mtu=self._client.mtu_size, services=told_services(self._client.services))

    def _closed(self) -> Reply:
        text = f"{self._client.address}: Disconnected while connecting"
        return Reply(failed=told_failure(LinkError(text, kind=ErrorKind.DISCONNECTED)))

    def close(self) -> asyncio.Task[None]:
        """Begin to close it, unless that has begun; return the task that does."""
        if self.closing is None:
            self.closing = self._loop.create_task(self._close())
        return self.closing

    async def _close(self) -> None:
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._client.disconnect()
                await asyncio.wait([self.opening])
                # It may have come up in the moment in which it was given up.
                await self._client.disconnect()
        except FAILURES as exc:
            _LOGGER.debug("%r: not closed in order: %s", self, exc)
        finally:
            self.over = True
            self.opening.cancel()
            for task in self._requests.values():
                task.cancel()

    def _on_lost(self) -> None:
        if not self.over:
            self.over = True
            why = (self._client.link_end or "the link was lost")[:MOST_WHY]
            self._ended = (why, self._loop.time())
            self._tell(why=why)

    async def aclose(self) -> None:
        """End every task of it; the link is closed by then, or given up, and its user told."""
        if self._sending:
            await asyncio.wait([self._sending], timeout=ANSWER_TIME)
        tasks = [self.opening, *self._requests.values()]
        if self._sending:
            tasks_of_all: list[asyncio.Task[Any]] = [*tasks, self._sending]
        else:
            tasks_of_all = [*tasks]
        for task in tasks_of_all:
            task.cancel()
        await asyncio.gather(*tasks_of_all, return_exceptions=True)

    # What is asked

    def request(self, asked: Do) -> asyncio.Task[Reply] | None:
        """Do something, unless that was asked before; None for what is over for the user."""
        if asked.number <= self._done:
            return None
        if asked.done > self._done:
            self._done = asked.done
            for number in [one for one in self._requests if one <= self._done]:
                self._requests.pop(number).cancel()
        task = self._requests.get(asked.number)
        if task is None:
            if len(self._requests) >= MOST_UNDER_WAY:
                return None
            task = self._requests[asked.number] = self._loop.create_task(self._do(asked))
        return task

    async def _do(self, asked: Do) -> Reply:
        operation = self._operations.get(asked.what)
        try:
            if operation is None:
                raise BleakError(f"this owner does not know the operation {asked.what[:64]!r}")
            async with asyncio.timeout(max(asked.left - ANSWER_TIME, ANSWER_TIME)):
                return await operation(asked)
        except FAILURES as exc:
            _LOGGER.debug("%r: %s %d: %s", self, asked.what, asked.handle, exc)
            return Reply(failed=told_failure(exc))

    def _attribute(self, handle: int) -> BleakGATTCharacteristic | BleakGATTDescriptor:
        if self.over or not self._client.is_connected:
            end = self._client.link_end or "the link is over"
            raise NotConnectedError(f"{self._client.address}: not connected: {end}")
        try:
            return self._attributes[handle]
        except KeyError:
            raise GATTError(f"no attribute has the handle {handle}", INVALID_HANDLE) from None

    def _characteristic(self, handle: int) -> BleakGATTCharacteristic:
        attribute = self._attribute(handle)
        if not isinstance(attribute, BleakGATTCharacteristic):
            raise GATTError(f"no characteristic has the handle {handle}", INVALID_HANDLE)
        return attribute

    async def _read(self, asked: Do) -> Reply:
        attribute = self._attribute(asked.handle)
        if isinstance(attribute, BleakGATTCharacteristic):
            return Reply(data=bytes(await self._client.read_gatt_char(attribute)))
        return Reply(data=bytes(await self._client.read_gatt_descriptor(attribute)))

    async def _write(self, asked: Do) -> Reply:
        attribute = self._attribute(asked.handle)
        if isinstance(attribute, BleakGATTCharacteristic):
            await self._client.write_gatt_char(attribute, asked.data, asked.flag)
        else:
            await self._client.write_gatt_descriptor(attribute, asked.data)
        return Reply()

    async def _notify(self, asked: Do) -> Reply:
        attribute, handle = self._characteristic(asked.handle), asked.handle
        await self._client.start_notify(
            attribute, lambda data: self._tell(handle=handle, data=bytes(data))
        )
        return Reply()

    async def _no_notify(self, asked: Do) -> Reply:
        await self._client.stop_notify(self._characteristic(asked.handle))
        return Reply()

    async def _pair(self, asked: Do) -> Reply:
        await self._client.pair()
        return Reply()

    async def _unpair(self, asked: Do) -> Reply:
        await self._client.unpair()
        return Reply()

    async def _clear_cache(self, asked: Do) -> Reply:
        return Reply(flag=await self._client.clear_cache())

    async def _parameters(self, asked: Do) -> Reply:
        least, most, latency, timeout = asked.numbers
        await self._client.set_connection_params(least, most, latency, timeout)
        return Reply()

    # What happens

    def _tell(self, *, handle: int = 0, data: bytes = b"", why: str = "") -> None:
        self._number += 1
        event = Event(self.name, self._number, handle, data, why)
        self._events.append((self._loop.time(), event))
        self._send()

    def _send(self) -> None:
        if self._sending is None or self._sending.done():
            self._sending = self._loop.create_task(self._send_all())

    async def _send_all(self) -> None:
        while waiting := [event for _, event in self._events if event.number > self._sent]:
            events = tuple(waiting[:MOST_EVENTS_AT_ONCE])
            self._sent = events[-1].number
            await self._publish(self._asked.events, encode(Events(events=events)))

    def keep(self, last: int) -> str | None:
        """The user is there, and has events up to this number; what it lacks is sent again.

        Returns:
            How the link has ended, if no event can tell the user any more; None otherwise.
        """
        now = self.kept_at = self._loop.time()
        while self._events and self._events[0][1].number <= last:
            self._events.popleft()
        if self._is_lost(last, now):
            _LOGGER.warning("%r: closed: %s", self, UNDELIVERED)
            self._ended = (UNDELIVERED, now - END_IN_ORDER)
            self.close()
        elif self._events and now - self._events[0][0] > SEND_AGAIN_AFTER:
            self._sent = last
            self._send()
        why, at = self._ended
        if (why and now - at >= END_IN_ORDER) or (self.over and not self.opening.done()):
            return why
        return None

    def _is_lost(self, last: int, now: float) -> bool:
        """Whether the user lacks, for a while, an event that had to make room for later ones."""
        if not self._events or self._events[0][1].number == last + 1:
            self._lacks = (0, 0.0)
            return False
        lacks, since = self._lacks
        if lacks != last + 1:
            self._lacks = (last + 1, now)
            return False
        return now - since >= GIVE_UP_AFTER
