"""The name of every subject and bucket, in one place.

Subjects are `proxyconn.v1.<fleet>.<site>.<kind>.…`; the site of what is for everybody is `_all`,
which no site can be called. A part is never taken from what others send without being checked.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from proxyconn_cluster.settings import checked_name

ROOT: Final = "proxyconn.v1"
"""Of every subject; another major version of the messages has another one."""

EVERY_SITE: Final = "_all"


class Kind(StrEnum):
    """What is said on a subject: `OWNERS` and `ASK` to everybody, the rest by or to one member."""

    OWNERS = "owners"
    """How are you doing, owners?"""
    MEMBER = "member"
    """Status of a program."""
    OWNER = "owner"
    """Status of an owner."""
    ASK = "ask"
    """Who can connect a device, and how well?"""
    ANSWER = "answer"
    """An offer, to the member that asked."""
    LINK = "link"
    """Requests to the member that holds a link."""
    EVENT = "event"
    """What happens on a link, to the member that uses it."""
    ADVERTS = "adverts"
    """What one radio hears."""


_HEX_ADDRESS: Final = re.compile(r"[0-9a-f]{12}", re.ASCII)
_TOKEN: Final = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


def token(text: str) -> str:
    """Return a text that can be one part of a subject. Raises ValueError for any other."""
    if not _TOKEN.fullmatch(text):
        raise ValueError(f"{text!r} cannot be a part of a subject")
    return text


def address_token(address: str) -> str:
    """Return a MAC address as a part of a subject or a key: 12 lower-case hex digits.

    Args:
        address: with colons or without.

    Raises:
        ValueError: it is no MAC address.
    """
    text = address.replace(":", "").lower()
    if not _HEX_ADDRESS.fullmatch(text):
        raise ValueError(f"{address!r} is no MAC address")
    return text


@dataclass(frozen=True, slots=True)
class Subjects:
    """The subjects and buckets of one fleet.

    Attributes:
        fleet: its name.
        domain: JetStream domain of its buckets; None for that of the server.

    Raises:
        ValueError: the fleet or the domain cannot be called so.
    """

    fleet: str
    domain: str | None = None

    def __post_init__(self) -> None:
        checked_name(self.fleet, "the name of a fleet")
        if self.domain is not None:
            checked_name(self.domain, "the name of a JetStream domain")

    def of_site(self, site: str, kind: str, *parts: str) -> str:
        """Return a subject of a site; `*` and `>` are for whoever subscribes."""
        tokens = [part if part in {"*", ">"} else token(part) for part in (site, kind, *parts)]
        return ".".join((ROOT, self.fleet, *tokens))

    def of_all(self, kind: str, *parts: str) -> str:
        """Return a subject that is for every site."""
        return self.of_site(EVERY_SITE, kind, *parts)

    def of_every_version(self, *parts: str) -> str:
        """Return what to subscribe to for what other major versions say of this fleet, too."""
        root = ROOT.rpartition(".")[0]
        return ".".join((root, "*", self.fleet, *parts))

    def is_members_own(self, subject: str, kind: str) -> bool:
        """Whether a subject is one on which one member of this fleet is told something.

        What is sent where a message says is checked by this: else whoever may ask us could have us
        write anywhere.
        """
        parts = subject.split(".")
        root = [*ROOT.split("."), self.fleet]
        return (
            len(parts) == len(root) + 4
            and parts[: len(root)] == root
            and parts[len(root) + 1] == kind
            and all(_TOKEN.fullmatch(part) for part in parts[len(root) :])
        )

    # Owners

    def ask_owners(self) -> str:
        """Where every owner hears who wants to know how it is doing."""
        return self.of_all(Kind.OWNERS)

    # Buckets of JetStream's key-value store

    def bucket(self, what: str) -> str:
        """Return the name of a bucket of the fleet.

        Servers of two domains that know each other would both take what is put into a bucket that
        both have; so its domain is in its name.
        """
        domain = f"{self.domain}_" if self.domain else ""
        return f"proxyconn_v1_{self.fleet}_{domain}{token(what)}"

    def entries(self, bucket: str) -> str:
        """Where everything passes that is put into a bucket."""
        return f"$KV.{bucket}.>"

    @property
    def leases(self) -> str:
        """The bucket that says whose each proxy is; keys are MAC addresses."""
        return self.bucket("leases")

    @property
    def owners(self) -> str:
        """The bucket that says which owners live; keys are their ids."""
        return self.bucket("owners")

    @property
    def seen(self) -> str:
        """The bucket that says which proxies each owner could use; keys as of the owners."""
        return self.bucket("seen")

    @property
    def wishes(self) -> str:
        """The bucket that says which owner a proxy was given to by hand; keys as of the leases."""
        return self.bucket("wishes")
