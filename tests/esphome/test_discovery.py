"""What mDNS says of ESPHome devices, over real multicast on loopback."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import AsyncIterator

import pytest
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn_esphome.wire.mdns import SERVICE_TYPE, FoundDevice, ProxyBrowser
from tests.esphome.conftest import until

NODE = f"garage-{os.getpid():x}"


class Notes:
    """Notes what is said of one device."""

    def __init__(self) -> None:
        self.found: list[FoundDevice] = []
        self.seen = 0
        self.left = 0

    def device_found(self, found: FoundDevice) -> None:
        if found.name == NODE:
            self.found.append(found)

    def device_seen(self, name: str) -> None:
        self.seen += name == NODE

    def device_left(self, name: str) -> None:
        self.left += name == NODE


def service(port: int, **properties: str) -> AsyncServiceInfo:
    """Return the records of the device."""
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{NODE}.{SERVICE_TYPE}",
        addresses=[socket.inet_aton("127.0.0.1")],
        port=port,
        properties={"mac": "AABBCC000001", **properties},
        server=f"{NODE}.local.",
    )


@pytest.fixture
async def notes() -> AsyncIterator[Notes]:
    """Return what a browser says."""
    zeroconf = AsyncZeroconf(interfaces=["127.0.0.1"])
    notes = Notes()
    browser = ProxyBrowser(zeroconf, notes)
    await browser.start()
    yield notes
    await browser.aclose()
    await browser.aclose()
    await zeroconf.async_close()


async def test_device_is_found_seen_and_left(notes: Notes) -> None:
    """An announcement without news is only a sign of life; other records are found again."""
    device = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        await (await device.async_register_service(service(6053, config_hash="1f")))
        await until(lambda: bool(notes.found))
        assert notes.found == [FoundDevice(NODE, "aabbcc000001", "127.0.0.1", 6053, "1f")]
        await asyncio.sleep(1.1)  # the burst of announcements is over
        seen, found = notes.seen, len(notes.found)
        assert seen
        await (await device.async_update_service(service(6053, config_hash="1f")))
        await until(lambda: notes.seen > seen)
        assert len(notes.found) == found
        await (await device.async_update_service(service(6054)))
        await until(lambda: notes.found[-1].port == 6054)
        assert notes.found[-1].config_hash is None
        assert not notes.left
        await device.async_unregister_all_services()
        await until(lambda: notes.left == 1)
    finally:
        await device.async_close()


@pytest.mark.parametrize(
    ("project", "is_shared"), [("proxyconn.serve", True), ("esphome.x", False)]
)
async def test_owners_are_told_apart(notes: Notes, project: str, is_shared: bool) -> None:
    """An owner's proxies say in their records what they are made as."""
    device = AsyncZeroconf(interfaces=["127.0.0.1"])
    try:
        await (await device.async_register_service(service(6053, project_name=project)))
        await until(lambda: bool(notes.found))
        assert notes.found[-1].is_shared is is_shared
    finally:
        await device.async_close()
