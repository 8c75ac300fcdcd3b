"""How many writes without response are on their way to one proxy, and whose turn it is.

A proxy reads such writes as fast as its radio takes them, some 45 a second; what it has not read
waits in buffers of the loop and of two kernels, where nobody can see it or overtake it. Only the
proxy itself can say how far it has come: it takes messages in order, so its answer to a ping tells
that it has read all that was sent before.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from google.protobuf.message import Message

from proxyconn.radio import RadioError, RadioUnavailableError
from proxyconn_esphome.wire.messages import PingRequest, PingResponse

WINDOW = 8
"""Writes without response that one proxy may have before it: 0.2 s of what it takes."""

PING_EVERY = 4
"""Writes after which it is asked how far it is; half the window, so that it never runs dry."""

ASK_AGAIN = 5.0
"""Seconds without an answer after which it is asked again: a full socket may have lost it."""

STALLED = 30.0
"""Seconds without an answer after which those who wait get an error, as for any request."""

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class _Waiting:
    transmit: Callable[[], None]
    sent: asyncio.Future[None]


@dataclass(slots=True, eq=False)
class Line:
    """The writes of one link that wait for their turn, first come first served."""

    waiting: deque[_Waiting] = field(default_factory=deque)

    async def empty(self) -> None:
        """Wait until those that wait now are sent, or will not be."""
        if futures := [one.sent for one in self.waiting if not one.sent.done()]:
            await asyncio.wait(futures)


class CommandFlow:
    """Lets the links of one proxy send by turns, and no more than the proxy reads.

    Args:
        send: writes one message to the proxy. Raises RadioUnavailableError.
        name: returns what people call the proxy.
    """

    def __init__(self, send: Callable[[Message], None], name: Callable[[], str]) -> None:
        self._send = send
        self._name = name
        self._lines: deque[Line] = deque()
        self._sent = 0
        self._read = 0
        self._asked: deque[int] = deque()
        self._readers: list[tuple[int, asyncio.Future[None]]] = []
        self._answered_at = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def handlers(self) -> Mapping[type[Any], Callable[[Any], None]]:
        """Return what to call for each type of message."""
        return {PingResponse: self._on_answer}

    @property
    def unread(self) -> int:
        """Writes that the proxy has not said to have read."""
        return self._sent - self._read

    async def send(self, line: Line, transmit: Callable[[], None]) -> None:
        """Call `transmit` when it is its turn in `line`, and that of `line` among the others.

        Raises:
            TimeoutError: the proxy has read nothing for STALLED seconds; nothing was sent.
            RadioError: what `transmit` raised, or the error that `line` was ended with.

            What is cancelled while it waits is not sent.
        """
        if not self._lines and self.unread < WINDOW:
            transmit()
            self._count()
            return
        waiting = _Waiting(transmit, self._loop.create_future())
        if not line.waiting:
            self._lines.append(line)
        line.waiting.append(waiting)
        await waiting.sent

    async def all_read(self) -> bool:
        """Wait until the proxy has read what was sent before; return whether there was any.

        Raises:
            TimeoutError: it has read nothing for STALLED seconds.
        """
        if not self.unread:
            return False
        if not self._asked or self._asked[-1] < self._sent:
            self._ask()
        reader: asyncio.Future[None] = self._loop.create_future()
        self._readers.append((self._sent, reader))
        await reader
        return True

    def end(self, line: Line, error: RadioError) -> None:
        """Fail all that waits in `line`."""
        if line in self._lines:
            self._lines.remove(line)
        for one in line.waiting:
            _fail(one.sent, error)
        line.waiting.clear()

    def reset(self) -> None:
        """Begin anew: what was sent has gone with its session."""
        self._advance(self._sent)
        self._asked.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    # How far the proxy is

    def _count(self) -> None:
        self._sent += 1
        if self._sent - (self._asked[-1] if self._asked else self._read) >= PING_EVERY:
            self._ask()

    def _ask(self) -> None:
        if not self._asked:
            self._answered_at = self._loop.time()
        try:
            self._send(PingRequest())
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", self._name(), exc)
            return
        self._asked.append(self._sent)
        if self._timer is None:
            self._timer = self._loop.call_later(ASK_AGAIN, self._look)

    def _on_answer(self, message: object) -> None:
        # The connection's own pings are answered, too, but it sends none while others are answered.
        if self._asked:
            self._answered_at = self._loop.time()
            self._advance(self._asked.popleft())
            self._pump()

    def _advance(self, read: int) -> None:
        self._read = read
        for mark, reader in self._readers:
            if mark <= read and not reader.done():
                reader.set_result(None)
        self._readers = [pair for pair in self._readers if pair[0] > read]

    def _pump(self) -> None:
        """Send as much as the proxy has room for, one of each line in turn."""
        while self._lines and self.unread < WINDOW:
            line = self._lines.popleft()
            first = line.waiting.popleft()
            if line.waiting:
                self._lines.append(line)
            if first.sent.done():
                continue
            try:
                first.transmit()
            except RadioError as exc:
                _fail(first.sent, exc)
                continue
            first.sent.set_result(None)
            self._count()

    def _look(self) -> None:
        """Look whether an answer is overdue: one timer serves many questions."""
        self._timer = None
        if not self._asked:
            return
        silent = self._loop.time() - self._answered_at
        if silent >= STALLED:
            self._give_up()
        if silent >= ASK_AGAIN:
            answered_at = self._answered_at
            self._asked.clear()
            self._ask()
            self._answered_at = answered_at if silent < STALLED else self._loop.time()
        else:
            self._timer = self._loop.call_later(ASK_AGAIN - silent, self._look)

    def _give_up(self) -> None:
        text = f"{self._name()}: the proxy has read nothing for {STALLED:g} s"
        for _, reader in self._readers:
            _fail(reader, TimeoutError(text))
        self._readers.clear()
        for line in self._lines:
            for one in line.waiting:
                _fail(one.sent, TimeoutError(text))
            line.waiting.clear()
        self._lines.clear()


def _fail(future: asyncio.Future[None], error: Exception) -> None:
    if not future.done():
        future.set_exception(error)
        # Who waited may have been cancelled just now; an unread exception is not news then.
        future.exception()
