"""A radio of another owner, as a radio of this fleet."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn.device import colon_address, is_address
from proxyconn.radio import (
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    IdentifiedRadio,
    Offer,
    OffersLinks,
    Radio,
    RadioState,
    SharedRadio,
)
from proxyconn_cluster.exchange.status import RadioStatus
from proxyconn_cluster.members import Member
from proxyconn_cluster.remote.far_links import FarLinks
from proxyconn_cluster.remote.remote_client import RemoteClient

OFFER_LASTS: Final = 5.0
"""Seconds for which what a radio was worth for a device is taken for what it is worth."""


class RemoteRadio(IdentifiedRadio, SharedRadio, OffersLinks):
    """One radio.

    Args:
        member: the owner that has it.
        status: how the owner says that it is doing.
        links: the links that others hold for us.
        now: returns the time in seconds.

    Attributes:
        name: what people call it.
        status: how its owner says that it is doing.
        shown: state and problem that the fleet was told of last.
    """

    def __init__(
        self, member: Member, status: RadioStatus, links: FarLinks, now: Callable[[], float]
    ) -> None:
        self.member = member
        self.name = status.name
        self.status = status
        self._links = links
        self._now = now
        self._allocated = _addresses(status)
        self.shown = (self.state, self.problem)
        self._offers: dict[str, tuple[float, Offer]] = {}

    def __repr__(self) -> str:
        return f"<RemoteRadio {self.name} of {self.member.name}: {self.state}>"

    @property
    def identity(self) -> str:
        """What it is for good: the MAC address of a proxy."""
        return self.status.id

    def answers_to(self, name: str) -> bool:
        """Whether `name` is what it is called, or what it is for good."""
        return name in (self.name, self.status.name) or name.lower() == self.identity.lower()

    @property
    def is_shared(self) -> bool:
        """True: slots that are not ours are others'."""
        return True

    @property
    def state(self) -> RadioState:
        """How it is doing."""
        if self.member.silent:
            return RadioState.GONE
        try:
            return RadioState(self.status.state)
        except ValueError:
            return RadioState.CONNECTING

    @property
    def problem(self) -> str | None:
        """Why it is not ready, in one sentence; None if it is."""
        if self.member.silent:
            return f"its owner {self.member.name} has not been heard of for some seconds"
        return self.status.problem

    @property
    def connectable(self) -> bool:
        """Whether it opens links."""
        return self.status.connectable

    def allocations(self) -> Allocations | None:
        """Its slots, as its owner says; None if it reports none."""
        status = self.status
        if status.slots is None or status.free is None:
            return None
        return Allocations(self.name, status.slots, status.free, list(self._allocated))

    def free_slots(self) -> int | None:
        """Slots that nobody has; None if it reports none."""
        return self.status.free

    @property
    def connecting(self) -> int:
        """Attempts that occupy it, as its owner says."""
        return self.status.connecting

    def claim(self, address: str) -> bool:
        """Return True: its owner gives its slots, to whoever waits in the owner's queue."""
        return True

    def release(self, address: str) -> None:
        """Nothing was claimed."""

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for `device` behind this radio."""
        return RemoteClient(
            device,
            links=self._links,
            member=self.member,
            radio=self.identity,
            radio_name=self.name,
            **kwargs,
        )

    def offer(self, address: str) -> Offer | None:
        """What a link to a device was worth when that was asked last, unless that is long ago."""
        at, offer = self._offers.get(address, (0.0, None))
        return offer if offer and self._now() - at <= OFFER_LASTS else None

    def take_offer(self, address: str, offer: Offer | None) -> None:
        """Take note of what a link is worth; None if it does not hear the device."""
        now = self._now()
        if len(self._offers) > 256:
            self._offers = {
                one: said for one, said in self._offers.items() if now - said[0] <= OFFER_LASTS
            }
        if offer:
            self._offers[address] = (now, offer)
        else:
            self._offers.pop(address, None)

    def follow(self, member: Member, status: RadioStatus) -> list[AllocationChangeEvent]:
        """Take what its owner says now; return the slots that changed."""
        before, now = set(self._allocated), set(_addresses(status))
        self.member, self.status, self._allocated = member, status, _addresses(status)
        return [
            AllocationChangeEvent(change, f"{self.name}/{address}", self.name, address)
            for change, addresses in (
                (AllocationChange.RELEASED, before - now),
                (AllocationChange.ALLOCATED, now - before),
            )
            for address in sorted(addresses)
        ]

    def first_events(self) -> list[AllocationChangeEvent]:
        """Return the slots that are taken already."""
        return [
            AllocationChangeEvent(
                AllocationChange.ALLOCATED, f"{self.name}/{address}", self.name, address
            )
            for address in self._allocated
        ]

    def diagnostics(self) -> dict[str, Any]:
        """Return what is known of it."""
        return {
            "name": self.name,
            "mac": self.identity,
            "owner": self.member.name,
            "site": self.member.site,
            "state": str(self.state),
            "problem": self.problem,
        }


def _addresses(status: RadioStatus) -> tuple[str, ...]:
    """Return the devices that have a slot; what is no address is left out."""
    return tuple(colon_address(text) for text in status.allocated if is_address(text))


_radio_fits: type[Radio] = RemoteRadio
