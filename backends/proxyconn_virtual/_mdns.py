"""Announcement of virtual proxies, with the keys that ESPHome's mdns component sends."""

from __future__ import annotations

import hashlib
import socket
from collections.abc import Sequence
from typing import Final

from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn_virtual._noise import NOISE_NAME
from proxyconn_virtual.proxy import VirtualProxy

SERVICE_TYPE: Final = "_esphomelib._tcp.local."


def txt_record(proxy: VirtualProxy) -> dict[str, str]:
    """Return the TXT keys of a proxy; none of them says that it is a Bluetooth proxy."""
    encryption = "api_encryption" if proxy.noise_psk else "api_encryption_supported"
    record = {
        "version": proxy.profile.version,
        "config_hash": hashlib.sha256(proxy.name.encode()).hexdigest()[:8],
        "mac": proxy.mac.replace(":", "").lower(),
        "platform": "ESP32",
        "board": "esp32dev",
        "network": "wifi",
        encryption: NOISE_NAME,
        "project_name": "esphome.bluetooth-proxy",
        "project_version": proxy.profile.version,
    }
    if proxy.spec.friendly_name:
        record["friendly_name"] = proxy.spec.friendly_name
    return record


def _service(proxy: VirtualProxy, address: str) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{proxy.name}.{SERVICE_TYPE}",
        addresses=[socket.inet_aton(address)],
        port=proxy.port,
        properties=txt_record(proxy),
        server=f"{proxy.name}.local.",
    )


class Announcer:
    """Announces proxies on one interface.

    Args:
        interface: IPv4 address of the interface to announce on.
    """

    def __init__(self, interface: str) -> None:
        self._interface = interface
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self, proxies: Sequence[VirtualProxy]) -> None:
        """Announce proxies that are listening. Raises OSError without the interface."""
        self._zeroconf = AsyncZeroconf(interfaces=[self._interface], ip_version=IPVersion.V4Only)
        for proxy in proxies:
            address = self._interface if proxy.host == "0.0.0.0" else proxy.host
            # The node name is the identity: a second announcer of it must not rename this one.
            await self._zeroconf.async_register_service(
                _service(proxy, address), cooperating_responders=True
            )

    async def stop(self) -> None:
        """Say goodbye; idempotent."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is not None:
            await zeroconf.async_unregister_all_services()
            await zeroconf.async_close()
