"""What is said about the cluster: where it is, which fleet, who we are."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

DEFAULT_FLEET: Final = "house"
DEFAULT_SITE: Final = "home"

SCHEMES: Final = ("nats", "tls", "ws", "wss")
WEBSOCKETS: Final = ("ws:", "wss:")

DEFAULT_LEASE: Final = 10.0
"""Seconds for which a proxy stays an owner's that does not renew its lease."""

SHORTEST_LEASE: Final = 2.0
LONGEST_LEASE: Final = 3600.0
"""Seconds: a shorter one runs out while a broker restarts, a longer one helps nobody."""

MOST_NAME: Final = 32
"""Longest name of a fleet, site or owner, characters."""

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]*", re.ASCII)


class WhenCutOff(StrEnum):
    """What an owner does with its proxies when it has lost the broker for longer than a lease."""

    LET_GO = "let_go"
    """Lets go of them: somebody else will have them."""
    STAY = "stay"
    """Keeps them, for nobody else reaches them from where the broker is."""


def checked_name(name: str, what: str) -> str:
    """Return a name that can be a part of a subject and of a bucket's name.

    Args:
        name: letters, digits and `-`, a letter or digit first.
        what: what it is the name of, for the error.

    Raises:
        ValueError: it is none.
    """
    if len(name) > MOST_NAME or not _NAME.fullmatch(name):
        raise ValueError(
            f"{what} must be 1 to {MOST_NAME} letters, digits and -, and begin with a letter or "
            f"digit, not {name!r}"
        )
    return name


def checked_servers(text: str) -> tuple[str, ...]:
    """Return the URLs of servers, given with commas between them.

    Raises:
        ValueError: one of them is no URL of a NATS server, or has a password in it, or only some
            are WebSockets. The text does not repeat what was given.
    """
    servers = tuple(part.strip() for part in text.split(",") if part.strip())
    if not servers:
        raise ValueError("must be the URL of a NATS server, such as nats://10.0.0.2:4222")
    for server in servers:
        _check_server(server)
    if len({server.lower().startswith(WEBSOCKETS) for server in servers}) > 1:
        raise ValueError("must be all nats:// and tls://, or all ws:// and wss://")
    return servers


def _check_server(server: str) -> None:
    try:
        parts = urlsplit(server)
        fine = parts.scheme in SCHEMES and bool(parts.hostname) and parts.port != 0
    except ValueError:
        fine = False
    if not fine:
        raise ValueError("must be the URL of a NATS server, such as nats://10.0.0.2:4222")
    if parts.username or parts.password:
        # A URL is seen by everybody who lists processes, and in logs.
        raise ValueError(
            "must not have a name, password or token in it: put them into a credentials file or "
            "an nkey file, and name that"
        )


@dataclass(frozen=True, slots=True)
class ClusterSettings:
    """Which cluster, and as whom.

    Attributes:
        servers: URLs of NATS servers; any of them will do.
        fleet: owners that name the same one form one fleet.
        site: where we are; proxies of a site are best owned there.
        name: what an owner is called; None for the machine's name.
        credentials: file with a JWT and its seed (`.creds`, as nsc writes it); None for none.
        nkey: file with the seed of an nkey; None for none.
        ca: file with the certificates that a server's one must be signed by; None for the system's.
        certificate: file with our own certificate and its private key, PEM; None for none.
        domain: JetStream domain in which the leases are kept; None for that of the server itself.
        lease: seconds for which a proxy stays an owner's that does not renew its lease.
        when_cut_off: what an owner does that loses the broker, once its leases have run out.

    Raises:
        ValueError: a name cannot be a part of a subject, or the lease is too short or too long.
    """

    servers: tuple[str, ...]
    fleet: str = DEFAULT_FLEET
    site: str = DEFAULT_SITE
    name: str | None = None
    credentials: Path | None = field(default=None)
    nkey: Path | None = field(default=None)
    ca: Path | None = None
    certificate: Path | None = None
    domain: str | None = None
    lease: float = DEFAULT_LEASE
    when_cut_off: WhenCutOff = WhenCutOff.LET_GO

    def __post_init__(self) -> None:
        checked_name(self.fleet, "the name of a fleet")
        checked_name(self.site, "the name of a site")
        if self.name is not None:
            checked_name(self.name, "the name of an owner")
        if self.domain is not None:
            checked_name(self.domain, "the name of a JetStream domain")
        if not SHORTEST_LEASE <= self.lease <= LONGEST_LEASE:
            raise ValueError(
                f"a lease must be {SHORTEST_LEASE:g} to {LONGEST_LEASE:g} s, not {self.lease:g}"
            )

    @property
    def uses_tls(self) -> bool:
        """Whether the connection is encrypted whatever the server says."""
        secure = any(server.lower().startswith(("tls:", "wss:")) for server in self.servers)
        return secure or self.ca is not None or self.certificate is not None
