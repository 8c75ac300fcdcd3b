"""What a case acts on: a proxy with scripted peripherals, real code or virtual."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

Setting = int | str


@dataclass(frozen=True, slots=True)
class ScriptedCharacteristic:
    """A characteristic; `descriptors` are (UUID, handle)."""

    uuid: str
    handle: int
    properties: int
    value: bytes
    descriptors: Sequence[tuple[str, int]] = ()


@dataclass(frozen=True, slots=True)
class ScriptedService:
    """A primary service, with its first and last handle."""

    uuid: str
    start: int
    end: int
    characteristics: Sequence[ScriptedCharacteristic]


BASIC: Sequence[ScriptedService] = (
    ScriptedService(
        "180f",
        1,
        9,
        (
            ScriptedCharacteristic("2a19", 3, 0x1A, b"d", (("2902", 4),)),
            ScriptedCharacteristic("2a1a", 6, 0x0E, b"hello"),
        ),
    ),
)


def large(services: int = 30, characteristics: int = 4) -> Sequence[ScriptedService]:
    """Return a table that takes several messages."""
    table = []
    handle = 1
    for service in range(services):
        start, found = handle, []
        handle += 1
        for number in range(characteristics):
            uuid = f"{service:04x}{number:04x}-0000-4000-8000-00805f9b34fb"
            found.append(
                ScriptedCharacteristic(uuid, handle + 1, 0x12, b"v", (("2902", handle + 2),))
            )
            handle += 3
        uuid = f"{service:08x}-1111-4000-8000-00805f9b34fb"
        table.append(ScriptedService(uuid, start, handle - 1, found))
    return table


class World(Protocol):
    """A proxy and what is around it.

    Settings of a device, as in the line protocol of stack/bluedroid.cpp (times in milliseconds):
    open (status, or "never"), open_ms, open_gap (from the stack's connect event to its open event),
    open_limit, open_lost, open_event (0: lost), open_reason, open_error (of the call),
    cancel_error, cancel_lost, cancel_late, close_lost, linger, mtu (-1: no answer, 0: refused),
    mtu_ms, mtu_error, search (status, -1: no answer), search_ms, walk_error, pair (status, or
    "never"), pair_error, read__HANDLE and write__HANDLE (status, -1: no answer), advert_ms.
    """

    @property
    def port(self) -> int:
        """Of the native API, on the loopback address."""
        ...

    async def start(self) -> None:
        """Boot."""

    async def stop(self) -> None:
        """Lose power; idempotent."""

    async def device(
        self, address: int, services: Sequence[ScriptedService] = BASIC, **settings: Setting
    ) -> None:
        """Put a peripheral on the air, or change the settings of one."""

    async def drop(self, address: int, reason: int, close_ms: int) -> None:
        """Lose a link; the stack's close event follows after `close_ms`, -1 for never."""

    async def notify(self, address: int, handle: int, value: bytes, times: int = 1) -> None:
        """Let a peripheral notify."""

    async def burst(self, address: int, count: int, handle_of: int, handle: int) -> None:
        """Let one device advertise `count` times at once, and another notify behind it."""

    async def ask_for_security(self, address: int) -> None:
        """Let a peripheral ask for encryption."""

    async def links(self) -> Sequence[int]:
        """Return the last octets of the devices that are linked."""
        ...
