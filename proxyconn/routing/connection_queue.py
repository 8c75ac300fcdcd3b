"""Callers that wait for a link: first come first served, each by the best path of the moment.

A radio is given to one caller at a time: most controllers open one link at a time. A caller is
never given a radio without a slot for it, and never passed over for a later one that waits for the
same radio.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from operator import attrgetter

from proxyconn.radio import OffersLinks, Radio, identity_of
from proxyconn.routing.device_holders import Holder, Holders
from proxyconn.routing.fair_shares import FairShares, Party, Place
from proxyconn.routing.journal import Journal
from proxyconn.routing.known_paths import KnownPaths
from proxyconn.routing.path_score import DB_PER_SECOND, explain_choice
from proxyconn.routing.slot_forecast import free_slots, is_idle
from proxyconn.routing.why_not import WhyNot, have_gone

LOOK_AGAIN = 0.25
"""Seconds between two looks at those who wait: what a wait is worth changes with time."""

UNREACHABLE_TIMEOUT = 5.0
"""Seconds for a radio to come back that has only lost its session, and has not failed to make it
anew; a caller that has waited as long does not wait so long again."""

PLACE_KEPT = 10.0
"""Seconds for which a caller whose attempt ended without a slot may come back to its place: longer
than any wait between two attempts."""

INHERITED = "it still holds a link to it from before"
"""Why a radio is chosen that nothing else was weighed against."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One caller.

    Attributes:
        place: lower ones go first.
        party: whose it is.
        only: identity of the only radio it wants; None for any.
        failed: radios that it does not want again.
        address: the device.
        known: whether it may be tried by radios that have not heard it.
        pairing: whether it will make a new bond.
        future: resolved with the radio it is given.
        declined_at: when it first let a free radio go for a better one; None if it has not.
        unreachable_since: since when no radio can be used for it; None if one can.
    """

    place: Place
    party: Party
    only: str | None
    failed: Collection[Radio]
    address: str
    known: bool
    pairing: bool
    future: asyncio.Future[Radio]
    declined_at: float | None = None
    unreachable_since: float | None = None

    def wants(self, radio: Radio) -> bool:
        """Whether it would take this radio."""
        chosen = self.only is None or self.only == identity_of(radio)
        return chosen and radio not in self.failed


@dataclass(slots=True)
class LinkQueue:
    """Gives radios to those who want a link.

    Attributes:
        routing: the ways to each device.
        radios: says which radios there are.
        describe_radios: says how they are doing, in one line.
        holders: which client has which device.
        parties: address -> whose link or attempt it is.
        shares: who is next when several parties want slots.
        journal: what became of each wish for a link.
    """

    routing: KnownPaths
    radios: Callable[[], list[Radio]]
    describe_radios: Callable[[], str]
    holders: Holders = field(default_factory=Holders)
    parties: dict[str, Party] = field(default_factory=dict)
    shares: FairShares = field(default_factory=FairShares)
    journal: Journal = field(default_factory=Journal)
    _waiters: list[Waiter] = field(default_factory=list)
    _places: dict[str, tuple[Place, float]] = field(default_factory=dict)
    _unreachable: dict[str, float] = field(default_factory=dict)
    _timer: asyncio.TimerHandle | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)
    _why_not: WhyNot = field(init=False)

    def __post_init__(self) -> None:
        self._why_not = WhyNot(self.routing, self.describe_radios)

    @property
    def links(self) -> dict[str, Radio | None]:
        """Address -> radio of every link and attempt; None for a caller that waits."""
        return self.holders.links

    @property
    def waiting(self) -> list[str]:
        """Addresses that are waited for, in order."""
        return [waiter.address for waiter in self._waiters]

    @property
    def waiters(self) -> list[Waiter]:
        """Callers that wait, in order."""
        return list(self._waiters)

    async def take(
        self,
        address: str,
        timeout: float,
        *,
        known: bool = True,
        pairing: bool = False,
        party: Party = None,
        only: str | None = None,
        failed: Collection[Radio] = (),
        holder: Holder | None = None,
    ) -> Radio:
        """Wait for the best radio for a device, and claim a slot of it.

        Args:
            address: the device.
            timeout: seconds to wait, at most.
            known: whether radios may be tried that have not heard the device: its address type is
                known. One that is not known is waited for until it is heard.
            pairing: whether a new bond will be made.
            party: whose link it will be; None for the program's own.
            only: identity of the only radio to take; None for the best.
            failed: radios that the caller has tried already, and does not want again.
            holder: who will have the device; not kept alive.

        Returns:
            The radio. The caller gives it back by `give_back`.

        Raises:
            LinkError: another client of this fleet has the device, or a radio keeps an old link.
            OutOfSlotsError: every radio that reaches it stayed full.
            BleakNotFoundError: no radio hears it.
            UnsupportedError: only radios that cannot connect hear it.
            RadioUnavailableError: no radio that hears it can be used.
        """
        self.holders.add(address, holder)
        self.parties[address] = party
        future: asyncio.Future[Radio] = self._loop.create_future()
        place = self._place(address, party)
        waiter = Waiter(place, party, only, failed, address, known, pairing, future)
        self.journal.queued(address, party, self._loop.time())
        try:
            radio = await self._wait(waiter, timeout)
        except BaseException as exc:
            self.journal.gave_up(address, exc, self._loop.time())
            del self.parties[address]
            self.holders.remove(address)
            raise
        self.links[address] = radio
        return radio

    def give_back(self, address: str) -> Radio | None:
        """End what `take` began: the attempt has failed, or the link is gone."""
        radio = self.holders.remove(address)
        party = self.parties.pop(address, None)
        if radio:
            self.journal.closed(address, self._loop.time())
            self.shares.given_back(party)
            self.routing.given_back(address, radio, self._loop.time())
            radio.release(address)
            self.serve()
        return radio

    def pass_on(self, address: str, giver: Party, taker: Party) -> None:
        """Make a party's link, or its wait for one, another's; harmless if it has none."""
        if giver == taker or self.parties.get(address, taker) != giver:
            return
        self.parties[address] = taker
        waiter = next((one for one in self._waiters if one.address == address), None)
        if waiter:
            waiter.party = taker
        if _granted(waiter.future) if waiter else self.links.get(address):
            self.shares.passed_on(giver, taker)

    def end_wait(self, address: str, error: Exception) -> None:
        """Let the caller that waits for a device have `error`; harmless if none waits."""
        for waiter in self._waiters:
            if waiter.address == address and not waiter.future.done():
                waiter.future.set_exception(error)

    async def _wait(self, waiter: Waiter, timeout: float) -> Radio:
        """Stand in the queue until there is a radio."""
        insort(self._waiters, waiter, key=_by_place)
        unused: Radio | None = None
        try:
            self.serve()
            if self._is_pending(waiter):
                self._mind_unreachable(waiter, self._loop.time())
            if waiter.future.done():
                return waiter.future.result()
            return await self._served(waiter, timeout)
        except BaseException:
            if _granted(waiter.future):
                # It was given a radio in the same turn of the loop in which it gave up.
                unused = waiter.future.result()
            raise
        finally:
            self._waiters.remove(waiter)
            if not self._waiters and self._timer:
                self._timer.cancel()
                self._timer = None
            if unused:
                self.shares.given_back(waiter.party)
                unused.release(waiter.address)
                self.serve()

    async def _served(self, waiter: Waiter, timeout: float) -> Radio:
        try:
            async with asyncio.timeout(timeout):
                return await waiter.future
        except TimeoutError:
            # A retry soon after finds its place again.
            self._places[waiter.address] = (waiter.place, self._loop.time())
            raise self._why_not.too_late(waiter, timeout, self._loop.time()) from None

    def _place(self, address: str, party: Party) -> Place:
        if self._places or self._unreachable:
            self._forget_places(self._loop.time() - PLACE_KEPT)
        if place := self._places.pop(address, None):
            return place[0]
        return self.shares.place(party)

    def _forget_places(self, oldest: float) -> None:
        self._places = {key: place for key, place in self._places.items() if place[1] >= oldest}
        oldest -= UNREACHABLE_TIMEOUT
        self._unreachable = {one: at for one, at in self._unreachable.items() if at >= oldest}

    # Serving

    def radios_changed(self) -> None:
        """Look at everything anew: a radio has come or gone, or does better or worse."""
        self._mind_all(self._loop.time())
        self.serve()

    def serve(self) -> None:
        """Give radios to those who wait, as far as there are any; never waits itself."""
        if not self._waiters:
            return
        self._serve(self._loop.time())
        if self._timer is None and not all(waiter.future.done() for waiter in self._waiters):
            self._timer = self._loop.call_later(LOOK_AGAIN, self._look_again)

    def _serve(self, now: float) -> None:
        radios = self.radios()
        idle = {radio for radio in radios if is_idle(radio)}
        far: set[Radio] = {radio for radio in idle if isinstance(radio, OffersLinks)}
        free = free_slots(radios)
        ahead: dict[Radio, int] = {}
        left_behind = self.routing.left_behind()
        for waiter in self._waiters:
            if not (idle or left_behind):
                return
            if waiter.address in left_behind and self._inherit(waiter, now):
                continue
            # Slots are kept for others on radios of our own; a cap holds for all.
            may_take = self.shares.may_take(waiter.party, free)
            may_go_far = far and self.shares.may_take(waiter.party, None)
            if not (self._is_pending(waiter) and idle and (may_take or may_go_far)):
                continue
            if best := self._give(waiter, idle if may_take else far, ahead, now):
                ahead[best] = ahead.get(best, 0) + 1
            if free is not None and waiter.future.done():
                free -= 1

    def _inherit(self, waiter: Waiter, now: float) -> bool:
        """Give a caller the radio that has a link for it already, whatever else that one does."""
        known = waiter.known or self.routing.is_known(waiter.address)
        if waiter.future.done() or not known:
            return False
        radio = self.routing.heir(waiter.address, now, pairing=waiter.pairing)
        if radio is None or not waiter.wants(radio) or not radio.claim(waiter.address):
            return False
        self._grant(waiter, radio, INHERITED, now)
        return True

    def _grant(self, waiter: Waiter, radio: Radio, why: str | None, now: float) -> None:
        self._unreachable.pop(waiter.address, None)
        self.journal.chosen(waiter.address, radio.name, why, now)
        self.shares.granted(waiter.place, waiter.party)
        waiter.future.set_result(radio)

    def _give(
        self, waiter: Waiter, idle: set[Radio], ahead: dict[Radio, int], now: float
    ) -> Radio | None:
        """Give a caller the radio for it, if that is to be had; return the one it has or awaits."""
        unwilling: set[Radio] = set()
        while best := self._best(waiter, idle, ahead, unwilling, now):
            if best not in idle:
                return best
            why = self._why(waiter, best, ahead, now) if self.journal.is_watched else None
            if best.claim(waiter.address):
                idle -= set() if isinstance(best, OffersLinks) else {best}
                self._grant(waiter, best, why, now)
                return best
            # It has slots, but none for this device: it has not let go of the last one.
            unwilling.add(best)
        return None

    def _why(self, waiter: Waiter, best: Radio, ahead: dict[Radio, int], now: float) -> str:
        """Say why a caller is given a radio, before it has it."""
        candidates = self.routing.candidates(
            waiter.address, now, pairing=waiter.pairing, ahead=ahead
        )
        return explain_choice(best.name, (path for path, one in candidates if waiter.wants(one)))

    def _look_again(self) -> None:
        self._timer = None
        self._mind_all(self._loop.time())
        self.serve()

    def _mind_all(self, now: float) -> None:
        for waiter in self._waiters:
            if self._is_pending(waiter):
                self._mind_unreachable(waiter, now)

    def _is_pending(self, waiter: Waiter) -> bool:
        if waiter.future.done():
            return False
        return waiter.known or self.routing.is_heard(waiter.address)

    def _best(
        self,
        waiter: Waiter,
        idle: set[Radio],
        ahead: dict[Radio, int],
        unwilling: set[Radio],
        now: float,
    ) -> Radio | None:
        """Return the radio to take or to wait for; None if there is none, or not yet."""
        address, routing = waiter.address, self.routing
        ways = [
            radio
            for radio in routing.ways(address, pairing=waiter.pairing)
            if waiter.wants(radio)
            and radio not in unwilling
            and not routing.refusals.stands(address, radio, now)
        ]
        if len(ways) < 2:
            # There is nothing to weigh.
            only = ways[0] if ways else None
            busy = only and routing.holder(address, now, but=only if only in idle else None)
            return None if busy else only
        every = routing.candidates(address, now, pairing=waiter.pairing, ahead=ahead)
        candidates = [(path, radio) for path, radio in every if radio in ways]
        free = next((pair for pair in candidates if pair[1] in idle), None)
        if routing.holder(address, now, but=free[1] if free else None):
            return None
        if free is None or free is candidates[0]:
            return candidates[0][1]
        if waiter.declined_at is None:
            waiter.declined_at = now
        # What has been waited already counts too, so that nobody waits for ever for the best.
        waited = DB_PER_SECOND * (now - waiter.declined_at)
        better = candidates[0][0].score - waited > free[0].score
        return candidates[0][1] if better else free[1]

    def _mind_unreachable(self, waiter: Waiter, now: float) -> None:
        """End the wait for a device that no radio is going to reach."""
        if self.routing.is_reachable(waiter.address, pairing=waiter.pairing, but=waiter.failed):
            waiter.unreachable_since = None
            self._unreachable.pop(waiter.address, None)
            return
        every = self.routing.candidates(waiter.address, now, pairing=waiter.pairing)
        candidates = [pair for pair in every if pair[1] not in waiter.failed]
        if waiter.unreachable_since is None:
            waiter.unreachable_since = self._unreachable.get(waiter.address, now)
        lasting = candidates and not any(path.connectable for path, _ in candidates)
        waited = now - waiter.unreachable_since
        if lasting or have_gone(candidates) or waited >= UNREACHABLE_TIMEOUT:
            self._unreachable[waiter.address] = waiter.unreachable_since
            waiter.future.set_exception(self._why_not.unreachable(waiter.address, candidates))


_by_place = attrgetter("place")


def _granted(future: asyncio.Future[Radio]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None
