"""Does what one client asks of one device in the order in which it asks; bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple, Protocol

from google.protobuf.message import Message

from proxyconn_owner.serving.failure_codes import (
    ATT_UNLIKELY,
    FAILURES,
    NO_RESOURCES,
    status_of,
)

MOST_WAITING: Final = 256
"""Requests of one client that may wait for a device, and are answered: no client waits for less
than each answer."""

CROWDED: Final = 512
"""Commands that may wait for a device before their client is not read any more. They have no
answer, so none can be refused. Until then its other links, pings and disconnects get through."""

_LOGGER = logging.getLogger(__name__)

Operation = Callable[..., Awaitable[Message | None]]
"""Takes a handle and more, and returns the answer; what it raises is told as a GATT error."""


class Asker(Protocol):
    """Whom the requests are from."""

    def fail(self, handle: int, error: int) -> None:
        """A request has failed, or is not taken."""

    def answer(self, message: Message) -> None:
        """A request is done."""

    def crowded(self) -> None:
        """Many commands wait."""

    def clear(self) -> None:
        """They have become few."""

    def operated(self, operation: str, seconds: float) -> None:
        """An operation has come to its end, by an answer or an error."""


class _Request(NamedTuple):
    handle: int
    operation: Operation
    arguments: tuple[Any, ...]
    answered: bool


class Requests:
    """The requests of one client for one device.

    Args:
        asker: told of answers and failures.
        label: whose they are, for the log.
    """

    def __init__(self, asker: Asker, label: str) -> None:
        self._asker = asker
        self._label = label
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[_Request] = deque()
        self._commands = 0
        self._over = False
        self._worker: asyncio.Task[None] | None = None
        self._wake: asyncio.Future[None] | None = None
        self._idle = asyncio.Event()
        self._idle.set()

    def submit(
        self, handle: int, operation: Operation, *arguments: Any, answered: bool = True
    ) -> None:
        """Do something once what was asked before is done, and send its answer.

        Args:
            handle: of the attribute.
            operation: does it.
            arguments: for it.
            answered: whether the client waits for an answer; if not, it is never refused.
        """
        if not answered:
            self._commands += 1
            if self._commands == CROWDED:
                self._asker.crowded()
        elif len(self._waiting) - self._commands >= MOST_WAITING:
            self._asker.fail(handle, NO_RESOURCES)
            return
        self._waiting.append(_Request(handle, operation, arguments, answered))
        self._idle.clear()
        if self._worker is None:
            self._worker = self._loop.create_task(self._work())
        elif self._wake and not self._wake.done():
            self._wake.set_result(None)

    async def done(self, seconds: float) -> None:
        """Wait until nothing is left to do, but no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._idle.wait()
        except TimeoutError:
            _LOGGER.info("%s: %d requests are not done", self._label, len(self._waiting))

    def forget(self) -> None:
        """Do nothing of what waits: nobody wants it any more."""
        self._waiting.clear()
        self._commands = 0
        self._idle.set()

    def end(self) -> None:
        """Do and tell nothing more; idempotent."""
        self._over = True
        self.forget()
        if self._worker and self._worker is not asyncio.current_task():
            self._worker.cancel()

    async def _next(self) -> _Request:
        while not self._waiting:
            self._idle.set()
            self._wake = self._loop.create_future()
            await self._wake
        request = self._waiting.popleft()
        if not request.answered:
            self._commands -= 1
            if self._commands == CROWDED // 2:
                self._asker.clear()
        return request

    async def _work(self) -> None:
        while not self._over:
            handle, operation, arguments, _ = await self._next()
            began = self._loop.time()
            try:
                answer = await operation(handle, *arguments)
            except (*FAILURES, ValueError) as exc:
                _LOGGER.debug("%s: handle %d: %s", self._label, handle, exc)
                self._fail(handle, status_of(exc))
                continue
            except Exception:
                # A defect must not leave the client, and all that it asks later, without an answer.
                _LOGGER.exception("%s: handle %d: this should not happen", self._label, handle)
                self._fail(handle, ATT_UNLIKELY)
                continue
            finally:
                name = getattr(operation, "__name__", "operation")
                self._asker.operated(name.strip("_"), self._loop.time() - began)
            if answer is not None:
                self._asker.answer(answer)

    def _fail(self, handle: int, error: int) -> None:
        if not self._over:
            self._asker.fail(handle, error)
