"""Whether mDNS works on this machine, and what it says of the proxies."""

from __future__ import annotations

import asyncio
import select
import socket
import struct
import time
from collections.abc import Iterable, Sequence

from zeroconf import NotRunningException
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import Finding, Level, mac_text
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.wire.mdns import SERVICE_TYPE, DiscoveryListener, FoundDevice, ProxyBrowser

GROUP, PORT = "224.0.0.251", 5353
"""Where mDNS is spoken (RFC 6762 section 3)."""

OWN_QUESTION_TIME = 1.0
"""Seconds for a question of our own to come back; it does not leave this machine for that."""

BROWSE_TIME = 1.5
"""Seconds to browse: the fleet has done so before, and its answers are remembered."""

LOOPBACK = "127."

_HEADER = b"\0\0\0\0\0\1\0\0\0\0\0\0"
_POINTER_QUESTION = b"\0\x0c\0\1"
"""Type PTR, class IN (RFC 1035 section 3.2)."""


def question() -> bytes:
    """Return the mDNS question for ESPHome devices, as any browser asks it."""
    labels = SERVICE_TYPE.rstrip(".").split(".")
    name = b"".join(bytes((len(label),)) + label.encode() for label in labels)
    return _HEADER + name + b"\0" + _POINTER_QUESTION


async def multicast(zeroconf: AsyncZeroconf | None) -> Finding:
    """Ask on every interface in use, and see whether our own question arrives."""
    addresses = await _addresses(zeroconf) if zeroconf else []
    if not addresses:
        return _no_multicast("mDNS cannot be spoken: no network interface takes multicast")
    tried = [asyncio.to_thread(_hears_itself, address) for address in addresses]
    heard = await asyncio.gather(*tried)
    if not any(heard):
        where = ", ".join(addresses)
        return _no_multicast(f"a multicast that was sent did not come back on {where}")
    where = ", ".join(address for address, back in zip(addresses, heard, strict=True) if back)
    return Finding("multicast", Level.OK, None, f"mDNS can be spoken on {where}")


def _no_multicast(seen: str) -> Finding:
    return Finding(
        "multicast",
        Level.PROBLEM,
        None,
        seen,
        f"open UDP port {PORT} in the firewall; in a container use the host's network; "
        "or name each proxy with --proxy HOST, which needs no multicast",
    )


async def _addresses(zeroconf: AsyncZeroconf) -> list[str]:
    """Return the IPv4 addresses that mDNS is spoken from, loopback only if there is no other."""
    try:
        await zeroconf.zeroconf.async_wait_for_start()
    except NotRunningException:
        return []
    senders = zeroconf.zeroconf.engine.senders
    addresses = {sender.sock_name[0] for sender in senders if len(sender.sock_name) == 2}
    beyond = {address for address in addresses if not address.startswith(LOOPBACK)}
    return sorted(beyond or addresses)


def _hears_itself(address: str) -> bool:
    try:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ear,
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mouth,
        ):
            ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if hasattr(socket, "SO_REUSEPORT"):
                ear.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
            ear.bind(("", PORT))
            group = struct.pack("4s4s", socket.inet_aton(GROUP), socket.inet_aton(address))
            ear.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(address))
            mouth.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_LOOP, 1)
            mouth.bind((address, 0))
            mouth.sendto(question(), (GROUP, PORT))
            return _arrives(ear, mouth.getsockname())
    except OSError:
        return False


def _arrives(ear: socket.socket, sender: tuple[str, int]) -> bool:
    """Whether something from `sender` arrives in time; others speak there too."""
    deadline = time.monotonic() + OWN_QUESTION_TIME
    while (left := deadline - time.monotonic()) > 0:
        if select.select([ear], [], [], left)[0] and ear.recvfrom(4096)[1] == sender:
            return True
    return False


class _Heard(DiscoveryListener):
    def __init__(self) -> None:
        self.devices: dict[str, FoundDevice] = {}

    def device_found(self, found: FoundDevice) -> None:
        self.devices[found.mac] = found

    def device_seen(self, name: str) -> None:
        """Nothing: its records count."""

    def device_left(self, name: str) -> None:
        """Nothing: what was there a moment ago counts."""


async def discovery(zeroconf: AsyncZeroconf | None) -> dict[str, FoundDevice]:
    """Return the ESPHome devices that mDNS knows, by MAC address; none where it is not spoken."""
    heard = _Heard()
    if zeroconf is None:
        return {}
    browser = ProxyBrowser(zeroconf, heard)
    try:
        await browser.start()
        await asyncio.sleep(BROWSE_TIME)
    finally:
        await browser.aclose()
    return heard.devices


def names(heard: dict[str, FoundDevice], sessions: Sequence[ProxySession]) -> list[Finding]:
    """Return what mDNS says of the proxies: whether it finds any, and by which names.

    Args:
        heard: ESPHome devices by MAC address, 12 lower-case hex digits.
        sessions: those of the fleet.
    """
    if not heard:
        named = bool(sessions)
        return [
            Finding(
                "discovery",
                Level.NOTE if named else Level.PROBLEM,
                None,
                "no ESPHome device answers by mDNS",
                "proxies must be on this network segment to be found: a VLAN, a guest network or "
                "a bridged container is another one, and some access points drop multicast; "
                "name each proxy with --proxy HOST",
            )
        ]
    proxies = {session.mac for session in sessions} & heard.keys()
    found = [
        Finding(
            "discovery",
            Level.OK,
            None,
            f"mDNS finds {len(heard)} ESPHome devices, {len(proxies)} of them proxies in use",
        )
    ]
    return found + list(_other_names(heard, sessions))


def _other_names(
    heard: dict[str, FoundDevice], sessions: Iterable[ProxySession]
) -> Iterable[Finding]:
    for session in sessions:
        device = heard.get(session.mac or "")
        if device is None or session.info is None or device.name == session.info.name:
            continue
        yield Finding(
            "name",
            Level.WARNING,
            session.name,
            f"it is called {session.info.name}, and announces itself as {device.name}",
            f"give keys and pins to {mac_text(device.mac)}, which stays, and each board a name of "
            "its own: two boards of one YAML have one name without `name_add_mac_suffix: true`",
        )
