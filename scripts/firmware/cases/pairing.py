"""Pairing, and security that a peripheral asks for."""

from __future__ import annotations

from asyncio import sleep
from typing import Final

from scripts.firmware.case import CACHED, CLEAR_CACHE, PAIR, UNPAIR, A, B, C, Stage


async def pairing(s: Stage) -> None:
    """Pair without a slot, with one, twice, after an unpair, and in vain."""
    await s.device(A)
    await s.ask(A, PAIR, 0.2)
    await s.ask(A, CACHED, 0.3)
    for kind in (PAIR, PAIR, UNPAIR, PAIR):
        await s.ask(A, kind, 0.2)
    await s.ask(A, UNPAIR)
    await s.ask(A, UNPAIR, 0.2)
    await s.ask(A, CLEAR_CACHE)
    await s.ask(B, CLEAR_CACHE, 0.2)
    await s.device(B, pair=0x61)
    await s.ask(B, CACHED, 0.3)
    await s.ask(B, PAIR, 0.2)
    await s.device(C, pair_error=-1)
    await s.ask(C, CACHED, 0.3)
    await s.ask(C, PAIR, 0.2)


async def pair_then_drop(s: Stage) -> None:
    """The link is lost while pairing."""
    await s.device(A, pair="never")
    await s.ask(A, CACHED, 0.3)
    await s.ask(A, PAIR, 0.2)
    await s.drop(A)
    await sleep(0.3)


async def security_request(s: Stage) -> None:
    """A peripheral asks for encryption."""
    await s.device(A)
    await s.ask(A, CACHED, 0.3)
    await s.world.ask_for_security(A)
    await sleep(0.2)
    await s.device(B, pair_error=-1)
    await s.ask(B, CACHED, 0.3)
    await s.world.ask_for_security(B)
    await sleep(0.2)


STEPS: Final = (pairing, pair_then_drop, security_request)
