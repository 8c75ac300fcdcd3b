"""The connection to a proxy, wherever it is: one at a time counts, and none is forgotten."""

from __future__ import annotations

import asyncio
import dataclasses

from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import Proxy

from ._connection import Connection, ConnectionOwner


class Reach:
    """Keeps a proxy connected at the address where it is now.

    Args:
        proxy: where it is, and its key.
        owner: told how the connection fares.
        zeroconf: resolves `.local` names.
        mac: 12 lower-case hex digits that it must have; None for any.

    Attributes:
        proxy: where it is now.
        connection: the one that counts; what others still tell is to be ignored.
    """

    def __init__(
        self, proxy: Proxy, owner: ConnectionOwner, zeroconf: AsyncZeroconf | None, mac: str | None
    ) -> None:
        self.proxy = proxy
        self._owner = owner
        self._zeroconf = zeroconf
        self.connection = self._connect(mac)
        self._left: set[Connection] = set()
        self._closed = False

    def _connect(self, mac: str | None) -> Connection:
        return Connection(self.proxy, self._owner, zeroconf=self._zeroconf, expected_mac=mac)

    async def move(self, host: str, port: int, mac: str | None) -> None:
        """Connect at another address, then leave the old one."""
        if self._closed:
            return
        old = self.connection
        self._left.add(old)
        self.proxy = dataclasses.replace(self.proxy, host=host, port=port)
        self.connection = self._connect(mac)
        await self.connection.start()
        await old.aclose(f"it has moved to {host}:{port}")
        self._left.discard(old)

    async def aclose(self, why: str) -> None:
        """End every connection; idempotent, and to be called again if it was cancelled."""
        self._closed = True
        await asyncio.gather(*(one.aclose(why) for one in (self.connection, *self._left)))
