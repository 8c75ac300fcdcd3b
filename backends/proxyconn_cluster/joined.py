"""A fleet in a cluster: its connection, its place among the members, the radios of the others."""

from __future__ import annotations

import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from proxyconn.radio import (
    Backend,
    FleetOptions,
    Neighbours,
    RadioSink,
    RadioUnavailableError,
    ScanWish,
    Surroundings,
)
from proxyconn_cluster.bus.connection import Bus
from proxyconn_cluster.bus.errors import ClusterError
from proxyconn_cluster.exchange.interest import EVERYTHING, Interest
from proxyconn_cluster.members import Members
from proxyconn_cluster.ownership.held_leases import HeldLeases
from proxyconn_cluster.remote.remote_radios import RemoteRadios
from proxyconn_cluster.settings import ClusterSettings, checked_servers


@dataclass(frozen=True, eq=False)
class Place:
    """A place in a cluster, to be given to `Fleet(cluster=…)`.

    Attributes:
        settings: which cluster, and as whom.
        interest: which advertisements of others are of interest at all.
        always: whether they are of interest though nobody here has asked for any; an owner that
            lends its fleet hears what its clients want to hear.
        members: the other members, over a connection that somebody else opens and closes; None to
            make one.
        held_leases: the leases that are ours; None for a program, which has none.
    """

    settings: ClusterSettings
    interest: Interest = EVERYTHING
    always: bool = True
    members: Members | None = None
    held_leases: HeldLeases | None = None


def place_of(cluster: object) -> Place:
    """Return what `Fleet(cluster=…)` means. Raises ValueError, TypeError."""
    if isinstance(cluster, Place):
        return cluster
    if isinstance(cluster, ClusterSettings):
        return Place(cluster)
    if isinstance(cluster, str):
        return Place(ClusterSettings(checked_servers(cluster)))
    raise TypeError(
        "cluster must be the URL of a NATS server, ClusterSettings or a Place, "
        f"not {type(cluster).__name__}"
    )


def client_name() -> str:
    """Return what a program is called that owns nothing."""
    host = "".join(one if one.isascii() and one.isalnum() else "-" for one in socket.gethostname())
    return f"{host[:24] or 'client'}-{os.getpid()}"


class Joined(Neighbours):
    """The backend.

    Args:
        cluster: what was given to `Fleet(cluster=…)`.
        sink: told of the radios of others.
    """

    def __init__(self, cluster: object, sink: RadioSink) -> None:
        self._place = place_of(cluster)
        self._sink = sink
        self._bus: Bus | None = None
        self._members: Members | None = None
        self._remote_radios: RemoteRadios | None = None

    async def start(self) -> None:
        """Join. Raises RadioUnavailableError if there is no cluster to join."""
        members = self._place.members
        if members is None:
            self._bus = Bus(self._place.settings, client_name())
            try:
                await self._bus.open()
            except ClusterError as exc:
                raise RadioUnavailableError(str(exc)) from None
            members = Members(self._bus)
        self._members = members
        await members.start()
        place = self._place
        self._remote_radios = RemoteRadios(
            members, self._sink, place.interest, always=place.always, held_leases=place.held_leases
        )
        await self._remote_radios.start()

    async def reconfigure(self, options: FleetOptions) -> None:
        """Stay where we are: another cluster takes another fleet."""

    async def aclose(self) -> None:
        """Leave; idempotent."""
        if self._remote_radios:
            await self._remote_radios.aclose()
        if self._members:
            await self._members.aclose()
        if self._bus:
            await self._bus.aclose()
            self._bus = None

    # Neighbours

    @property
    def _there(self) -> RemoteRadios:
        assert self._remote_radios is not None
        return self._remote_radios

    def met(self, end_link: Callable[[str], Awaitable[None]]) -> None:
        """Know what ends our link to a device."""
        self._there.met(end_link)

    async def ask(self, address: str, timeout: float) -> None:
        """Have every owner say what its radios are worth for a device. Raises LinkError."""
        await self._there.ask(address, timeout)

    async def look_for(self, address_or_name: str) -> None:
        """Have owners tell what they hear of a device."""
        await self._there.look_for(address_or_name)

    async def hold(self, address: str, radio: str, timeout: float) -> None:
        """Return once no other owner may connect to a device. Raises LinkError."""
        await self._there.hold(address, radio, timeout)

    def let_go(self, address: str) -> None:
        """Let others have a device."""
        self._there.let_go(address)

    def listened_to(self, wanted: bool) -> None:
        """Somebody here wants to hear, or nobody does any more."""
        self._there.listened_to(wanted)

    def known(self) -> Surroundings:
        """Return what is known of the cluster."""
        return self._there.known()

    def scan_wished(self, wishes: frozenset[ScanWish]) -> None:
        """Have the radios of others scan as it is wished here."""
        self._there.scan_wished(wishes)


_backend_fits: type[Backend] = Joined
