"""Links that are lost, and ends of links that are."""

from __future__ import annotations

from asyncio import sleep
from typing import Final

from scripts.firmware.case import CACHED, DISCONNECT, UNCACHED, A, Stage


async def drop_reasons(s: Stage) -> None:
    """Losses for several reasons, each with a request between the stack's two events."""
    await s.device(A)
    for reason in (8, 0x13, 0x22, 0x3D):
        await s.ask(A, CACHED, 0.3)
        await s.drop(A, reason, 200)
        await sleep(0.1)
        await s.ask(A, CACHED, 0.5)


async def drop_no_close(s: Stage) -> None:
    """The close event of a lost link never comes."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    await s.drop(A, 8, -1)
    await sleep(11)


async def close_lost(s: Stage) -> None:
    """The close event of a link that is closed never comes."""
    await s.device(A, close_lost=1)
    await s.ask(A, CACHED, 0.3)
    await s.ask(A, DISCONNECT, 11)


async def drop_in_discovery(s: Stage) -> None:
    """The peripheral leaves while its services are searched."""
    await s.device(A, search_ms=1000)
    await s.ask(A, UNCACHED, 0.3)
    await s.drop(A, 0x13, 5)
    await sleep(0.5)


async def read_then_drop(s: Stage) -> None:
    """The link is lost while a read is under way."""
    await s.device(A, read__3=-1)
    await s.ask(A, CACHED, 0.3)
    await s.read(A, 3)
    await s.drop(A)
    await sleep(0.3)


async def window_drop(s: Stage) -> None:
    """Requests between the stack's disconnect and close events."""
    await s.device(A)
    await s.ask(A, UNCACHED, 0.4)
    await s.drop(A, 8, 600)
    await sleep(0.1)
    await s.read(A, 3, 0.1)
    await s.ask(A, UNCACHED, 0.1)
    await s.ask(A, DISCONNECT, 0.1)
    await s.ask(A, UNCACHED, 0.8)


STEPS: Final = (
    drop_reasons,
    drop_no_close,
    close_lost,
    drop_in_discovery,
    read_then_drop,
    window_drop,
)
