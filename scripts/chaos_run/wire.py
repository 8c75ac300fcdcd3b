"""The way between a client and the owner, on which everything may happen that networks do."""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from collections import Counter
from collections.abc import Callable
from typing import Final

LOOPBACK: Final = "127.0.0.1"

DROP: Final = 512
"""Bytes that a slow way carries at once."""

EVERY: Final = 0.05
"""Seconds between two of these: 10 kB/s."""

SMALL: Final = 8192
"""Bytes of the buffers of the owner's side, so that a client that does not read is noticed."""


class _End(asyncio.Protocol):
    """One end of a connection: what it receives the other one sends."""

    def __init__(self, way: _Way) -> None:
        self._way = way
        self.other: _End | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self._way.opened(self)

    def data_received(self, data: bytes) -> None:
        if self.other and self.other.transport:
            self.other.transport.write(data)
        self._way.carried(self)

    def pause_writing(self) -> None:
        if self.other and self.other.transport:
            self.other.transport.pause_reading()

    def resume_writing(self) -> None:
        self._way.go_on()

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._way.lost(self)


class _Way:
    """One connection of a client, and the one to the owner that belongs to it."""

    def __init__(self, wire: Wire) -> None:
        self._wire = wire
        self._frozen = False
        self._timer: asyncio.TimerHandle | None = None
        self._opening: asyncio.Task[None] | None = None
        self.client, self.owner = _End(self), _End(self)
        self.client.other, self.owner.other = self.owner, self.client

    def opened(self, end: _End) -> None:
        assert end.transport
        end.transport.pause_reading()
        if end is self.owner:
            self.go_on()
        elif not self._wire.refuses:
            self._frozen = self._wire.frozen
            self._opening = asyncio.get_running_loop().create_task(self._reach_owner())
        else:
            end.transport.close()

    async def _reach_owner(self) -> None:
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        sock.setblocking(False)
        loop = asyncio.get_running_loop()
        try:
            await loop.sock_connect(sock, (LOOPBACK, self._wire.target))
            await loop.create_connection(lambda: self.owner, sock=sock)
        except OSError:
            sock.close()
            self.cut()

    def go_on(self) -> None:
        """Carry on in both directions."""
        for end in (self.client, self.owner):
            if end.transport and not (self._frozen or (self._timer and end is self.owner)):
                end.transport.resume_reading()

    def carried(self, end: _End) -> None:
        """Something was carried: on a slow way it takes its time to the client."""
        if self._wire.slow and end is self.owner and end.transport and not self._timer:
            end.transport.pause_reading()
            if hasattr(end.transport, "max_size"):
                end.transport.max_size = DROP
            self._timer = asyncio.get_running_loop().call_later(EVERY, self._after_a_while)

    def _after_a_while(self) -> None:
        self._timer = None
        self.go_on()

    def freeze(self) -> None:
        """Let nothing pass, not even the end of a connection."""
        self._frozen = True
        for end in (self.client, self.owner):
            if end.transport:
                end.transport.pause_reading()

    def thaw(self) -> None:
        """End that."""
        self._frozen = False
        self.go_on()

    def cut(self) -> None:
        """Reset both sides."""
        for end in (self.client, self.owner):
            if end.transport:
                sock = end.transport.get_extra_info("socket")
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                end.transport.abort()

    def lost(self, end: _End) -> None:
        """One end is gone: the other one goes with it."""
        if self._timer and end is self.owner:
            self._timer.cancel()
            self._timer = None
        if end.other and end.other.transport:
            end.other.transport.close()
        if not (self.client.transport or self.owner.transport):
            self._wire.forget(self)

    async def aclose(self) -> None:
        """Reset both sides, and leave nothing behind."""
        if self._opening:
            self._opening.cancel()
            await asyncio.gather(self._opening, return_exceptions=True)
        self.cut()


class Wire:
    """Where a client finds the owner; its faults come at random.

    Args:
        target: port of the owner.
        seed: of which fault comes when.

    Attributes:
        port: where it listens.
        counts: how often each fault was there.
        frozen, slow, refuses: the fault that it has now, for connections that come meanwhile.
    """

    def __init__(self, target: int, seed: str) -> None:
        self.target = target
        self.port = 0
        self.counts: Counter[str] = Counter()
        self.frozen = self.slow = self.refuses = False
        self._draw = random.Random(f"wire {seed}")
        self._ways: set[_Way] = set()
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._accept, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def _accept(self) -> asyncio.Protocol:
        way = _Way(self)
        self._ways.add(way)
        return way.client

    def forget(self, way: _Way) -> None:
        """A connection is over."""
        self._ways.discard(way)

    async def rage(self, rate: float, shortest: float, longest: float) -> None:
        """Let faults come and go until cancelled."""
        try:
            while True:
                await asyncio.sleep(self._draw.expovariate(rate))
                await self._suffer(self._draw.uniform(shortest, longest))
        finally:
            self._calm()

    async def _suffer(self, seconds: float) -> None:
        name = self._draw.choice(("cut", "half open", "slow", "refused"))
        self.counts[name] += 1
        if name in ("cut", "refused"):
            self._each(_Way.cut)
        self.frozen, self.slow = name == "half open", name == "slow"
        self.refuses = name == "refused"
        if self.frozen:
            # Now and then for longer than the owner waits for a sign of life.
            seconds *= self._draw.choice((1.0, 1.0, 20.0))
            self._each(_Way.freeze)
        if name != "cut":
            await asyncio.sleep(seconds)
        self._calm()

    def _calm(self) -> None:
        self.frozen = self.slow = self.refuses = False
        self._each(_Way.thaw)

    def _each(self, do: Callable[[_Way], None]) -> None:
        for way in tuple(self._ways):
            do(way)

    async def aclose(self) -> None:
        """Reset every connection, and close."""
        if self._server:
            self._server.close()
        await asyncio.gather(*(way.aclose() for way in tuple(self._ways)))
