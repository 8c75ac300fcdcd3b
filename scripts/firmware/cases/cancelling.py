"""Disconnecting before the link is up."""

from __future__ import annotations

from typing import Final

from scripts.firmware.case import CACHED, DISCONNECT, UNCACHED, A, B, Stage


async def cancel_opening(s: Stage) -> None:
    """A disconnect while the stack opens."""
    await s.device(A, open="never")
    await s.ask(A, UNCACHED, 0.6)
    await s.ask(A, DISCONNECT, 0.5)


async def cancel_refused(s: Stage) -> None:
    """The stack refuses to cancel, and the client wants the device after all."""
    await s.device(A, open="never", cancel_error=-1, open_limit=3000)
    await s.ask(A, UNCACHED, 0.6)
    await s.ask(A, DISCONNECT, 0.5)
    await s.ask(A, UNCACHED, 3.5)


async def cancel_refused_wait(s: Stage) -> None:
    """The stack refuses to cancel, and the attempt comes to its own end."""
    await s.device(A, open="never", cancel_error=-1, open_limit=3000)
    await s.ask(A, UNCACHED, 0.6)
    await s.ask(A, DISCONNECT, 3.5)


async def reconnect_after_cancel(s: Stage) -> None:
    """A request right behind the cancel is answered by it."""
    await s.device(A, open="never")
    await s.ask(A, UNCACHED, 0.6)
    await s.ask(A, DISCONNECT)
    await s.ask(A, UNCACHED, 0.6)


async def cancel_queued(s: Stage) -> None:
    """A disconnect of an attempt that waits for another one."""
    await s.device(A, open="never")
    await s.device(B)
    await s.ask(A, UNCACHED, 0.3)
    await s.ask(B, UNCACHED, 0.3)
    await s.ask(B, DISCONNECT, 0.3)
    await s.ask(B, UNCACHED, 0.3)
    await s.ask(A, DISCONNECT, 1)


async def cancel_late(s: Stage) -> None:
    """The cancel is too late: the link opens all the same."""
    await s.device(A, open_ms=900, cancel_late=1)
    await s.ask(A, UNCACHED, 0.4)
    await s.ask(A, DISCONNECT, 0.1)
    await s.ask(A, UNCACHED, 1.5)
    await s.note_links()


async def cancel_lost(s: Stage) -> None:
    """The event of the cancel is lost."""
    await s.device(A, open="never", cancel_lost=1)
    await s.device(B)
    await s.ask(A, UNCACHED, 0.4)
    await s.ask(A, DISCONNECT, 0.4)
    await s.ask(B, UNCACHED, 11)


async def late_open(s: Stage) -> None:
    """A disconnect between the stack's connect and open events."""
    await s.device(A, open_ms=600, open_gap=200)
    await s.ask(A, UNCACHED, 0.65)
    await s.ask(A, DISCONNECT, 1)
    await s.note_links()


async def disconnect_in_discovery(s: Stage) -> None:
    """A disconnect while the services are searched."""
    await s.device(A, search_ms=1000)
    await s.ask(A, UNCACHED, 0.3)
    await s.ask(A, DISCONNECT, 0.5)


async def connect_in_teardown(s: Stage) -> None:
    """A request while a close that never ends is under way."""
    await s.device(A, close_lost=1)
    await s.ask(A, CACHED, 0.3)
    await s.ask(A, DISCONNECT, 0.05)
    await s.ask(A, CACHED, 0.5)


async def instant_reconnect(s: Stage) -> None:
    """A request right behind a disconnect."""
    await s.device(A, linger=500)
    await s.ask(A, CACHED, 0.3)
    await s.ask(A, DISCONNECT, 0.05)
    await s.ask(A, CACHED, 1)


STEPS: Final = (
    cancel_opening,
    cancel_refused,
    cancel_refused_wait,
    reconnect_after_cancel,
    cancel_queued,
    cancel_late,
    cancel_lost,
    late_open,
    disconnect_in_discovery,
    connect_in_teardown,
    instant_reconnect,
)
