"""The backend that brings the radios of other owners into a fleet."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Final

from bleak.exc import BleakError
from bluetooth_data_tools import mac_to_int
from nats.aio.msg import Msg

from proxyconn.advertised.fields import measured
from proxyconn.advertised.reports import PlainReport
from proxyconn.callbacks import log_failure
from proxyconn.device import colon_address, is_address
from proxyconn.errors import ErrorKind, LinkError
from proxyconn.radio import (
    NO_RSSI_VALUE,
    Neighbours,
    Offer,
    RadioSink,
    RadioState,
    ScanWish,
    Surroundings,
)
from proxyconn_cluster.bus.connection import Subscribed
from proxyconn_cluster.bus.messages import OtherVersionError, check_headers
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.device_locks import DeviceLocks
from proxyconn_cluster.exchange.heard import radio_token, reports, said_by
from proxyconn_cluster.exchange.interest import EVERYTHING, Interest
from proxyconn_cluster.exchange.offers import Answer, RadioOffer
from proxyconn_cluster.exchange.status import RadioStatus
from proxyconn_cluster.members import Member, Members
from proxyconn_cluster.ownership.held_leases import HeldLeases
from proxyconn_cluster.remote.cluster_snapshot import ClusterSnapshot
from proxyconn_cluster.remote.far_links import FarLinks
from proxyconn_cluster.remote.offer_requests import OfferRequests
from proxyconn_cluster.remote.remote_radio import RemoteRadio

NO_ANSWER: Final = Offer(NO_RSSI_VALUE, float("inf"), 0.0, 0.0)
"""What a radio is worth whose owner has not answered in time: less than any that did."""

USABLE_STATES: Final = frozenset(state.value for state in RadioState if state.is_usable)
"""What a member says of a radio that opens links; it may know states that we do not."""

_LOGGER = logging.getLogger(__name__)


class RemoteRadios(Neighbours):
    """The radios of others.

    Args:
        members: who is there; running.
        sink: told of every radio.
        interest: which advertisements are of interest at all.
        always: whether they are of interest though nobody has asked for any: a program may look at
            `Fleet.devices` whenever it likes.
        held_leases: the leases that are ours; None for a program, which has none.
    """

    def __init__(
        self,
        members: Members,
        sink: RadioSink,
        interest: Interest = EVERYTHING,
        *,
        always: bool = True,
        held_leases: HeldLeases | None = None,
    ) -> None:
        self._members = members
        self._sink = sink
        self._interest = interest
        self._always = always
        self._wanted = False
        self._scan: frozenset[ScanWish] = frozenset()
        self.links = FarLinks(members)
        self.device_locks = DeviceLocks(members, self._lose, self._is_linked)
        self._end_link: Callable[[str], Awaitable[None]] | None = None
        self._offer_requests = OfferRequests(members)
        self._snapshot = ClusterSnapshot(members, held_leases)
        self._radios: dict[str, RemoteRadio] = {}
        self._by_token: dict[str, RemoteRadio] = {}
        self._listening: Subscribed | None = None
        self._turning = asyncio.Lock()
        self._unregister: list[Callable[[], None]] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()

    async def start(self) -> None:
        """Follow the others."""
        self._unregister = [
            self._members.changed.register(self._member_changed),
            self._members.gone.register(self._member_gone),
            self._members.woke.register(lambda: self._spawn(self.device_locks.check())),
        ]
        self._snapshot.start()
        await self._offer_requests.start()
        await self.links.start()
        self.device_locks.start()
        for member in list(self._members.all.values()):
            self._member_changed(member)
        self._turn()

    async def aclose(self) -> None:
        """Let every radio go; idempotent."""
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        self._snapshot.close()
        self._always = self._wanted = False
        self._turn()
        await self.links.aclose()
        await self.device_locks.aclose()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._offer_requests.aclose()
        for identity in list(self._radios):
            self._remove(identity)

    # Who is there

    def _member_changed(self, member: Member) -> None:
        ours = self._members.own_radios() if self._members.own_radios else ()
        own = {one.id for one in ours if _is_usable(one)}
        for identity, radio in list(self._radios.items()):
            if radio.member is member and identity not in member.radios:
                self._remove(identity)
        for identity, status in member.radios.items():
            known = self._radios.get(identity)
            if identity in own:
                if known:
                    self._remove(identity)
            elif known is None:
                self._add(member, status)
            elif known.member is member or known.member.silent or _is_usable(status):
                self._follow(known, member, status)

    def _member_gone(self, member: Member) -> None:
        for identity, radio in list(self._radios.items()):
            if radio.member is member:
                self._remove(identity)
        for other in self._members.all.values():
            for identity, status in other.radios.items():
                if identity not in self._radios and identity in member.radios:
                    self._add(other, status)

    def _add(self, member: Member, status: RadioStatus) -> None:
        radio = RemoteRadio(member, status, self.links, self._loop.time)
        if any(other.name == radio.name for other in self._radios.values()):
            radio.name = f"{status.name}@{member.name}"
        try:
            name = radio_token(status.id)
        except ValueError:
            _LOGGER.debug("%s: a radio that is %r", member.name, status.id)
            return
        self._radios[status.id] = self._by_token[name] = radio
        self._wish_scan()
        self._sink.radio_added(radio)
        self._sink.slots_changed(radio, radio.first_events())

    def _follow(self, radio: RemoteRadio, member: Member, status: RadioStatus) -> None:
        slots, events = radio.status, radio.follow(member, status)
        if radio.shown != (radio.state, radio.problem):
            radio.shown = (radio.state, radio.problem)
            self._sink.state_changed(radio)
        if slots != status:
            self._sink.slots_changed(radio, events)

    def _remove(self, identity: str) -> None:
        radio = self._radios.pop(identity)
        self._by_token.pop(radio_token(identity), None)
        self._wish_scan()
        self._sink.radio_removed(radio)

    # What the core asks: Neighbours

    def met(self, end_link: Callable[[str], Awaitable[None]]) -> None:
        """Know what ends our link to a device."""
        self._end_link = end_link

    async def ask(self, address: str, timeout: float) -> None:
        """Have every owner say what its radios are worth for a device. Raises LinkError."""
        answers = await self._offer_requests.ask(address, timeout)
        offers = {offer.radio: offer for one in answers.values() for offer in one.offers}
        for identity, radio in self._radios.items():
            told = offers.get(identity)
            silent = None if radio.member.key in answers else NO_ANSWER
            radio.take_offer(address, _offer(told) if told else silent)
        for answer in answers.values():
            if not self._hears_everything:
                self._inject(answer)
            if answer.held is not None:
                raise LinkError(
                    f"{address}: {answer.held} has it through {answer.sender}",
                    kind=ErrorKind.IN_USE,
                )

    async def look_for(self, address_or_name: str) -> None:
        """Have owners tell what they hear of a device."""
        device = address_or_name
        if is_address(device):
            device = colon_address(device)
        for answer in (await self._offer_requests.ask(device)).values():
            self._inject(answer)

    def _inject(self, answer: Answer) -> None:
        """Take what an owner tells of a device for what its radios hear."""
        if answer.device is None or not is_address(answer.device) or not answer.said:
            return
        number = mac_to_int(answer.device)
        for offer in answer.offers:
            radio = self._radios.get(offer.radio)
            if radio and offer.age <= offer.patience:
                report = PlainReport(
                    number, offer.address_type & 0xFF, measured(offer.rssi), answer.said
                )
                self._sink.heard(radio, [report], said_by)

    async def hold(self, address: str, radio: str, timeout: float) -> None:
        """Return once no other owner may connect to a device. Raises LinkError."""
        await self.device_locks.hold(address, radio, timeout)

    def let_go(self, address: str) -> None:
        """Let others have a device."""
        self.device_locks.let_go(address)

    async def _lose(self, address: str) -> None:
        if self._end_link:
            with contextlib.suppress(BleakError, TimeoutError, OSError, EOFError):
                await self._end_link(address)

    def _is_linked(self, radio: str, address: str) -> bool | None:
        """Whether a radio, ours or another's, has a slot for a device; None if it is nobody's."""
        ours = self._members.own_radios() if self._members.own_radios else ()
        others = [one.status for one in self._radios.values()]
        for status in (*ours, *others):
            if status.id == radio and _is_usable(status) and status.slots is not None:
                return address in status.allocated
        return None

    def known(self) -> Surroundings:
        """Return what is known of the cluster."""
        return self._snapshot.take()

    # How others scan

    def scan_wished(self, wishes: frozenset[ScanWish]) -> None:
        """Tell the others what is wished here of how their radios scan."""
        self._scan = wishes
        self._wish_scan()

    def _wish_scan(self) -> None:
        theirs = (one for one in self._scan if one.only is None or one.only in self._radios)
        wishes = frozenset(theirs)
        if wishes != self._members.scan:
            self._members.scan = wishes
            self._members.hurry()

    # What is heard

    @property
    def _hears_everything(self) -> bool:
        return self._members.interest is not None and self._members.interest.is_everything

    def listened_to(self, wanted: bool) -> None:
        """Somebody here wants to hear, or nobody does any more."""
        self._wanted = wanted
        self._turn()

    def _turn(self) -> None:
        """Listen if somebody wants to hear, and say so to the others."""
        wanted = self._always or self._wanted
        interest = self._interest if wanted else None
        if interest != self._members.interest:
            self._members.interest = interest
            self._members.hurry()
        self._spawn(self._listen())

    async def _listen(self) -> None:
        async with self._turning:
            bus = self._members.bus
            wanted = self._members.interest is not None
            if wanted and self._listening is None:
                subject = bus.subjects.of_site("*", Kind.ADVERTS, "*")
                self._listening = await bus.subscribe(subject, self._on_heard)
            elif self._listening and not wanted:
                listening, self._listening = self._listening, None
                await bus.unsubscribe(listening)

    async def _on_heard(self, message: Msg) -> None:
        radio = self._by_token.get(message.subject.rpartition(".")[2])
        if radio is None:
            return
        try:
            check_headers(message.headers)
            heard = reports(message.data)
        except (OtherVersionError, ValueError) as exc:
            _LOGGER.debug("%s: %s", message.subject, exc)
            return
        self._sink.heard(radio, heard, said_by)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(log_failure)


def _is_usable(status: RadioStatus) -> bool:
    return status.state in USABLE_STATES


def _offer(told: RadioOffer) -> Offer:
    return Offer(told.rssi, told.age, told.patience, told.wait, told.failures, told.radio_failures)


_neighbours_fit: type[Neighbours] = RemoteRadios
