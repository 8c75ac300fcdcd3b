"""What is known of the cluster without asking: the broker, the owners, how much each has."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable

from proxyconn.radio import RadioOwner, Surroundings
from proxyconn_cluster.exchange.status import RadioStatus
from proxyconn_cluster.members import Members
from proxyconn_cluster.ownership.held_leases import HeldLeases


class ClusterSnapshot:
    """Takes snapshots of the cluster.

    Args:
        members: the others.
        held_leases: the leases that are ours; None for a program, which has none.
    """

    def __init__(self, members: Members, held_leases: HeldLeases | None) -> None:
        self._members = members
        self._held_leases = held_leases
        self._loop = asyncio.get_running_loop()
        self._connected = members.bus.connected
        self._since = self._loop.time()
        self._unregister: Callable[[], None] | None = None

    def start(self) -> None:
        """Note from now on since when the broker is there, or is not."""
        self._unregister = self._members.bus.register_state_callback(self._connection_changed)

    def close(self) -> None:
        """Note nothing more; idempotent."""
        if self._unregister:
            self._unregister()
            self._unregister = None

    def _connection_changed(self) -> None:
        if self._members.bus.connected != self._connected:
            self._connected = not self._connected
            self._since = self._loop.time()

    def take(self) -> Surroundings:
        """Return what is known at this moment."""
        # nats-py tells of a change a moment after it can be seen.
        self._connection_changed()
        members, bus, held_leases = self._members, self._members.bus, self._held_leases
        said = bus.client.stats
        return Surroundings(
            fleet=bus.settings.fleet,
            site=members.site,
            owner=members.name,
            servers=bus.servers,
            connected=bus.connected,
            since=self._since,
            cut_off=held_leases.cut_off if held_leases else not bus.connected,
            leases=len(held_leases.held) if held_leases else 0,
            received=said["in_msgs"],
            sent=said["out_msgs"],
            owners=tuple(self._owners()),
            troubles=members.troubles,
        )

    def _owners(self) -> Iterable[RadioOwner]:
        members = self._members
        if members.own_radios is not None:
            own = members.own_radios()
            yield self._owner(
                members.name, members.site, members.lease, self._loop.time(), own, own=True
            )
        for one in sorted(members.all.values(), key=lambda member: member.key):
            if one.owner:
                radios = one.radios.values()
                yield self._owner(
                    one.name, one.site, one.lease, one.heard_at, radios, silent=one.silent
                )

    @staticmethod
    def _owner(
        name: str,
        site: str,
        lease: float,
        heard_at: float,
        radios: Iterable[RadioStatus],
        *,
        own: bool = False,
        silent: bool = False,
    ) -> RadioOwner:
        every = list(radios)
        told = [(one.slots, one.free) for one in every if one.slots is not None]
        return RadioOwner(
            owner=name,
            site=site,
            own=own,
            lease=lease,
            heard_at=heard_at,
            silent=silent,
            radios=len(every),
            links=sum(slots - (free or 0) for slots, free in told),
            slots=sum(slots for slots, _ in told),
        )
