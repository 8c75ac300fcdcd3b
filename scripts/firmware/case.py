"""A case: steps for a client and its surroundings, and the record of what was said."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from google.protobuf.message import Message

from proxyconn_proto import bluetooth_proxy_pb2 as pb

from .wire import ADVERTISEMENTS, SCANNER_STATE, Said, Wire, shown
from .world import BASIC, ScriptedService, Setting, World

A, B, C, D, X = (0xAA0000000001 + number for number in range(5))
"""Addresses of devices; nothing is ever at X."""

DISCONNECT, PAIR, UNPAIR, CACHED, UNCACHED, CLEAR_CACHE = range(1, 7)
"""Kinds of device requests."""

LIMIT: Final = 240.0
"""Seconds until a case is given up."""


@dataclass(frozen=True, slots=True)
class Line:
    """What one client was told, or a fact that was noted; `at` in seconds, None if it has none."""

    who: str
    text: str
    at: float | None = None


@dataclass
class Stage:
    """Where a case plays.

    Attributes:
        world: the proxy, and the peripherals around it.
        lines: the record.
        wires: the clients, the first one subscribed.
        scanner: keep what is said about the scanner.
    """

    world: World
    scanner: bool = False
    lines: list[Line] = field(default_factory=list)
    wires: list[Wire] = field(default_factory=list)

    @property
    def wire(self) -> Wire:
        """The first client."""
        return self.wires[0]

    async def client(
        self,
        label: str,
        *,
        subscribe: bool = True,
        minor: int = 19,
        receive_buffer: int | None = None,
        fresh: bool = True,
    ) -> Wire:
        """Connect one more client; `fresh` forgets what it was told on the way."""
        wire = Wire(self.world.port, label, receive_buffer=receive_buffer)
        self.wires.append(wire)
        await wire.open(subscribe=subscribe, minor=minor)
        if fresh:
            wire.mark()
        return wire

    async def device(
        self, address: int, services: Sequence[ScriptedService] = BASIC, **settings: Setting
    ) -> None:
        """Put a peripheral on the air."""
        await self.world.device(address, services, **settings)

    async def ask(self, address: int, kind: int, pause: float = 0.0) -> None:
        """Send a device request, and pause."""
        self.wire.ask(address, kind)
        await asyncio.sleep(pause)

    async def send(self, message: Message, pause: float = 0.0) -> None:
        """Send a message, and pause."""
        self.wire.send(message)
        await asyncio.sleep(pause)

    async def read(self, address: int, handle: int, pause: float = 0.2) -> None:
        """Read a characteristic."""
        await self.send(pb.BluetoothGATTReadRequest(address=address, handle=handle), pause)

    async def services(self, address: int, pause: float = 0.2) -> None:
        """Ask for the services."""
        await self.send(pb.BluetoothGATTGetServicesRequest(address=address), pause)

    async def register(self, address: int, handle: int, pause: float = 0.1) -> None:
        """Register for notifications."""
        request = pb.BluetoothGATTNotifyRequest(address=address, handle=handle, enable=True)
        await self.send(request, pause)

    async def drop(self, address: int, reason: int = 8, close_ms: int = 2) -> None:
        """Lose a link."""
        await self.world.drop(address, reason, close_ms)

    async def note_links(self) -> None:
        """Note which devices are linked."""
        self.note("links", [f"{octet:02x}" for octet in await self.world.links()])

    def note(self, what: str, value: object) -> None:
        """Note a fact, to be compared like a message."""
        self.lines.append(Line("fact", f"{what}: {value}"))

    def keep(self, wire: Wire, *, times: bool = True) -> None:
        """Move what a client has seen into the record."""
        self.lines += (
            Line(wire.label, shown(said), said.at if times else None)
            for said in wire.seen
            if self._counts(said)
        )
        wire.seen.clear()

    def _counts(self, said: Said) -> bool:
        return said.number != ADVERTISEMENTS and (self.scanner or said.number != SCANNER_STATE)


Steps = Callable[[Stage], Coroutine[Any, Any, None]]


@dataclass(frozen=True, slots=True)
class Case:
    """One case.

    Attributes:
        steps: what is done.
        scanner: whether messages about the scanner are compared.
        slow: takes minutes, and is played only when it is named.
    """

    steps: Steps
    scanner: bool = False
    slow: bool = False

    @property
    def name(self) -> str:
        """The name of its steps."""
        return self.steps.__name__


async def play(case: Case, world: World) -> Sequence[Line]:
    """Play a case, and return what was said. Raises OSError, and TimeoutError after LIMIT."""
    stage = Stage(world, scanner=case.scanner)
    try:
        async with asyncio.timeout(LIMIT):
            await world.start()
            await stage.client("first")
            await case.steps(stage)
        for wire in stage.wires:
            stage.keep(wire)
    finally:
        for wire in stage.wires:
            await wire.close()
        await world.stop()
    return stage.lines
