"""One run of asynchronous code on a controlled clock, with everything it must not do looked for."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

import looptime
from aioesphomeapi.core import ConnectionNotEstablishedAPIError
from google.protobuf.message import DecodeError

LONGEST = 3600.0
"""Seconds on the controlled clock within which a run must end: far more than any deadline."""

TURNS_BEFORE_TIME_MOVES = 3
"""Empty turns of the loop before the clock jumps; loopback sockets deliver at once."""

IDLE_LIMIT = 20.0
"""Real seconds that a loop may wait for nothing but a thread or a socket."""

WATCHED = (
    "proxyconn",
    "proxyconn_esphome",
    "proxyconn_virtual",
    "proxyconn_owner",
    "aioesphomeapi",
    "asyncio",
)


class BrokenError(AssertionError):
    """A property does not hold."""


class _Log(logging.Handler):
    """Keeps what is logged as an error together with an exception: a handler that raised."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.failures: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not _is_upstream(error):
            self.failures.append(f"{record.name}: {record.getMessage()}: {error!r}")


def _is_upstream(error: BaseException) -> bool:
    """Whether an error is one that aioesphomeapi meets by ending the session, though loudly.

    A message that is no protobuf is logged, ends the session, and is raised into the transport,
    which reports it once more. A DisconnectRequest before the end of the handshake is logged.
    """
    return isinstance(error, DecodeError | ConnectionNotEstablishedAPIError)


def run(main: Coroutine[Any, Any, None]) -> None:
    """Run a scenario on a loop of its own.

    Raises:
        BrokenError: it took too long, left a task, or something raised where nobody could catch it.
    """
    loop = looptime.new_event_loop(
        start=1000.0, noop_cycles=TURNS_BEFORE_TIME_MOVES, idle_timeout=IDLE_LIMIT, idle_step=0.1
    )
    problems: list[str] = []
    loop.set_exception_handler(lambda _, context: _take(problems, context))
    log = _Log()
    loggers = [logging.getLogger(name) for name in WATCHED]
    for logger in loggers:
        logger.addHandler(log)
    try:
        loop.run_until_complete(_bounded(main))
        left = [task for task in asyncio.all_tasks(loop) if not task.done()]
        problems += [f"task left: {task!r}" for task in left]
        loop.run_until_complete(_end(left))
        loop.run_until_complete(loop.shutdown_asyncgens())
    finally:
        for logger in loggers:
            logger.removeHandler(log)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
    if problems or log.failures:
        raise BrokenError("; ".join(problems + log.failures))


async def _bounded(main: Coroutine[Any, Any, None]) -> None:
    try:
        async with asyncio.timeout(LONGEST) as limit:
            await main
    except TimeoutError:
        if limit.expired():
            raise BrokenError(f"not over after {LONGEST:g} s") from None
        raise
    for _ in range(3):  # transports close in the turn after close()
        await asyncio.sleep(0)


async def _end(tasks: list[asyncio.Task[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _take(problems: list[str], context: dict[str, Any]) -> None:
    error = context.get("exception")
    if not (isinstance(error, BaseException) and _is_upstream(error)):
        problems.append(f"{context['message']}: {error!r}")
