"""What owners write down for each other, and say of themselves."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar, Final

import msgspec

from proxyconn_cluster.bus.messages import Message

MAC_BYTES: Final = 6

MOST_SEEN: Final = 30_000
"""Proxies in one `Sight`, at most: 240 kB."""


class Lease(Message, frozen=True, kw_only=True):
    """A proxy is an owner's for as long as this is renewed; the key is its MAC address.

    Attributes:
        owner: id of the owner; that of each run is another one.
        site: where the owner is.
        name: what the proxy is called.
        epoch: how often it has changed hands, as far as is known.
    """

    owner: str
    site: str
    name: str
    epoch: int = 0


class Heartbeat(Message, frozen=True, kw_only=True):
    """An owner lives for as long as this is renewed; the key is its id.

    In version 1.0 it had every proxy in it that its owner could use.

    Attributes:
        site: where it is.
        age: seconds that it lives.
        sight: number of the `Sight` that says what it can use; 0 before it has said that.
    """

    OLDEST: ClassVar[int] = 1

    site: str
    age: float
    sight: int = 0


class Sight(Message, frozen=True, kw_only=True):
    """What an owner can use, written when that changes; the key is its id.

    Attributes:
        number: counted up by its owner.
        found: MAC addresses of the proxies that it has found, packed.
        named: of those that its user named: proxies of its site; none is in both.
    """

    OLDEST: ClassVar[int] = 1

    number: int
    found: bytes = b""
    named: bytes = b""


def packed(macs: Iterable[str]) -> bytes:
    """Return MAC addresses, each of 12 hex digits, as six bytes each."""
    return bytes.fromhex("".join(macs))


def unpacked(data: bytes) -> frozenset[str]:
    """Return the MAC addresses again; half a one at the end is none."""
    text, digits = data.hex(), 2 * MAC_BYTES
    whole = len(text) - len(text) % digits
    return frozenset(text[at : at + digits] for at in range(0, whole, digits))


class Wish(Message, frozen=True, kw_only=True):
    """Somebody wants a proxy to be an owner's; the key is its MAC address.

    Attributes:
        owner: id or name of the owner.
        now: whether links that it has are no reason to wait.
    """

    owner: str
    now: bool = False


class OwnedProxy(msgspec.Struct, frozen=True, kw_only=True):
    """One proxy, as its owner has it.

    Attributes:
        mac: 12 lower-case hex digits.
        name: what it is called.
        state: how it is doing.
        problem: why it is not ready; None if it is.
        links: slots that are taken.
        slots: slots that there are.
        leaving: whether it is about to be somebody else's.
    """

    mac: str
    name: str
    state: str
    problem: str | None = None
    links: int = 0
    slots: int = 0
    leaving: bool = False


class OwnerState(Message, frozen=True, kw_only=True):
    """What an owner says when it is asked how it is doing.

    Attributes:
        owner: its id.
        site: where it is.
        version: that of proxyconn there.
        pid: number of its process.
        age: seconds that it lives.
        lease: seconds for which its leases are.
        cut_off: whether it has lost the leases' store.
        sees: how many proxies it could use.
        proxies: those that it has.
        clock: Unix seconds there.
    """

    owner: str
    site: str
    version: str
    pid: int
    age: float
    lease: float
    cut_off: bool
    sees: int
    proxies: tuple[OwnedProxy, ...] = ()
    clock: float | None = None
