"""The radios of other owners in a fleet: whose each is, and what is believed of what is told."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from nats.aio.msg import Msg

from proxyconn.radio import AllocationChangeEvent, Radio, Report
from proxyconn_cluster.bus.messages import decode, encode
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.exchange.interest import Interest
from proxyconn_cluster.exchange.offers import Answer, Ask, RadioOffer
from proxyconn_cluster.exchange.status import RadioStatus
from proxyconn_cluster.members import Members
from proxyconn_cluster.remote.remote_radio import RemoteRadio
from proxyconn_cluster.remote.remote_radios import RemoteRadios

from .conftest import MakeBus
from .nats_server import NatsServer
from .village import DEADLINE, until

DEVICE = "C4:00:00:00:00:01"
HERE_ALONE = Interest(sites=("nowhere",))
"""What a program wants to hear that asks for devices: nothing of it comes by itself."""

KITCHEN = RadioStatus("c0ffee000001", "kitchen", "ready", slots=3, free=3)
BEDROOM = RadioStatus("c0ffee000002", "bedroom", "ready", slots=3, free=3)


class Seen:
    """A fleet, as far as radios tell it something."""

    def __init__(self) -> None:
        self.radios: list[RemoteRadio] = []
        self.heard_by: list[str] = []

    def radio_added(self, radio: Any) -> None:
        self.radios.append(radio)

    def radio_removed(self, radio: Any) -> None:
        self.radios.remove(radio)

    def state_changed(self, radio: Radio) -> None:
        """Not looked at."""

    def link_opened(self, radio: Radio, address: str) -> None:
        """Not looked at."""

    def slots_changed(self, radio: Radio, events: Iterable[AllocationChangeEvent]) -> None:
        """Not looked at."""

    def heard(self, radio: Radio, reports: Iterable[Report[Any]], parse: object) -> None:
        self.heard_by += [radio.name for _ in reports]

    @property
    def owners(self) -> dict[str, str]:
        """Radio -> whose it is."""
        return {radio.name: radio.member.name for radio in self.radios}


class Place:
    """A program in a cluster, and owners that only say which radios they have."""

    def __init__(self, stack: AsyncExitStack, server: NatsServer, make_bus: MakeBus) -> None:
        self._stack = stack
        self._server = server
        self._make_bus = make_bus
        self.seen = Seen()
        self.members: Members
        self.remote_radios: RemoteRadios

    async def join(self) -> None:
        """Begin to follow the owners."""
        members = self.members = Members(await self._make_bus(self._server, "program"))
        self.remote_radios = RemoteRadios(members, self.seen, HERE_ALONE)
        await members.start()
        self._stack.push_async_callback(members.aclose)
        await self.remote_radios.start()
        self._stack.push_async_callback(self.remote_radios.aclose)

    async def own(self, name: str, *radios: RadioStatus) -> Members:
        """Start an owner that says it has these radios."""
        members = Members(await self._make_bus(self._server, name))
        members.own_radios = lambda: radios
        await members.start()
        self._stack.push_async_callback(members.aclose)
        return members


@pytest.fixture
async def place(stack: AsyncExitStack, server: NatsServer, make_bus: MakeBus) -> Place:
    """Return a program that is alone yet."""
    place = Place(stack, server, make_bus)
    await place.join()
    return place


async def test_a_radio_that_two_owners_told_of_stays_when_one_of_them_leaves(place: Place) -> None:
    north = await place.own("north", KITCHEN)
    await until(lambda: place.seen.owners == {"kitchen": "north"})
    south = await place.own("south", KITCHEN)
    await until(lambda: {one.name for one in place.members.owners()} == {"north", "south"})
    await north.aclose()
    await until(lambda: place.seen.owners == {"kitchen": "south"})
    await south.aclose()
    await until(lambda: place.seen.owners == {})


async def test_a_radio_that_heard_a_device_too_long_ago_is_no_way_to_it(place: Place) -> None:
    north = await place.own("north", KITCHEN, BEDROOM)
    await until(lambda: len(place.seen.owners) == 2)
    offers = (
        RadioOffer(KITCHEN.id, -50, age=1.0, patience=5.0, wait=0.0),
        RadioOffer(BEDROOM.id, -40, age=9.0, patience=5.0, wait=0.0),
    )

    async def answer(message: Msg) -> None:
        asked = decode(message.data, Ask)
        told = Answer(
            sender=north.name,
            number=asked.number,
            run=north.run,
            device=DEVICE,
            offers=offers,
            said=b"\x02\x01\x06",
        )
        await north.bus.publish(asked.reply, encode(told))

    await north.bus.subscribe(north.bus.subjects.of_all(Kind.ASK), answer)
    async with asyncio.timeout(DEADLINE):
        while not place.seen.heard_by:
            # Who answers too late is passed over, and so is a busy machine.
            await place.remote_radios.look_for(DEVICE)
    assert set(place.seen.heard_by) == {"kitchen"}
