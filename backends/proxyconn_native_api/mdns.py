"""Announces API servers by mDNS, with the keys that ESPHome's mdns component sends."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Final, Protocol

import ifaddr
from zeroconf import Error, InterfaceChoice, IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn_native_api.noise import NOISE_NAME

SERVICE_TYPE: Final = "_esphomelib._tcp.local."

EVERY_ADDRESS: Final = "0.0.0.0"
"""Where a server listens that is to be reached at every IPv4 address."""

EVERY_IPV6_ADDRESS: Final = "::"
"""Where a server listens that is to be reached at every IPv6 address."""

_LOOPBACK: Final = "127.0.0.1"


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


def interface_ipv6_addresses() -> list[str]:
    """Return the IPv6 addresses that others may reach this machine at; loopback if no other.

    Not those that count on one link only: an answer does not say on which (RFC 4007 section 6).
    """
    ips = (ip for adapter in ifaddr.get_adapters() for ip in adapter.ips if ip.is_IPv6)
    found = [ip for ip in (ip_address(one.ip[0]) for one in ips) if not ip.is_link_local]
    return [str(ip) for ip in found if not ip.is_loopback] or [str(ip) for ip in found]


def addresses_at(host: str) -> list[str]:
    """Return the IP addresses at which a server can be reached that listens at `host`."""
    if host == EVERY_ADDRESS:
        return interface_addresses()
    return interface_ipv6_addresses() if host == EVERY_IPV6_ADDRESS else [host]


class Announcer:
    """Announces proxies by mDNS.

    Args:
        interface: IPv4 address of the only interface to announce on; None for all. An IPv6 address,
            but `::1`, stands for all as well, and for both protocols: most who look do over IPv4.
    """

    def __init__(self, interface: str | None) -> None:
        self._interface = interface
        self._zeroconf: AsyncZeroconf | None = None

    async def start(self, proxies: Sequence[Announced]) -> None:
        """Announce proxies that are listening.

        Raises:
            AnnounceError: there is no such interface, or one cannot be announced.
        """
        interfaces, version = _heard_at(self._interface)
        try:
            self._zeroconf = AsyncZeroconf(interfaces=interfaces, ip_version=version)
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
        every = proxy.host == EVERY_ADDRESS
        addresses = [*at] or addresses_at((every and self._interface) or proxy.host)
        # The node name is the identity: a second announcer of it must not rename this one.
        try:
            await self._zeroconf.async_register_service(
                _service(proxy, instance or proxy.name, addresses), cooperating_responders=True
            )
        except (Error, OSError) as exc:
            raise AnnounceError(str(exc) or type(exc).__name__) from exc

    async def stop(self) -> None:
        """Say goodbye; idempotent, also after it was cancelled.

        Raises:
            AnnounceError: it cannot be said.
        """
        zeroconf = self._zeroconf
        if zeroconf is None:
            return
        try:
            await zeroconf.async_unregister_all_services()
        except (Error, OSError) as exc:
            raise AnnounceError(str(exc) or type(exc).__name__) from exc
        finally:
            await zeroconf.async_close()
            self._zeroconf = None


def _heard_at(interface: str | None) -> tuple[InterfaceChoice | list[str], IPVersion]:
    """Return the interfaces to announce on, and by which protocols."""
    address = ip_address(interface or EVERY_ADDRESS)
    if address.version == 6 and not address.is_loopback:
        return InterfaceChoice.All, IPVersion.All
    if address.is_unspecified:
        return InterfaceChoice.All, IPVersion.V4Only
    return [_LOOPBACK if address.version == 6 else str(address)], IPVersion.V4Only
