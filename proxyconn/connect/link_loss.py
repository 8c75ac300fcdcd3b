"""Notices that one link is lost, and ends what is being done over it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from proxyconn.errors import BleakConnectionError, ErrorKind, LinkError

LINK_LOST = "the link was lost"


class LinkLoss:
    """The loss of one link, which may come at any moment from its first attempt on.

    Attributes:
        reason: why the link is lost, or would be.
    """

    def __init__(self) -> None:
        self.reason = LINK_LOST
        self._event = asyncio.Event()
        self._scope: asyncio.Timeout | None = None

    def is_set(self) -> bool:
        """Whether the link is lost."""
        return self._event.is_set()

    async def wait(self) -> None:
        """Wait until the link is lost."""
        await self._event.wait()

    def set(self, reason: str = LINK_LOST) -> None:
        """The link is lost: cancel what `interrupts` guards. The first reason counts."""
        if not self.is_set():
            self.reason = reason
        self._event.set()
        if self._scope and not self._scope.expired():
            self._scope.reschedule(asyncio.get_running_loop().time())

    def clear(self) -> None:
        """Forget a loss that was that of an earlier attempt."""
        self._event.clear()

    @asynccontextmanager
    async def interrupts(self, name: str, deadline: float | None) -> AsyncIterator[None]:
        """Cancel what is done inside when the link is lost.

        Args:
            name: what to call the device.
            deadline: seconds after which it is cancelled, too; None for no limit.

        Raises:
            LinkError: the link was lost.
            BleakConnectionError: the deadline has passed.
        """
        scope = self._scope = asyncio.timeout(deadline)
        try:
            async with scope:
                if self.is_set():
                    self.set()
                yield
        except TimeoutError as exc:
            if not scope.expired():
                raise
            if not self.is_set():
                raise BleakConnectionError(
                    f"{name}: connected, but not ready within {deadline} s; give `on_connected` "
                    "less to wait for, or pass a longer `deadline`",
                    kind=ErrorKind.TIMEOUT,
                ) from exc
        finally:
            self._scope = None
        if self.is_set():
            raise LinkError(
                f"{name}: {self.reason} while it was being made ready", kind=ErrorKind.DISCONNECTED
            )
