"""Which radio is which device: by its MAC address, once that is known, and never by its address."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.wire.identity import Caller
from proxyconn_esphome.wire.mdns import FoundDevice

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


def is_known(session: ProxySession) -> bool:
    """Whether a session knows its device, or what device it says it is."""
    return bool(session.mac or session.said_mac)


def is_ambiguous(found: FoundDevice, others: Iterable[FoundDevice]) -> bool:
    """Whether another device goes by the name of one that mDNS has found."""
    return any(other.name == found.name and other.mac != found.mac for other in others)


def is_of(session: ProxySession, found: FoundDevice, *, by_name: bool = True) -> bool:
    """Whether a session is with a device that mDNS has found, as far as one knows.

    Name and address count only while the session does not know its device: a device that has gone
    may have left them to another one. The name counts only `by_name`.
    """
    if is_known(session):
        return found.mac in (session.mac, session.said_mac)
    proxy = session.proxy
    # A host name that mDNS resolves is the node name (ESPHome mdns component).
    host = proxy.host.removesuffix(".").removesuffix(".local").lower()
    named = by_name and found.name in (session.node_name, host)
    return named or (proxy.host in found.hosts and proxy.port == found.port)


def is_at(session: ProxySession, found: FoundDevice) -> bool:
    """Whether a session tries every address at which mDNS says its device is."""
    return session.proxy.port == found.port and set(found.hosts) <= set(session.reach.hosts)


def session_of_caller(sessions: Iterable[ProxySession], caller: Caller) -> ProxySession | None:
    """Return the session of the proxy that a caller says to be; None if there is none.

    The name counts only where the user gave it, and for a session that knows no MAC address yet.
    """
    known = list(sessions)
    same = next((one for one in known if one.mac == caller.mac), None)
    named = (one for one in known if not one.mac and caller.name and one.proxy.name == caller.name)
    return same or next(named, None)


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
