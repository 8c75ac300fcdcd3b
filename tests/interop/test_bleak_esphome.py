"""bleak-esphome and habluetooth: as clients of our virtual proxy, and under our retry core."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import VirtualProxy

from .conftest import SERVICE, TELLS_REASONS, OpenProxy, address, peripheral

PROGRAM = Path(__file__).with_name("bleak_esphome_program.py")
SECONDS = 30.0


async def run(part: str, proxy: VirtualProxy) -> dict[str, Any]:
    """Run a part of the program against a proxy and return what it printed."""
    assert proxy.noise_psk
    command = [sys.executable, str(PROGRAM), part, str(proxy.port), proxy.noise_psk, address(1)]

    def work() -> subprocess.CompletedProcess[str]:
        return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)

    done = await asyncio.to_thread(work)
    assert done.returncode == 0, done.stderr
    result: dict[str, Any] = json.loads(done.stdout)
    return result


async def test_bleak_esphome_uses_virtual_proxy(open_proxy: OpenProxy) -> None:
    """habluetooth's client connects through the virtual proxy, reads, writes, is notified, and
    leaves its slot free."""
    proxy = await open_proxy()
    result = await run("use", proxy)
    assert result.pop("class") == "HaBleakClientWithServiceCache"
    assert SERVICE in result.pop("services")
    assert result == {
        "mtu": 247,
        "read": "hello",
        "notified": "cba",
        "written": "abc",
        "connected": False,
        "losses": [address(1)],
    }
    assert proxy.snapshot().free == proxy.snapshot().limit


async def test_establish_connection_over_bleak_esphome(open_proxy: OpenProxy) -> None:
    """Our establish_connection connects through bleak-esphome's client, trying again where it
    should."""
    proxy = await open_proxy(peripheral(outcomes=[Outcome(reason=0x13)]))
    result = await run("connect_with_ours", proxy)
    assert result == {"backend": "BoundClient", "read": "hello", "retries": ["stack_error"]}


@pytest.mark.parametrize(
    ("reason", "kind", "raised"),
    [
        (0x3E, "establish_failed", "BleakAbortedError"),
        (0x08, "link_timeout", "BleakAbortedError"),
        (0x85, "stack_error", "BleakAbortedError"),
        (0x100, "connect_cancelled", "BleakOutOfConnectionSlotsError"),
        (0x13, "link_terminated", "BleakAbortedError"),
        (0x16, "link_terminated", "BleakAbortedError"),
    ],
)
async def test_establish_connection_reads_bleak_esphome_words(
    open_proxy: OpenProxy, reason: int, kind: str, raised: str
) -> None:
    """The words of bleak-esphome's errors are understood as the codes behind them."""
    proxy = await open_proxy(peripheral(outcomes=[Outcome(reason=reason)]), profile=TELLS_REASONS)
    result = await run("fail_with_ours", proxy)
    assert result == {"raised": raised, "kind": kind, "attempts": 1}


async def test_establish_connection_bleak_esphome_out_of_slots(open_proxy: OpenProxy) -> None:
    """bleak-esphome's timeout for want of a slot is understood as just that."""
    proxy = await open_proxy(peripheral(1), peripheral(2), slots=1)
    result = await run("fail_for_slots", proxy)
    assert result == {
        "raised": "BleakOutOfConnectionSlotsError",
        "kind": "out_of_slots",
        "attempts": 1,
    }
