"""What mDNS packets make us believe."""

from __future__ import annotations

import asyncio
import ipaddress
from typing import Any
from unittest.mock import patch

from zeroconf import (  # type: ignore[attr-defined]  # there, but not declared as exported
    DNSAddress,
    DNSOutgoing,
    DNSPointer,
    DNSService,
    DNSText,
)
from zeroconf.asyncio import AsyncZeroconf

from proxyconn_esphome.wire.identity import MOST_TEXT
from proxyconn_esphome.wire.mdns import SERVICE_TYPE, FoundDevice, ProxyBrowser

from .choices import Choices
from .messages import mutated
from .world import BrokenError, run

ANSWER, CLASS_IN, CACHE_FLUSH = 0x8400, 1, 0x8001
PTR, TXT, SRV, A, AAAA = 12, 16, 33, 1, 28

KEYS = (b"mac", b"config_hash", b"version", b"api_encryption", b"", b"MAC", b"mac=mac")
MACS = (
    b"aabbccddeeff",
    b"AABBCCDDEEFF",
    b"aa:bb:cc:dd:ee:ff",
    b"",
    b"zz",
    b"\xff" * 12,
    b"0" * 200,
)
HOSTS = (b"\x7f\0\0\1", b"\0\0\0\0", b"\xe0\0\0\xfb", b"\xff\xff\xff\xff", b"\1\2", b"\0" * 16)


def fuzz_mdns(tape: bytes) -> None:
    """Take packets. Raises BrokenError."""
    run(_browse(Choices(tape)))


class _Notes:
    def __init__(self) -> None:
        self.found: list[FoundDevice] = []

    def device_found(self, found: FoundDevice) -> None:
        self.found.append(found)

    def device_seen(self, name: str) -> None:
        """Take note of a name."""

    def device_left(self, name: str) -> None:
        """Take note of a name."""


async def _browse(choices: Choices) -> None:
    notes = _Notes()
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"], unicast=True)
    # Nothing is to be sent: other programs listen on this machine's loopback.
    with patch.object(zeroconf.zeroconf, "async_send"):
        await zeroconf.zeroconf.async_wait_for_start()
        browser = ProxyBrowser(zeroconf, notes)
        await browser.start()
        [protocol, *_] = zeroconf.zeroconf.engine.protocols
        for _ in range(1 + choices.below(4)):
            for packet in _packets(choices):
                protocol.datagram_received(packet, ("127.0.0.1", 5353))
            await asyncio.sleep(0.01)
        await asyncio.sleep(5)
        await browser.aclose()
    await zeroconf.async_close()
    for found in notes.found:
        _check(found)


def _packets(choices: Choices) -> list[bytes]:
    out = DNSOutgoing(ANSWER)
    name = "kitchen"
    if choices.chance(2):
        name = choices.bytes(choices.below(64)).decode("utf-8", "replace").replace(".", "-") or "-"
    full = f"{name}.{SERVICE_TYPE}"
    server = "kitchen.local."
    records: list[Any] = [
        DNSPointer(SERVICE_TYPE, PTR, CLASS_IN, 4500, full),
        DNSService(full, SRV, CACHE_FLUSH, 120, 0, 0, _port(choices), server),
        DNSText(full, TXT, CACHE_FLUSH, 4500, _text(choices)),
        DNSAddress(server, A, CACHE_FLUSH, 120, choices.pick(HOSTS)),
    ]
    for record in records:
        if not choices.chance(8):
            out.add_answer_at_time(record, 0)
    try:
        packets = out.packets()
    except Exception:  # noqa: BLE001 - zeroconf does not write whatever it may have to read
        return []
    return [mutated(packet, choices) if choices.chance(4) else packet for packet in packets]


def _port(choices: Choices) -> int:
    return choices.pick((6053, 0, 65535, 1))


def _text(choices: Choices) -> bytes:
    if choices.chance(4):
        return choices.bytes(choices.below(300))
    text = b""
    for _ in range(1 + choices.below(4)):
        value = choices.pick(MACS) if choices.chance(2) else choices.bytes(choices.below(20))
        item = choices.pick(KEYS) + b"=" + value
        text += bytes((len(item) & 0xFF,)) + item
    return text


def _check(found: FoundDevice) -> None:
    if len(found.mac) != 12 or not set(found.mac) <= set("0123456789abcdef"):
        raise BrokenError(f"{found.mac!r} is no MAC address")
    if not 1 <= found.port <= 65535:
        raise BrokenError(f"{found.port} is no port")
    if not found.name.isprintable() or len(found.name) > MOST_TEXT:
        raise BrokenError(f"{found.name!r} is no name")
    ipaddress.ip_address(found.host)
