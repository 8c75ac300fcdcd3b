"""Finding ESPHome devices by mDNS. Nothing in the record says which of them are proxies."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from typing import Protocol

from zeroconf import (
    BadTypeInNameException,
    IPVersion,
    RecordUpdate,
    RecordUpdateListener,
    ServiceStateChange,
    Zeroconf,
)
from zeroconf.asyncio import AsyncServiceBrowser, AsyncServiceInfo, AsyncZeroconf

from proxyconn_esphome.wire.addresses import reachable
from proxyconn_esphome.wire.identity import SHARED_PROJECT, mac_digits, plain_text

SERVICE_TYPE = "_esphomelib._tcp.local."
RESOLVE_TIMEOUT = 3.0
"""Seconds to wait for the records of a service."""

MOST_RESOLVING = 256
"""Services whose records are waited for at once."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class FoundDevice:
    """An ESPHome device on the network.

    Attributes:
        name: node name.
        mac: 12 lower-case hex digits.
        host: IP address.
        port: TCP port of the native API.
        config_hash: of its configuration; None from firmware that does not tell it.
        others: its other IP addresses.
        is_shared: whether an owner lends it, to several programs at once.
    """

    name: str
    mac: str
    host: str
    port: int
    config_hash: str | None = None
    others: tuple[str, ...] = ()
    is_shared: bool = False

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every IP address that it has."""
        return (self.host, *self.others)


class DiscoveryListener(Protocol):
    """Who is told what mDNS says."""

    def device_found(self, found: FoundDevice) -> None:
        """A device appeared, or its records are other ones now."""
        ...

    def device_seen(self, name: str) -> None:
        """The named device has announced itself, or has answered somebody."""
        ...

    def device_left(self, name: str) -> None:
        """The named device said goodbye, or its records have run out."""
        ...


class ProxyBrowser(RecordUpdateListener):
    """Listens for ESPHome devices."""

    def __init__(self, zeroconf: AsyncZeroconf, listener: DiscoveryListener) -> None:
        self._zeroconf = zeroconf
        self._listener = listener
        self._browser: AsyncServiceBrowser | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to browse."""
        self._browser = AsyncServiceBrowser(
            self._zeroconf.zeroconf, SERVICE_TYPE, handlers=[self._on_change]
        )
        self._zeroconf.zeroconf.async_add_listener(self, None)

    async def aclose(self) -> None:
        """Stop browsing; idempotent."""
        if self._browser:
            self._zeroconf.zeroconf.async_remove_listener(self)
            await self._browser.async_cancel()
            self._browser = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def async_update_records(self, zc: Zeroconf, now: float, records: list[RecordUpdate]) -> None:
        """Take every record that arrives: the browser tells only of those that differ."""
        for update in records:
            record = update.new
            # Only a pointer has an alias, and zeroconf does not export its class.
            alias = getattr(record, "alias", None)
            if alias and record.name == SERVICE_TYPE and not record.is_expired(now):
                self._listener.device_seen(_node(alias))

    def _on_change(
        self, zeroconf: Zeroconf, service_type: str, name: str, state_change: ServiceStateChange
    ) -> None:
        if state_change is ServiceStateChange.Removed:
            self._listener.device_left(_node(name))
            return
        if len(self._tasks) >= MOST_RESOLVING:
            _LOGGER.debug("%r: not looked up, for %d others are", name, MOST_RESOLVING)
            return
        task = asyncio.get_running_loop().create_task(self._resolve(name))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _resolve(self, name: str) -> None:
        try:
            info = AsyncServiceInfo(SERVICE_TYPE, name)
        except BadTypeInNameException:
            _LOGGER.debug("%r: no name of a service", name)
            return
        if not await info.async_request(self._zeroconf.zeroconf, RESOLVE_TIMEOUT * 1000):
            _LOGGER.debug("%r: its records did not arrive in %g s", name, RESOLVE_TIMEOUT)
            return
        addresses = reachable(info.parsed_scoped_addresses())
        node, mac = _node(name), mac_digits(_text(info, b"mac"))
        if not addresses or mac is None or not info.port or node != plain_text(node):
            _LOGGER.debug("%r: its name, address, port or mac is missing or none", name)
            return
        config_hash = _text(info, b"config_hash") or None
        is_shared = _text(info, b"project_name") == SHARED_PROJECT
        first, *others = addresses
        self._listener.device_found(
            FoundDevice(node, mac, first, info.port, config_hash, tuple(others), is_shared)
        )


def open_zeroconf() -> AsyncZeroconf:
    """Return what speaks mDNS on every interface, by IPv4 and, where there is any, IPv6."""
    try:
        return AsyncZeroconf(ip_version=IPVersion.All)
    except (OSError, RuntimeError) as exc:
        _LOGGER.debug("no mDNS by IPv6: %r", exc)
        return AsyncZeroconf()


def _node(name: str) -> str:
    """Return the node name in the name of a service."""
    return name.removesuffix(f".{SERVICE_TYPE}")


def _text(info: AsyncServiceInfo, key: bytes) -> str:
    return (info.properties.get(key) or b"").decode("ascii", "replace")
