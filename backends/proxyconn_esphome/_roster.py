"""Which radio is which device: by its MAC address, once that is known, and never by its address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ._discovery import FoundDevice

if TYPE_CHECKING:
    from ._session import ProxySession

LOOK_AGAIN = 600.0
"""Seconds after which a device that was no proxy may have become one without any sign of it."""


@dataclass(frozen=True, slots=True)
class NotProxy:
    """A device that turned out to be no proxy.

    Attributes:
        found: how it was found.
        at: when, in the loop's seconds.
    """

    found: FoundDevice
    at: float


class NotProxies:
    """Devices that need not be asked again. Knows no clock: the time is an argument."""

    def __init__(self) -> None:
        self._known: dict[str, NotProxy] = {}

    def add(self, found: FoundDevice, now: float) -> None:
        """Take note of a device that is no proxy."""
        self._known[found.mac] = NotProxy(found, now)

    def skips(self, found: FoundDevice, now: float) -> bool:
        """Whether a device is known to be no proxy still; if not, it is forgotten."""
        known = self._known.get(found.mac)
        if known is None:
            return False
        same = found.config_hash == known.found.config_hash
        if same and (found.config_hash or now - known.at < LOOK_AGAIN):
            return True
        del self._known[found.mac]
        return False


def is_of(session: ProxySession, found: FoundDevice) -> bool:
    """Whether a session is with a device that mDNS has found, as far as one knows.

    Name and address count only while the session does not know its device: a device that has gone
    may have left them to another one.
    """
    if session.mac or session.said_mac:
        return found.mac in (session.mac, session.said_mac)
    proxy = session.proxy
    # A host name that mDNS resolves is the node name (ESPHome mdns component).
    host = proxy.host.removesuffix(".").removesuffix(".local").lower()
    return found.name in (session.name, host) or (proxy.host, proxy.port) == found.address


def is_unidentified(session: ProxySession) -> bool:
    """Whether nobody knows yet which device a session is with."""
    return not (session.mac or session.proxy.name or session.problem)


def is_unproven(session: ProxySession) -> bool:
    """Whether a session has nothing but the word of its device for who that is."""
    return session.proxy.noise_psk is None


def session_of_mac(
    sessions: Iterable[ProxySession], mac: str, but: ProxySession
) -> ProxySession | None:
    """Return another session with the same device; None if there is none."""
    return next((one for one in sessions if one is not but and one.mac == mac), None)
