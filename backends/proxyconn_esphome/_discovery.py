"""Finding ESPHome devices by mDNS. Nothing in the record says which of them are proxies."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from zeroconf import ServiceStateChange, Zeroconf
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

SERVICE_TYPE = "_esphomelib._tcp.local."
RESOLVE_TIMEOUT = 3.0
"""Seconds to wait for the records of a service."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """An ESPHome device on the network.

    Attributes:
        name: node name.
        mac: 12 lower-case hex digits.
        host: IP address.
        port: TCP port of the native API.
    """

    name: str
    mac: str
    host: str
    port: int


class ProxyBrowser:
    """Calls `on_found` for every ESPHome device that appears or changes its records."""

    def __init__(self, zeroconf: AsyncZeroconf, on_found: Callable[[FoundDevice], None]) -> None:
        self._zeroconf = zeroconf
        self._on_found = on_found
        self._browser: AsyncServiceBrowser | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to browse."""
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )

    async def aclose(self) -> None:
        """Stop browsing; idempotent."""
        if self._browser:
            await self._browser.async_cancel()
            self._browser = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            return
        task = asyncio.get_running_loop().create_task(self._resolve(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resolve(self, name: str) -> None:
        info = AsyncServiceInfo(SERVICE_TYPE, name)
        if not await info.async_request(self._zeroconf.zeroconf, RESOLVE_TIMEOUT * 1000):
            _LOGGER.debug("%s: its records did not arrive in %g s", name, RESOLVE_TIMEOUT)
            return
        addresses = info.parsed_scoped_addresses()
        mac = (info.properties.get(b"mac") or b"").decode("ascii", "replace").lower()
        if not addresses or not mac or info.port is None:
            _LOGGER.debug("%s: its records lack address, port or mac", name)
            return
        node = name.removesuffix(f".{SERVICE_TYPE}")
        self._on_found(FoundDevice(node, mac, addresses[0], info.port))
