"""The connection to a proxy, wherever it is: one at a time counts, and none is forgotten."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Sequence

from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import Proxy
from proxyconn_esphome.wire.connection import Connection, ConnectionOwner
from proxyconn_esphome.wire.raw_connection import MaySend


class MovingConnection:
    """Keeps a proxy connected at the address where it is now.

    Args:
        proxy: where it is, and its key.
        owner: told how the connection fares.
        zeroconf: resolves `.local` names.
        mac: 12 lower-case hex digits that it must have; None for any.
        others: other addresses at which it may be.

    Attributes:
        proxy: where it is now.
        connection: the one that counts; what others still tell is to be ignored.
    """

    def __init__(
        self,
        proxy: Proxy,
        owner: ConnectionOwner,
        zeroconf: AsyncZeroconf | None,
        mac: str | None,
        others: Sequence[str] = (),
    ) -> None:
        self.proxy = proxy
        self._owner = owner
        self._zeroconf = zeroconf
        self._is_target = False
        self._may_send: MaySend | None = None
        self.connection = self._connect(mac, others)
        self._left: set[Connection] = set()
        self._closed = False

    def _connect(self, mac: str | None, others: Sequence[str]) -> Connection:
        made = Connection(
            self.proxy, self._owner, zeroconf=self._zeroconf, expected_mac=mac, others=others
        )
        made.declare_target(self._is_target)
        if self._may_send:
            made.guard(self._may_send)
        return made

    def guard(self, may_send: MaySend) -> None:
        """Have everything that is sent from the next attempt on pass a guard."""
        self._may_send = may_send
        self.connection.guard(may_send)

    def cut(self, why: str) -> None:
        """End every connection at once, without a goodbye."""
        for connection in (self.connection, *self._left):
            connection.cut(why)

    def declare_target(self, declared: bool) -> None:
        """Say, from the next Hello on, whether the proxy may call us by itself."""
        self._is_target = declared
        self.connection.declare_target(declared)

    @property
    def is_called(self) -> bool:
        """Whether the proxy calls us, now or always."""
        return not self.proxy.port or self.connection.called_from is not None

    def take(self, connection: Connection) -> bool:
        """Go on over the connection of a proxy that has called; `leave()` ends the old one.

        False if everything has ended already.
        """
        if self._closed:
            return False
        connection.hand_over(self._owner)
        self._left.add(self.connection)
        self.proxy, self.connection = connection.proxy, connection
        return True

    async def leave(self) -> None:
        """End the connections that do not count any more; can be finished if cancelled."""
        for old in list(self._left):
            await old.aclose("the proxy has called")
            self._left.discard(old)

    @property
    def hosts(self) -> list[str]:
        """Its addresses, in the order in which they are tried."""
        return self.connection.hosts

    def be_at(self, hosts: Sequence[str]) -> None:
        """Try other addresses, on the same port, when the connection has to be set up again."""
        self.connection.be_at(hosts)

    def settle(self) -> None:
        """Take note of the address at which the proxy has answered."""
        self.proxy = dataclasses.replace(self.proxy, host=self.connection.hosts[0])

    async def move(self, hosts: Sequence[str], port: int, mac: str | None) -> None:
        """Connect at other addresses, then leave the old ones."""
        if self._closed:
            return
        old = self.connection
        self._left.add(old)
        host, *others = hosts
        self.proxy = dataclasses.replace(self.proxy, host=host, port=port)
        self.connection = self._connect(mac, others)
        await self.connection.start()
        await old.aclose(f"it has moved to {host}:{port}")
        self._left.discard(old)

    async def aclose(self, why: str) -> None:
        """End every connection; idempotent, and to be called again if it was cancelled."""
        self._closed = True
        await asyncio.gather(*(one.aclose(why) for one in (self.connection, *self._left)))
