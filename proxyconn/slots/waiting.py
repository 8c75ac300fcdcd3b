"""Waiting for a connection slot of one radio, first come first served."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from proxyconn.errors import RadioUnavailableError
from proxyconn.slots.ledger import SlotLedger

Waiter = tuple[Callable[[], bool], asyncio.Future[None]]
"""What is waited for, and what is resolved once it holds."""


class SlotQueue:
    """Callers waiting on a ledger; woken by the radio's reports.

    A waiter that is cancelled or runs out of time leaves nothing behind.
    """

    def __init__(self, ledger: SlotLedger) -> None:
        self.ledger = ledger
        self._claimers: deque[Waiter] = deque()
        self._watchers: deque[Waiter] = deque()

    @property
    def waiting(self) -> int:
        """How many callers wait for a slot of their own."""
        return len(self._claimers)

    def notify(self) -> None:
        """Look at the ledger again: it has changed."""
        if not (self._claimers or self._watchers):
            return
        for waiters in (self._claimers, self._watchers):
            for waiter in list(waiters):
                condition, future = waiter
                if not future.done() and condition():
                    future.set_result(None)
                    waiters.remove(waiter)

    def fail(self, reason: str) -> None:
        """End every wait at once: the radio has gone.

        Args:
            reason: what happened, for the RadioUnavailableError that the waiters get.
        """
        waiters = [*self._claimers, *self._watchers]
        self._claimers.clear()
        self._watchers.clear()
        for _, future in waiters:
            if not future.done():
                future.set_exception(RadioUnavailableError(reason, source=self.ledger.name))

    async def claim(self, address: str, timeout: float) -> bool:
        """Claim a slot for `address`, waiting for one up to `timeout` seconds.

        Raises:
            RadioUnavailableError: the radio went away meanwhile.
        """

        granted = False

        def grant() -> bool:
            nonlocal granted
            granted = self.ledger.claim(address)
            return granted

        # Those who came first are served first, but one who cannot be served bars nobody.
        self.notify()
        if grant():
            return True
        try:
            await self._wait(self._claimers, grant, timeout)
        except asyncio.CancelledError:
            # The claim may have been granted in the same turn of the loop as the cancellation.
            if granted:
                self.release(address)
            raise
        return granted

    async def next_free(self, timeout: float) -> bool:
        """Wait for the next report with a slot free, without claiming it; False after `timeout` s.

        A slot that is free already does not count: whoever waits has just been refused one.

        Raises:
            RadioUnavailableError: the radio went away meanwhile.
        """
        return await self._wait(self._watchers, lambda: self.ledger.available > 0, timeout)

    async def until_left(self, address: str, timeout: float) -> bool:
        """Wait until the radio no longer reports a slot for `address`; False after `timeout` s.

        Raises:
            RadioUnavailableError: the radio went away meanwhile.
        """
        if not self.ledger.holds(address):
            return True
        return await self.until(lambda: not self.ledger.holds(address), timeout)

    async def until(self, condition: Callable[[], bool], timeout: float) -> bool:
        """Wait until `condition` holds, looked at after each report; False after `timeout` s.

        Raises:
            RadioUnavailableError: the radio went away meanwhile.
        """
        return condition() or await self._wait(self._watchers, condition, timeout)

    def release(self, address: str) -> None:
        """Give up the claim of `address`, and let the next waiter have it."""
        self.ledger.drop_claim(address)
        self.notify()

    async def _wait(
        self, waiters: deque[Waiter], condition: Callable[[], bool], timeout: float
    ) -> bool:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiter = (condition, future)
        waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout):
                await future
        except TimeoutError:
            return False
        finally:
            if waiter in waiters:
                waiters.remove(waiter)
        return True
