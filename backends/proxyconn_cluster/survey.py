"""Who is in a cluster, as seen by somebody who is not: asked, and never kept."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import msgspec
import nats.errors

from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.bus.messages import Message, MessageError, decode, encode
from proxyconn_cluster.ownership.placement import name_of
from proxyconn_cluster.ownership.records import OwnedProxy, OwnerState, Wish

ANSWER_TIME: Final = 2.0
"""Seconds that owners have to answer."""

QUIET: Final = 0.3
"""Seconds without another answer after which all have answered."""

MOVES: Final = 3.0
"""Leases that an idle proxy may take to be the other owner's."""

BACK: Final = "auto"
"""Stands for no owner in particular."""


@dataclass
class Survey:
    """What owners say.

    Attributes:
        owners: by their ids.
        troubles: what could not be understood, in sentences.
    """

    owners: list[OwnerState] = field(default_factory=list)
    troubles: list[str] = field(default_factory=list)

    def proxies(self) -> Iterator[tuple[OwnerState, OwnedProxy]]:
        """Yield every proxy with its owner, by the names of the proxies."""
        every = [(owner, proxy) for owner in self.owners for proxy in owner.proxies]
        yield from sorted(every, key=lambda one: (one[1].name, one[1].mac))

    def rows(self) -> dict[str, Any]:
        """Return all of it as JSON-able values."""
        owners = msgspec.to_builtins(self.owners)
        return {"owners": owners, "troubles": self.troubles}

    def proxy(self, name: str) -> tuple[OwnerState, OwnedProxy]:
        """Return a proxy by its name or MAC address. Raises ClusterError."""
        mac = name.replace(":", "").lower()
        found = [one for one in self.proxies() if mac == one[1].mac or name == one[1].name]
        if len(found) != 1:
            why = "no owner has" if not found else "several proxies are called"
            raise ClusterError(f"{why} {name}; `proxyconn cluster` shows which there are")
        return found[0]

    def owner(self, name: str) -> OwnerState:
        """Return an owner by its id, or by its name if no other is called so.

        Raises:
            ClusterError: there is none, or several of that name.
        """
        found = [one for one in self.owners if name in (one.owner, name_of(one.owner))]
        if not found:
            raise ClusterError(
                f"no owner is called {name}; `proxyconn cluster` shows which there are"
            )
        if len(found) > 1:
            raise ClusterError(
                f"several owners are called {name}, and a proxy is given to a name: start each "
                "with one of its own, `proxyconn serve --name NAME`"
            )
        return found[0]


async def survey(bus: Bus) -> Survey:
    """Ask every owner how it is doing. Raises ClusterError."""
    found = Survey()
    asked = encode(Message(sender=bus.name))
    for msg in await bus.gather(bus.subjects.ask_owners(), asked, ANSWER_TIME, QUIET):
        try:
            found.owners.append(decode(msg.data, OwnerState))
        except MessageError as exc:
            found.troubles.append(str(exc))
    found.owners.sort(key=lambda one: one.owner)
    return found


@dataclass(frozen=True, slots=True)
class Moved:
    """What became of a wish.

    Attributes:
        name, mac: of the proxy.
        owner: id of the owner that it is given to; None for no one in particular.
        moved: whether it has it already.
        waits: whether it has links, which are waited for.
    """

    name: str
    mac: str
    owner: str | None
    moved: bool
    waits: bool = False

    @property
    def late(self) -> bool:
        """Whether it should have moved, and has not."""
        return not (self.moved or self.waits)


async def wish_for(bus: Bus, proxy: str, owner: str, *, now: bool) -> Moved:
    """Give a proxy to an owner, and wait for it to be there if it is idle.

    Args:
        bus: the connection.
        proxy: its name or MAC address.
        owner: name or id of the owner; BACK to take back what was wished for before.
        now: whether links are no reason to wait.

    Raises:
        ClusterError: there is no such proxy or owner, or the store refuses.
    """
    found = await survey(bus)
    _, which = found.proxy(proxy)
    try:
        wishes = await bus.bucket(bus.subjects.wishes, 0)
        if owner == BACK:
            await wishes.delete(which.mac)
            return Moved(which.name, which.mac, None, moved=True)
        target = found.owner(owner)
        found.owner(name_of(target.owner))
        wish = Wish(sender=bus.name, owner=name_of(target.owner), now=now)
        await wishes.put(which.mac, encode(wish))
    except nats.errors.Error as exc:
        raise ClusterError(f"the wish was not written down: {exc}") from None
    if which.links and not now:
        return Moved(which.name, which.mac, target.owner, moved=False, waits=True)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + MOVES * target.lease
    moved = False
    while not moved and loop.time() < deadline:
        await asyncio.sleep(QUIET)
        state = await survey(bus)
        mine = [one for one in state.owners if one.owner == target.owner]
        moved = any(one.mac == which.mac for owned in mine for one in owned.proxies)
    return Moved(which.name, which.mac, target.owner, moved)
