"""Whose a proxy should be: by rendezvous hashing over the owners that can use it.

Each owner has a weight for each proxy, and the heaviest has it; so an owner that comes or goes
moves its share and nothing else. Knows no clock: who lives is an argument.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b


@dataclass(frozen=True, slots=True)
class Owner:
    """An owner that lives.

    Attributes:
        id: its id.
        site: where it is.
        sees: MAC addresses of the proxies that it can use.
        named: those of them that are its site's.
    """

    id: str
    site: str
    sees: frozenset[str]
    named: frozenset[str] = frozenset()


def name_of(owner: str) -> str:
    """Return the name in an owner's id, which has something of its run at the end."""
    return owner.rpartition("-")[0] or owner


@lru_cache(maxsize=65536)
def weight(mac: str, owner: str) -> int:
    """Return what an owner weighs for a proxy.

    It goes by the owner's name: one that comes back has the proxies that it had.
    """
    digest = blake2b(f"{mac} {name_of(owner)}".encode(), digest_size=8).digest()
    return int.from_bytes(digest)


def ranked(mac: str, owners: Iterable[Owner], wish: str | None = None) -> Sequence[str]:
    """Return the ids of the owners that can use a proxy: the first should have it.

    Args:
        mac: of the proxy.
        owners: those that live.
        wish: id or name of the owner that it was given to by hand; None for none.
    """
    able = [owner for owner in owners if mac in owner.sees]
    sites = {owner.site for owner in able if mac in owner.named}

    def key(owner: Owner) -> tuple[bool, bool, int, str]:
        wished = wish is not None and wish in (owner.id, name_of(owner.id))
        return (wished, owner.site in sites, weight(mac, owner.id), owner.id)

    return [owner.id for owner in sorted(able, key=key, reverse=True)]
