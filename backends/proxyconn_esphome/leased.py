"""Keeps those proxies connected that are ours, of several owners who share them out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from proxyconn.radio import (
    FleetOptions,
    HeldLinks,
    Memory,
    Proxy,
    RadioSink,
    RadioState,
    Tenure,
    Whose,
)
from proxyconn_esphome.backend import ESPHomeBackend
from proxyconn_esphome.proxy_radio import ESPHomeRadio
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.wire.problems import Problem

WAITING: Final = Problem(
    RadioState.DENIED,
    "waiting for the proxy to drop the old session, which another owner had",
    "ESPHome before 2026.7 takes up to 150 s for that; a newer one serves the newest client",
    check="subscription",
)

NOT_OURS: Final = "the proxy is not ours any more"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a proxy is that has said who it is.

    Attributes:
        proxy: where, and its key.
        name: its node name.
        named: whether the user named it.
        others: other addresses at which it may be.
    """

    proxy: Proxy
    name: str
    named: bool
    others: tuple[str, ...] = ()

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every address at which it may be."""
        return (self.proxy.host, *self.others)


class LeasedLinks(HeldLinks):
    """The links that proxies hold for the owners of a cluster, one after the other.

    What a proxy holds that another owner had before us was that owner's, and nobody else's.
    """

    def __init__(self, memory: Memory, tenure: Tenure) -> None:
        super().__init__(memory)
        self._tenure = tenure

    def whose(self, radio: str, device: str, now: float) -> Whose:
        """Return who has asked for a link that a radio holds."""
        found = super().whose(radio, device, now)
        inherited = found is Whose.UNKNOWN and self._tenure.had_owner(radio)
        return Whose.EARLIER if inherited else found

    def may_be_wanted(self, radio: str, device: str) -> bool:
        """Whether a client here may come back for a link: who wants it looks for its device.

        The device does not advertise meanwhile, and those who want it cannot find it.
        """
        return not self._tenure.had_owner(radio)


class LeasedBackend(ESPHomeBackend):
    """Keeps the proxies connected that are ours."""

    def __init__(self, options: FleetOptions, sink: RadioSink, tenure: Tenure) -> None:
        # Whoever is not called may be ours or not; and mDNS is heard by whoever knows that.
        super().__init__(replace(options, proxies=(), discover=False, listen=None), sink)
        self._links = LeasedLinks(options.state, tenure)
        self._tenure = tenure
        self._macs: dict[Proxy, str] = {}
        self._places: Mapping[str, Place] = {}
        self._sessions_by_mac: dict[str, ProxySession] = {}

    @property
    def used(self) -> frozenset[str]:
        """The proxies that are used now."""
        return frozenset(self._sessions_by_mac)

    async def use(self, places: Mapping[str, Place]) -> None:
        """Use these proxies, and no others; returns when the others are let go."""
        self._places = places
        self._macs = {place.proxy: mac for mac, place in places.items()}
        await self._follow_moves()
        await self.reconfigure(replace(self._options, proxies=tuple(self._macs)))
        live = {id(radio.session) for radio in self._radios}
        self._sessions_by_mac = {
            mac: session for mac, session in self._sessions_by_mac.items() if id(session) in live
        }

    async def _follow_moves(self) -> None:
        """Have sessions look for their proxies where those are now; links that are up stay up."""
        for radio in list(self._radios):
            session, named = radio.session, radio.named
            place = self._places.get(session.mac or "")
            if named is None or place is None or place.proxy == named:
                continue
            moved = replace(named, host=place.proxy.host, port=place.proxy.port)
            if moved != place.proxy:
                continue
            radio.named = place.proxy
            if not session.is_up:
                await session.move(place.hosts, place.proxy.port)
            elif place.proxy.port == session.proxy.port:
                session.reach.be_at(place.hosts)

    def _stays(self, radio: ESPHomeRadio, wanted: list[Proxy]) -> bool:
        """Whether a radio's proxy is used still; another one may be where it was."""
        return radio.session.mac in self._places and super()._stays(radio, wanted)

    def take_options(self, options: FleetOptions) -> None:
        """Take what else has changed, from the next `use` on."""
        self._options = replace(options, proxies=(), discover=False, listen=None)

    def cut(self, mac: str) -> None:
        """End what goes over a proxy at once, without a goodbye."""
        if session := self._sessions_by_mac.get(mac):
            session.reach.cut(NOT_OURS)

    def _join(self, proxy: Proxy, **kwargs: Any) -> ProxySession:
        mac = self._macs[proxy]
        known = {"expected_mac": mac, "others": self._places[mac].others}
        session = super()._join(proxy, **kwargs | known)
        session.reach.guard(partial(self._tenure.holds, mac))
        if self._tenure.had_owner(mac):
            session.subscription.denied = WAITING
        self._sessions_by_mac[mac] = session
        return session
