"""Callers that wait for a link: first come first served, each by the best path of the moment.

A radio is given to one caller at a time: most controllers open one link at a time. A caller is
never given a radio without a slot for it, and never passed over for a later one that waits for the
same radio.
"""

from __future__ import annotations

import asyncio
from bisect import insort
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from proxyconn._errors import (
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn._paths import DB_PER_SECOND, Path
from proxyconn._routing import Candidate, Routing
from proxyconn.radio import Radio

LOOK_AGAIN = 0.25
"""Seconds between two looks at those who wait: what a wait is worth changes with time."""

UNREACHABLE_TIMEOUT = 5.0
"""Seconds for a radio that has gone to come back, as a proxy does that only lost its session."""

PLACE_KEPT = 10.0
"""Seconds for which a caller whose attempt ended without a slot may come back to its place: longer
than any wait between two attempts."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One caller.

    Attributes:
        number: its place; lower ones go first.
        address: the device.
        known: whether it may be tried by radios that have not heard it.
        pairing: whether it will make a new bond.
        future: resolved with the radio it is given.
        declined_at: when it first let a free radio go for a better one; None if it has not.
        unreachable_since: since when no radio can be used for it; None if one can.
    """

    number: int
    address: str
    known: bool
    pairing: bool
    future: asyncio.Future[Radio]
    declined_at: float | None = None
    unreachable_since: float | None = None


@dataclass(slots=True)
class LinkQueue:
    """Gives radios to those who want a link.

    Attributes:
        routing: the ways to each device.
        radios: says which radios there are.
        describe_radios: says how they are doing, in one line.
        links: address -> radio of every link and attempt; None for a caller that waits.
    """

    routing: Routing
    radios: Callable[[], list[Radio]]
    describe_radios: Callable[[], str]
    links: dict[str, Radio | None] = field(default_factory=dict)
    _waiters: list[Waiter] = field(default_factory=list)
    _places: dict[str, tuple[int, float]] = field(default_factory=dict)
    _next_number: int = 0
    _timer: asyncio.TimerHandle | None = None
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.get_running_loop)

    @property
    def waiting(self) -> list[str]:
        """Addresses that are waited for, in order."""
        return [waiter.address for waiter in self._waiters]

    async def take(
        self, address: str, timeout: float, *, known: bool = True, pairing: bool = False
    ) -> Radio:
        """Wait for the best radio for a device, and claim a slot of it.

        Args:
            address: the device.
            timeout: seconds to wait, at most.
            known: whether radios may be tried that have not heard the device: its address type is
                known. One that is not known is waited for until it is heard.
            pairing: whether a new bond will be made.

        Returns:
            The radio. The caller gives it back by `give_back`.

        Raises:
            LinkError: another client of this fleet has the device, or a radio keeps an old link.
            OutOfSlotsError: every radio that reaches it stayed full.
            BleakNotFoundError: no radio hears it.
            UnsupportedError: only radios that cannot connect hear it.
            RadioUnavailableError: no radio that hears it can be used.
        """
        if address in self.links:
            holder = self.links[address]
            raise LinkError(
                f"{address}: another client of this program is "
                + (f"connected through {holder.name}" if holder else "about to connect"),
                kind=ErrorKind.IN_USE,
                source=holder.name if holder else None,
            )
        self.links[address] = None
        try:
            radio = await self._wait(address, timeout, known, pairing)
        except BaseException:
            del self.links[address]
            raise
        self.links[address] = radio
        return radio

    def give_back(self, address: str) -> Radio | None:
        """End what `take` began: the attempt has failed, or the link is gone."""
        radio = self.links.pop(address, None)
        if radio:
            self.routing.given_back(address, radio, self._loop.time())
            radio.release(address)
            self.serve()
        return radio

    def end_wait(self, address: str, error: Exception) -> None:
        """Let the caller that waits for a device have `error`; harmless if none waits."""
        for waiter in self._waiters:
            if waiter.address == address and not waiter.future.done():
                waiter.future.set_exception(error)

    async def _wait(self, address: str, timeout: float, known: bool, pairing: bool) -> Radio:
        with self._queued(address, known, pairing) as waiter:
            if self._is_pending(waiter):
                self._mind_unreachable(waiter, self._loop.time())
            self.serve()
            try:
                async with asyncio.timeout(timeout):
                    return await waiter.future
            except TimeoutError:
                # A retry soon after finds its place again.
                self._places[address] = (waiter.number, self._loop.time())
                raise self._too_late(waiter, timeout) from None

    @contextmanager
    def _queued(self, address: str, known: bool, pairing: bool) -> Iterator[Waiter]:
        future: asyncio.Future[Radio] = self._loop.create_future()
        waiter = Waiter(self._number(address), address, known, pairing, future)
        insort(self._waiters, waiter, key=lambda waiter: waiter.number)
        unused: Radio | None = None
        try:
            yield waiter
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
                unused.release(address)
                self.serve()

    def _number(self, address: str) -> int:
        oldest = self._loop.time() - PLACE_KEPT
        self._places = {key: place for key, place in self._places.items() if place[1] >= oldest}
        if place := self._places.pop(address, None):
            return place[0]
        self._next_number += 1
        return self._next_number

    # Serving

    def serve(self) -> None:
        """Give radios to those who wait, as far as there are any; never waits itself."""
        if not self._waiters:
            return
        if self._timer is None:
            self._timer = self._loop.call_later(LOOK_AGAIN, self._look_again)
        now = self._loop.time()
        idle = {radio for radio in self.radios() if _is_idle(radio)}
        ahead: dict[Radio, int] = {}
        for waiter in self._waiters:
            if not idle:
                return
            if not self._is_pending(waiter):
                continue
            if best := self._give(waiter, idle, ahead, now):
                ahead[best] = ahead.get(best, 0) + 1

    def _give(
        self, waiter: Waiter, idle: set[Radio], ahead: dict[Radio, int], now: float
    ) -> Radio | None:
        """Give a caller the radio for it, if that is to be had; return the one it has or awaits."""
        unwilling: set[Radio] = set()
        while best := self._best(waiter, idle, ahead, unwilling, now):
            if best not in idle:
                return best
            if best.claim(waiter.address):
                idle.discard(best)
                waiter.future.set_result(best)
                return best
            # It has slots, but none for this device: it has not let go of the last one.
            unwilling.add(best)
        return None

    def _look_again(self) -> None:
        self._timer = None
        now = self._loop.time()
        for waiter in self._pending():
            self._mind_unreachable(waiter, now)
        self.serve()

    def _pending(self) -> list[Waiter]:
        return [waiter for waiter in self._waiters if self._is_pending(waiter)]

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
        candidates = [
            (path, radio)
            for path, radio in self.routing.candidates(
                waiter.address, now, pairing=waiter.pairing, ahead=ahead
            )
            if path.usable
            and radio not in unwilling
            and not self.routing.refusals.stands(waiter.address, radio, now)
        ]
        if not candidates:
            return None
        free = next((pair for pair in candidates if pair[1] in idle), None)
        if self.routing.holder(waiter.address, now, but=free[1] if free else None):
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
        if self.routing.is_reachable(waiter.address, pairing=waiter.pairing):
            waiter.unreachable_since = None
            return
        candidates = self.routing.candidates(waiter.address, now, pairing=waiter.pairing)
        if waiter.unreachable_since is None:
            waiter.unreachable_since = now
        lasting = candidates and not any(path.connectable for path, _ in candidates)
        if lasting or now - waiter.unreachable_since >= UNREACHABLE_TIMEOUT:
            waiter.future.set_exception(self._unreachable(waiter.address, candidates))

    # Why not

    def _too_late(self, waiter: Waiter, timeout: float) -> Exception:
        address = waiter.address
        now = self._loop.time()
        candidates = self.routing.candidates(address, now, pairing=waiter.pairing)
        usable = [pair for pair in candidates if pair[0].usable]
        stuck = [radio for _, radio in usable if self.routing.holds(address, radio)]
        holder = self.routing.holder(address, now)
        if holder is None and usable and len(stuck) == len(usable):
            holder = stuck[0]
        if holder:
            return LinkError(
                f"{address}: {holder.name} still holds the last attempt",
                kind=ErrorKind.TRANSIENT,
                source=holder.name,
            )
        if not (waiter.known or self.routing.is_heard(address)):
            return BleakNotFoundError(
                f"{address}: no radio heard it within {timeout:g} s ({self.describe_radios()})",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        if not usable:
            return self._unreachable(address, candidates)
        willing = [
            (path, radio)
            for path, radio in usable
            if radio not in stuck and not self.routing.refusals.stands(address, radio, now)
        ]
        if any(path.has_slot for path, _ in willing):
            names = ", ".join(path.source for path, _ in willing)
            return LinkError(
                f"{address}: {names} was busy opening other links for {timeout:g} s",
                kind=ErrorKind.RADIO_BUSY,
                source=willing[0][0].source,
            )
        return OutOfSlotsError(
            f"{address}: no connection slot came free within {timeout:g} s: "
            + "; ".join(_occupants(path, radio) for path, radio in usable),
            source=usable[0][0].source,
            allocations=usable[0][1].allocations(),
        )

    def _unreachable(self, address: str, candidates: list[Candidate]) -> Exception:
        if not candidates:
            return RadioUnavailableError(f"{address}: {self.describe_radios()}")
        names = ", ".join(path.source for path, _ in candidates)
        if not any(path.connectable for path, _ in candidates):
            return UnsupportedError(
                f"{address}: heard only by radios that do not connect ({names}); "
                "set `bluetooth_proxy: active: true` on one of them",
                source=candidates[0][0].source,
            )
        reasons = "; ".join(f"{path.source}: {path.obstacle}" for path, _ in candidates)
        return RadioUnavailableError(
            f"{address}: no radio that hears it can be used ({reasons}; {self.describe_radios()})",
            source=candidates[0][0].source,
        )


def _granted(future: asyncio.Future[Radio]) -> bool:
    return future.done() and not future.cancelled() and future.exception() is None


def _is_idle(radio: Radio) -> bool:
    return radio.connecting == 0 and radio.free_slots() != 0


def _occupants(path: Path, radio: Radio) -> str:
    slots = radio.allocations()
    if slots is None:
        return f"{path.source} reports none"
    held = ", ".join(slots.allocated)
    return f"{path.source} has {slots.slots - slots.free} of {slots.slots} in use by {held}"
