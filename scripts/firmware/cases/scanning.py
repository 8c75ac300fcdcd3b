"""The scanner: its mode, its pauses, and batches of advertisements."""

from __future__ import annotations

from asyncio import sleep
from itertools import pairwise
from typing import Final

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.firmware.case import DISCONNECT, UNCACHED, A, B, Stage
from scripts.firmware.wire import ADVERTISEMENTS


async def scan_modes(s: Stage) -> None:
    """The mode that is, and another one."""
    await s.device(A, advert_ms=50)
    await sleep(0.5)
    await s.send(pb.BluetoothScannerSetModeRequest(mode=pb.BLUETOOTH_SCANNER_MODE_ACTIVE), 0.2)
    await s.send(pb.BluetoothScannerSetModeRequest(mode=pb.BLUETOOTH_SCANNER_MODE_PASSIVE), 0.4)


async def scanner_in_connect(s: Stage) -> None:
    """The scanner pauses while a link is opened."""
    await s.device(A, open_ms=300)
    await s.device(B, open="never")
    await s.ask(A, UNCACHED, 0.8)
    await s.ask(B, UNCACHED, 0.5)
    await s.ask(B, DISCONNECT, 0.4)
    await s.ask(A, DISCONNECT, 0.3)


async def no_adverts_in_connect(s: Stage) -> None:
    """Nothing is heard while a link is opened."""
    await s.device(A, open="never", open_limit=1500)
    await s.device(B, advert_ms=50)
    await sleep(0.3)
    await s.ask(A, UNCACHED, 0.3)
    s.note("heard before", any(said.number == ADVERTISEMENTS for said in s.wire.seen))
    s.keep(s.wire)
    await sleep(0.8)
    s.note("heard meanwhile", any(said.number == ADVERTISEMENTS for said in s.wire.seen))
    await sleep(0.8)
    s.note("heard after", any(said.number == ADVERTISEMENTS for said in s.wire.seen))


async def batches(s: Stage) -> None:
    """How often batches come that are not full."""
    await s.device(A, advert_ms=30)
    await sleep(3)
    at = [said.at for said in s.wire.seen if said.number == ADVERTISEMENTS]
    gaps = sorted(later - earlier for earlier, later in pairwise(at))
    s.note("tenths of a second between batches", round(10 * gaps[len(gaps) // 2]))


STEPS: Final = (scan_modes, scanner_in_connect, no_adverts_in_connect, batches)
