"""An owner as a member of a cluster: its place on the bus, its leases, and what it says of itself.

Open it before the fleet, which asks `tenure` what it may use, and close it after the fleet: what
the fleet lets go is given back last.
"""

from __future__ import annotations

import asyncio
import logging
import os
import re
import secrets
import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Final

from nats.aio.msg import Msg

from proxyconn.fleet.fleet import Fleet
from proxyconn.radio import OffersLinks, Radio, RadioState, identity_of
from proxyconn_cluster.bus.connection import Bus, opened
from proxyconn_cluster.bus.messages import encode
from proxyconn_cluster.joined import Place
from proxyconn_cluster.members import Members
from proxyconn_cluster.ownership.lease_keeper import LeaseKeeper
from proxyconn_cluster.ownership.records import OwnedProxy, OwnerState
from proxyconn_cluster.ownership.succession import Succession, succeed
from proxyconn_cluster.serving.serving import shared
from proxyconn_cluster.settings import ClusterSettings

MOST_HOST: Final = 24
"""Characters of the machine's name in an owner's id."""

OUT_OF_REACH: Final = frozenset({RadioState.GONE, RadioState.WRONG_KEY, RadioState.WRONG_PASSWORD})
"""States of a proxy in which another owner may have more luck with it."""

VERSION: Final = version_of("proxyconn")

_LOGGER = logging.getLogger(__name__)


def new_owner_id(name: str | None = None) -> str:
    """Return an id for an owner: its name, or the machine's, and something of this run."""
    text = re.sub(r"[^A-Za-z0-9-]+", "-", name or socket.gethostname()).strip("-")
    return f"{text[:MOST_HOST] or 'owner'}-{secrets.token_hex(3)}"


class Membership:
    """An owner in a cluster.

    Args:
        bus: the connection.
        owner: our id.
        predecessor: id of an earlier run of ours that is surely gone; None if none is known.

    Attributes:
        bus, owner: as above.
        tenure: says which proxies are ours.
        members: the others.
        place: to be given to our fleet, which uses the others' radios by it.
    """

    def __init__(self, bus: Bus, owner: str, predecessor: str | None = None) -> None:
        self.bus = bus
        self.owner = owner
        self.tenure = LeaseKeeper(bus, owner, predecessor)
        self.members = Members(bus)
        self.members.buried = predecessor
        self.place = Place(
            bus.settings, always=False, members=self.members, held_leases=self.tenure.held_leases
        )
        self._fleet: Fleet | None = None

    async def start(self) -> None:
        """Begin to take proxies. Raises ClusterError."""
        self.tenure.deciding.is_idle = self._is_idle
        self.tenure.deciding.is_away = self._is_away
        await self.bus.subscribe(self.bus.subjects.ask_owners(), self._answer)
        await self.tenure.start()

    async def aclose(self) -> None:
        """Give back what is left; idempotent."""
        await self.tenure.aclose()

    @asynccontextmanager
    async def sharing(self, fleet: Fleet) -> AsyncIterator[None]:
        """Share the radios of the fleet that uses our proxies, once it runs."""
        self._fleet = fleet
        async with shared(fleet, self.members):
            yield

    def radio(self, mac: str) -> Radio | None:
        """Return the radio of a proxy of ours; None if there is none yet."""
        radios = self._fleet.radios if self._fleet else []
        own = (radio for radio in radios if not isinstance(radio, OffersLinks))
        return next((radio for radio in own if mac_of(radio) == mac), None)

    def _is_idle(self, mac: str) -> bool:
        radio = self.radio(mac)
        if radio is None:
            return True
        slots = radio.allocations()
        return not radio.connecting and (slots is None or slots.free >= slots.slots)

    def _is_away(self, mac: str) -> bool:
        radio = self.radio(mac)
        return radio is not None and radio.state in OUT_OF_REACH

    async def _answer(self, msg: Msg) -> None:
        await self.bus.answer(msg, encode(self.state()))

    def state(self) -> OwnerState:
        """Return how we are doing."""
        held_leases = self.tenure.held_leases
        return OwnerState(
            sender=self.owner,
            owner=self.owner,
            site=self.bus.settings.site,
            version=VERSION,
            pid=os.getpid(),
            age=round(self.tenure.age, 3),
            lease=held_leases.ttl,
            cut_off=held_leases.cut_off,
            sees=self.tenure.sees,
            proxies=tuple(self._owned(mac) for mac in sorted(held_leases.held)),
            clock=round(time.time(), 3),
        )

    def _owned(self, mac: str) -> OwnedProxy:
        radio, held = self.radio(mac), self.tenure.held_leases.held[mac]
        slots = radio.allocations() if radio else None
        return OwnedProxy(
            mac=mac,
            name=radio.name if radio else self.tenure.name_of(mac),
            state=str(radio.state) if radio else "connecting",
            problem=radio.problem if radio else None,
            links=slots.slots - slots.free if slots else 0,
            slots=slots.slots if slots else 0,
            leaving=held.leaving,
        )


def mac_of(radio: Radio) -> str:
    """Return 12 lower-case hex digits of a proxy; something else for any other radio."""
    return identity_of(radio).replace(":", "").lower()


@asynccontextmanager
async def joined(
    settings: ClusterSettings, folder: Path | None = None
) -> AsyncIterator[Membership]:
    """Yield our membership of a cluster.

    Args:
        settings: which cluster, and as whom.
        folder: where our state is kept, by which the leases of an earlier run of ours that has died
            are ours at once; None for nowhere.

    Raises:
        ClusterError: the cluster cannot be used.
    """
    owner = await asyncio.to_thread(new_owner_id, settings.name)
    async with opened(settings, owner) as bus:
        succession = Succession(None, None)
        if folder is not None:
            succession = await asyncio.to_thread(succeed, folder, owner)
        if succession.predecessor:
            _LOGGER.info("%s has died, and is succeeded by %s", succession.predecessor, owner)
        member = Membership(bus, owner, succession.predecessor)
        try:
            await member.start()
            yield member
        finally:
            try:
                await member.aclose()
            finally:
                await asyncio.to_thread(_end, succession, member)


def _end(succession: Succession, member: Membership) -> None:
    """End a run, with whatever of it or of its predecessor may be left in the store; writes."""
    if succession.predecessor and member.tenure.age < member.tenure.held_leases.ttl:
        succession.give_up()
    elif member.bus.connected:
        succession.leave()
    else:
        succession.end()
