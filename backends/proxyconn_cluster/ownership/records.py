"""What owners write down for each other, and say of themselves."""

from __future__ import annotations

import msgspec

from proxyconn_cluster.bus.messages import Message


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

    Attributes:
        site: where it is.
        age: seconds that it lives.
        sees: MAC addresses of the proxies that it can use.
        named: those of them that its user named: proxies of its site.
    """

    site: str
    age: float
    sees: tuple[str, ...] = ()
    named: tuple[str, ...] = ()


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
