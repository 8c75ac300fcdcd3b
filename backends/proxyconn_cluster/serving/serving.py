"""Shares a fleet's radios with the rest of the cluster."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Final

from nats.aio.msg import Msg

from proxyconn import Fleet
from proxyconn.device import colon_address, is_address
from proxyconn.fleet.lending import Lending
from proxyconn.radio import OffersLinks, Radio
from proxyconn_cluster.bus.connection import Subscribed
from proxyconn_cluster.bus.messages import MessageError, decode, encode
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.exchange.heard import payload
from proxyconn_cluster.exchange.offers import Answer, Ask, RadioOffer
from proxyconn_cluster.exchange.status import RadioStatus
from proxyconn_cluster.members import Members
from proxyconn_cluster.serving.advertisement_relay import AdvertisementRelay
from proxyconn_cluster.serving.lent_links import LentLinks
from proxyconn_cluster.serving.names import known_as
from proxyconn_cluster.serving.scan_wishes import ScanWishes

MOST_DEVICE: Final = 256
"""Characters of a device's name that is asked for."""

_LOGGER = logging.getLogger(__name__)


class Serving:
    """An owner, as the others of the cluster see it.

    Args:
        lending: its fleet.
        members: the others.

    Attributes:
        links: the links that it holds for others.
        relay: what it passes on of what it hears.
        scan_wishes: how the others wish that its radios scan.
    """

    def __init__(self, lending: Lending, members: Members) -> None:
        self._lending = lending
        self._members = members
        self.links = LentLinks(lending, members)
        self.relay = AdvertisementRelay(lending, members)
        self.scan_wishes = ScanWishes(lending, members)
        self._asked: Subscribed | None = None
        self._unregister: list[Callable[[], None]] = []

    async def start(self) -> None:
        """Be there for the others."""
        members, bus = self._members, self._members.bus
        members.own_radios, members.lends = self._radios, self.links.lends
        self._unregister = [
            self._lending.register_slots_callback(members.hurry),
        ]
        self._asked = await bus.subscribe(bus.subjects.of_all(Kind.ASK), self._on_ask)
        await self.links.start()
        self.relay.start()
        self.scan_wishes.start()
        members.hurry()

    async def aclose(self) -> None:
        """Close every link of others, and be gone; idempotent."""
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        if self._asked:
            await self._members.bus.unsubscribe(self._asked)
        self.scan_wishes.close()
        await self.relay.aclose()
        await self.links.aclose()
        self._members.own_radios = self._members.lends = None
        self._members.hurry()

    # Radios

    def _radios(self) -> list[RadioStatus]:
        every = self._lending.radios()
        own = (radio for radio in every if not isinstance(radio, OffersLinks))
        return [status_of(radio, self._members.name) for radio in own]

    # Offers

    async def _on_ask(self, message: Msg) -> None:
        try:
            asked = decode(message.data, Ask)
        except MessageError as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            return
        subjects = self._members.bus.subjects
        if asked.reply == self._members.subject(Kind.ANSWER):
            return
        if subjects.is_members_own(asked.reply, Kind.ANSWER):
            await self._members.bus.publish(asked.reply, encode(self._answer(asked)))

    def _answer(self, asked: Ask) -> Answer:
        text = asked.device[:MOST_DEVICE]
        lending, members = self._lending, self._members
        address = colon_address(text) if is_address(text) else lending.address_of(text)
        if address is None:
            return Answer(sender=members.name, run=members.run, number=asked.number)
        said = lending.said_by(address)
        offers = lending.offers(address)
        held = lending.kept_by(address)
        return Answer(
            sender=members.name,
            run=members.run,
            number=asked.number,
            device=address if offers else None,
            held=held,
            offers=tuple(
                RadioOffer(
                    known_as(one.radio, members.name),
                    one.offer.rssi,
                    one.offer.age,
                    one.offer.patience,
                    one.offer.wait,
                    one.offer.failures,
                    one.offer.radio_failures,
                    one.address_type,
                )
                for one in offers
            ),
            said=payload(said) if said and offers else b"",
        )


def status_of(radio: Radio, owner: str) -> RadioStatus:
    """Return how a radio of an owner is doing, for the others."""
    slots = radio.allocations()
    return RadioStatus(
        known_as(radio, owner),
        radio.name,
        radio.state.value,
        radio.problem,
        radio.connectable,
        slots.slots if slots else None,
        slots.free if slots else None,
        tuple(slots.allocated) if slots else (),
        radio.connecting,
    )


@asynccontextmanager
async def shared(fleet: Fleet, members: Members) -> AsyncIterator[Serving]:
    """Share the radios of a running fleet until the block is left."""
    serving = Serving(fleet.lending(), members)
    await serving.start()
    try:
        yield serving
    finally:
        await serving.aclose()
