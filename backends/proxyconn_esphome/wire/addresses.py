"""The addresses of one proxy: all of them are tried, and the one that worked is tried first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from ipaddress import ip_address

MOST_ADDRESSES = 16
"""Addresses taken of one proxy: a record can have any number."""


class Addresses:
    """Where a proxy may be. Knows no socket.

    Args:
        hosts: IP addresses and host names, the most likely first.
    """

    def __init__(self, hosts: Iterable[str]) -> None:
        self.hosts = list(dict.fromkeys(hosts))[:MOST_ADDRESSES]

    def replace(self, hosts: Sequence[str]) -> None:
        """Take other addresses; of those that stay, the order stays."""
        stay = [host for host in self.hosts if host in hosts]
        self.hosts = list(dict.fromkeys((*stay, *hosts)))[:MOST_ADDRESSES]

    def worked(self, peer: str | None) -> None:
        """Try the address first at which the proxy has just answered."""
        if host := self._of(peer):
            self.hosts.remove(host)
            self.hosts.insert(0, host)

    def failed(self, peer: str | None) -> None:
        """Try the address last at which somebody took the call who was not the proxy."""
        if host := self._of(peer):
            self.hosts.remove(host)
            self.hosts.append(host)

    def _of(self, peer: str | None) -> str | None:
        """Return the address that a socket calls `peer`, without its scope."""
        return next((host for host in self.hosts if peer and _bare(host) == _bare(peer)), None)


def reachable(addresses: Iterable[str]) -> list[str]:
    """Leave out link-local IPv6 addresses whose interface is not known, unless there is no other.

    A record that came by IPv4 does not tell it.
    """
    found = list(dict.fromkeys(addresses))[:MOST_ADDRESSES]
    return [one for one in found if not _lacks_scope(one)] or found


def _lacks_scope(text: str) -> bool:
    address = ip_address(text)
    return address.version == 6 and address.is_link_local and address.scope_id is None


def _bare(host: str) -> str:
    return host.partition("%")[0].lower()
