"""What a client has for as long as its link is up: its services, and one who closes it."""

from __future__ import annotations

import abc
import asyncio
from collections.abc import Awaitable, Callable

from bleak.backends.client import BaseBleakClient
from bleak.backends.service import BleakGATTServiceCollection

from proxyconn.errors import ErrorKind, LinkError, NotConnectedError


class LinkedClient(BaseBleakClient, abc.ABC):
    """A client that says so when its services are asked for after its link has ended.

    bleak looks a characteristic up before it asks the backend anything, and says of a client
    without services that they were never discovered.

    Attributes:
        link_end: how the last link ended; None while one is up, or if there was none.
    """

    link_end: str | None = None
    _table: BleakGATTServiceCollection | None = None
    _is_closing = False
    _closed: asyncio.Event | None = None

    @property
    def services(self) -> BleakGATTServiceCollection | None:
        """The services; None before the first connect.

        Raises:
            NotConnectedError: the link has ended; the text says how.
        """
        if self._table is None and self.link_end is not None:
            raise self.not_connected()
        return self._table

    @services.setter
    def services(self, table: BleakGATTServiceCollection | None) -> None:
        self._table, self.link_end = table, None

    def end_services(self, why: str) -> None:
        """Forget the services: the link has ended, as `why` says."""
        self._table, self.link_end = None, why

    def require_unlinked(self, source: str, *, opening: bool) -> None:
        """Raise LinkError (IN_USE) if there is a link through `source`, or one is `opening`."""
        if opening or self.is_connected:
            raise LinkError(
                f"{source} [{self.address}]: already connected, or connecting",
                kind=ErrorKind.IN_USE,
                source=source,
            )

    def not_connected(self, source: str | None = None) -> NotConnectedError:
        """Return the error of an operation that needs a link, of the radio `source`."""
        end = f": {self.link_end}" if self.link_end else ""
        return NotConnectedError(f"{self.address}: not connected{end}", source=source)

    async def close_once(self, close: Callable[[], Awaitable[None]]) -> None:
        """Close the link; who wants that while it is under way waits until it is over.

        That includes its cancellation: whoever closes lets the link go, come what may.
        """
        if self._is_closing:
            self._closed = self._closed or asyncio.Event()
            await self._closed.wait()
            return
        self._is_closing = True
        try:
            await close()
        finally:
            self._is_closing = False
            if closed := self._closed:
                self._closed = None
                closed.set()
