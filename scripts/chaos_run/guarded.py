"""Operations under watch: each has to end by its deadline, and soon after it was cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

from bleak.exc import BleakCharacteristicNotFoundError, BleakError

from .record import Record

T = TypeVar("T")

REQUEST: Final = 30.0
"""Seconds for a reply, the ATT transaction timeout (Core Specification vol 3 F 3.3.3)."""

TIDY: Final = 5.0
"""Seconds for a proxy to confirm that a link is closed, and as many for the slot to come free."""

GRACE: Final = 1.0
"""Seconds beyond a deadline."""

CANCEL: Final = 1.0
"""Seconds for a cancelled operation to end."""

INSISTENCE: Final = 20
"""Turns of the loop in each of which an operation is cancelled once more: more than it awaits."""

HANG: Final = 30.0
"""Seconds after which one that was cancelled and has not ended is thought never to."""

LIMITS: Final = {
    # The reply to one that was cancelled is waited for before the next one is sent.
    "read": 2 * REQUEST,
    "write": 2 * REQUEST,
    "command": REQUEST,
    # Some seconds if the proxy takes its time, and a request's if it does not read at all.
    "flood": 2 * REQUEST,
    "clear cache": 2 * REQUEST,
    # Registration with the proxy and the write of the CCCD.
    "notify": 3 * REQUEST,
    "stop": 3 * REQUEST,
    "disconnect": 2 * TIDY,
}
"""Seconds within which each operation must have ended, whatever the proxy does."""

CANCELLED = "cancelled"
OK = "ok"


class Guarded:
    """Runs operations.

    Args:
        record: told of every outcome, and of those that hang.
        insistent: whether what is cancelled is cancelled at each of its awaits, as anyio does.
    """

    def __init__(self, record: Record, *, insistent: bool = False) -> None:
        self._record = record
        self._insistent = insistent

    async def run(
        self,
        name: str,
        who: str,
        operation: Coroutine[Any, Any, T],
        *,
        limit: float | None = None,
        cancel_after: float | None = None,
    ) -> T:
        """Run an operation; return its result or raise its error.

        Args:
            name: what it is.
            who: the device.
            operation: it.
            limit: seconds; None for those of LIMITS.
            cancel_after: cancel it after so many seconds.

        Raises:
            CancelledOnPurposeError, OverdueError: it was cancelled.
        """
        seconds = (LIMITS[name] if limit is None else limit) + GRACE
        task = asyncio.create_task(operation, name=f"{name} {who}")
        early = cancel_after is not None and cancel_after < seconds
        try:
            if cancel_after == 0.0:
                # One turn of the loop: it has begun, and nothing that it waits for has happened.
                await asyncio.sleep(0)
            else:
                await asyncio.wait([task], timeout=cancel_after if early else seconds)
            if not task.done():
                if not early:
                    self._is_late(f"{name} of {who} has not ended within {seconds:g} s")
                await self._cancel(task)
        finally:
            if not task.done():
                task.cancel()
        self._record.outcomes[name][outcome(task)] += 1
        if task.cancelled():
            raise CancelledOnPurposeError if early else OverdueError
        self._mind_surprise(task)
        return task.result()

    async def _cancel(self, task: asyncio.Task[Any]) -> None:
        task.cancel()
        if self._insistent:
            for _ in range(INSISTENCE):
                await asyncio.sleep(0)
                task.cancel()
        await asyncio.wait([task], timeout=CANCEL)
        if task.done():
            return
        self._is_late(f"{task.get_name()} does not end when it is cancelled")
        await asyncio.wait([task], timeout=HANG)
        if not task.done():
            self._record.hung += 1
            self._record.violate("no operation hangs", task.get_name())
            task.cancel()
            await asyncio.wait([task])

    def _is_late(self, detail: str) -> None:
        self._record.late += 1
        self._record.violate("an operation ends by its deadline", detail)

    def _mind_surprise(self, task: asyncio.Task[Any]) -> None:
        error = task.exception()
        if error and not isinstance(error, (BleakError, TimeoutError)):
            self._record.violate(
                "operations fail with errors of Bluetooth", f"{task.get_name()}: {error!r}"
            )


class CancelledOnPurposeError(Exception):
    """The operation was cancelled because its plan says so."""


class OverdueError(Exception):
    """The operation was cancelled after its deadline."""


def outcome(task: asyncio.Task[Any]) -> str:
    """Return how a task has ended, by class."""
    if task.cancelled():
        return CANCELLED
    error = task.exception()
    if error is None:
        return OK
    if isinstance(error, BleakCharacteristicNotFoundError):
        return "characteristic missing"
    kind = getattr(error, "kind", None)
    return f"{type(error).__name__} {kind}" if kind else type(error).__name__
