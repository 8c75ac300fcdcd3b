"""Announces API servers by mDNS, with the keys that ESPHome's mdns component sends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Final, Protocol

import ifaddr
from zeroconf import Error, InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn_native_api.noise import NOISE_NAME

SERVICE_TYPE: Final = "_esphomelib._tcp.local."

EVERY_ADDRESS: Final = "0.0.0.0"
"""Where a server listens that is to be reached at every address."""


class AnnounceError(OSError):
    """A proxy cannot be announced; the text says why."""


class Announced(Protocol):
    """What is announced of a proxy."""

    @property
    def name(self) -> str:
        """Node name."""
        ...

    @property
    def host(self) -> str:
        """Address it listens on."""
        ...

    @property
    def port(self) -> int:
        """TCP port it listens on."""
        ...

    @property
    def mac(self) -> str:
        """Six colon-separated hex octets."""
        ...

    @property
    def noise_psk(self) -> str | None:
        """Its key in base64; None for plaintext."""
        ...

    @property
    def version(self) -> str:
        """ESPHome version that it claims."""
        ...

    @property
    def friendly_name(self) -> str:
        """Shown to people; may be empty."""
        ...

    @property
    def project(self) -> tuple[str, str]:
        """Name and version of what it is made as."""
        ...

    @property
    def board(self) -> tuple[str, str]:
        """Platform and board it runs on."""
        ...


def txt_record(proxy: Announced) -> dict[str, str]:
    """Return the TXT keys of a proxy; none of them says that it is a Bluetooth proxy."""
    encryption = "api_encryption" if proxy.noise_psk else "api_encryption_supported"
    record = {
        "version": proxy.version,
        "config_hash": hashlib.sha256(proxy.name.encode()).hexdigest()[:8],
        "mac": proxy.mac.replace(":", "").lower(),
        "platform": proxy.board[0],
        "board": proxy.board[1],
        "network": "wifi",
        encryption: NOISE_NAME,
        "project_name": proxy.project[0],
        "project_version": proxy.project[1],
    }
    if proxy.friendly_name:
        record["friendly_name"] = proxy.friendly_name
    return record


def _service(proxy: Announced, instance: str, addresses: Sequence[str]) -> AsyncServiceInfo:
    return AsyncServiceInfo(
        SERVICE_TYPE,
        f"{instance}.{SERVICE_TYPE}",
        parsed_addresses=list(addresses),
        port=proxy.port,
        properties=txt_record(proxy),
        server=f"{instance}.local.",
    )


def interface_addresses() -> list[str]:
    """Return the IPv4 addresses that others may reach this machine at; loopback if no other."""
    found = [str(ip.ip) for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv4]
    return [one for one in found if not one.startswith("127.")] or found


class Announcer:
    """Announces proxies by mDNS.

    Args:
        interface: IPv4 address of the only interface to announce on; None for all.
    """

    def __init__(self, interface: str | None) -> None:
        self._interface = interface
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self, proxies: Sequence[Announced]) -> None:
        """Announce proxies that are listening.

        Raises:
            AnnounceError: there is no such interface, or one cannot be announced.
        """
        try:
            self._zeroconf = AsyncZeroconf(
                interfaces=InterfaceChoice.All if self._interface is None else [self._interface],
                ip_version=IPVersion.V4Only,
            )
        except OSError as exc:
            raise AnnounceError(exc.strerror or str(exc)) from exc
        for proxy in proxies:
            await self.add(proxy)

    async def add(
        self, proxy: Announced, instance: str | None = None, at: Sequence[str] = ()
    ) -> None:
        """Announce one more proxy, by its name or as another instance.

        Args:
            proxy: it.
            instance: None for its name.
            at: IP addresses; none for those at which it listens.

        Raises:
            AnnounceError: the instance is no name for mDNS, or was announced already.
        """
        if self._zeroconf is None:
            raise RuntimeError("not started")
        if at or proxy.host != EVERY_ADDRESS:
            addresses = [*(at or (proxy.host,))]
        else:
            addresses = [self._interface] if self._interface else interface_addresses()
        # The node name is the identity: a second announcer of it must not rename this one.
        try:
            await self._zeroconf.async_register_service(
                _service(proxy, instance or proxy.name, addresses), cooperating_responders=True
            )
        except (Error, OSError) as exc:
            raise AnnounceError(str(exc) or type(exc).__name__) from exc

    async def stop(self) -> None:
        """Say goodbye; idempotent. Raises AnnounceError if that cannot be said."""
        zeroconf, self._zeroconf = self._zeroconf, None
        if zeroconf is None:
            return
        try:
            await zeroconf.async_unregister_all_services()
        except (Error, OSError) as exc:
            raise AnnounceError(str(exc) or type(exc).__name__) from exc
        finally:
            await zeroconf.async_close()
