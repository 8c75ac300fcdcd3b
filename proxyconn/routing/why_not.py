"""Says why a caller got no radio: the error for each reason, and what to do about it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from proxyconn.errors import (
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    OutOfSlotsError,
    RadioUnavailableError,
    UnsupportedError,
)
from proxyconn.models import RadioState
from proxyconn.radio import KeepsLinks, Radio, TellsAbsence
from proxyconn.routing.known_paths import Candidate, KnownPaths
from proxyconn.routing.path_score import Path


class Caller(Protocol):
    """Somebody who has waited."""

    @property
    def address(self) -> str:
        """The device."""
        ...

    @property
    def known(self) -> bool:
        """Whether it might have been tried by radios that have not heard it."""
        ...

    @property
    def pairing(self) -> bool:
        """Whether a new bond was to be made."""
        ...

    def wants(self, radio: Radio) -> bool:
        """Whether it would have taken this radio."""
        ...


class WhyNot:
    """The reasons, from what is known of the ways to a device. Knows no clock.

    Args:
        routing: the ways to each device.
        describe_radios: says how the radios are doing, in one line.
    """

    def __init__(self, routing: KnownPaths, describe_radios: Callable[[], str]) -> None:
        self._routing = routing
        self._describe_radios = describe_radios

    def too_late(self, waiter: Caller, timeout: float, now: float) -> Exception:
        """Return the error of a caller that has waited for `timeout` seconds."""
        address = waiter.address
        every = self._routing.candidates(address, now, pairing=waiter.pairing)
        candidates = [pair for pair in every if waiter.wants(pair[1])]
        usable = [pair for pair in candidates if pair[0].usable]
        stuck = [radio for _, radio in usable if self._routing.holds(address, radio)]
        holder = self._routing.holder(address, now)
        if holder is None and usable and len(stuck) == len(usable):
            holder = stuck[0]
        if isinstance(holder, KeepsLinks) and (owner := holder.foreign.get(address)):
            return LinkError(
                f"{address}: {holder.name} holds a link to it that is probably of {owner}, and is "
                "left alone; end it there",
                kind=ErrorKind.IN_USE,
                source=holder.name,
            )
        if holder:
            return LinkError(
                f"{address}: {holder.name} still holds the last attempt",
                kind=ErrorKind.TRANSIENT,
                source=holder.name,
            )
        if not (waiter.known or self._routing.is_heard(address)):
            return BleakNotFoundError(
                f"{address}: no radio heard it within {timeout:g} s ({self._describe_radios()})",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        if not usable:
            return self.unreachable(address, candidates)
        willing = [
            (path, radio)
            for path, radio in usable
            if radio not in stuck and not self._routing.refusals.stands(address, radio, now)
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

    def unreachable(self, address: str, candidates: list[Candidate]) -> Exception:
        """Return the error for a device that none of the candidates is going to reach."""
        if not candidates:
            return RadioUnavailableError(f"{address}: {self._describe_radios()}")
        names = ", ".join(path.source for path, _ in candidates)
        if not any(path.connectable for path, _ in candidates):
            return UnsupportedError(
                f"{address}: heard only by radios that do not connect ({names}); "
                "set `bluetooth_proxy: active: true` on one of them",
                source=candidates[0][0].source,
            )
        reasons = "; ".join(f"{path.source}: {path.obstacle}" for path, _ in candidates)
        return RadioUnavailableError(
            f"{address}: no radio that hears it can be used ({reasons}; {self._describe_radios()})",
            source=candidates[0][0].source,
        )


def _occupants(path: Path, radio: Radio) -> str:
    slots = radio.allocations()
    if slots is None:
        return f"{path.source} reports none"
    held = ", ".join(slots.allocated)
    return f"{path.source} has {slots.slots - slots.free} of {slots.slots} in use by {held}"


def have_gone(candidates: Iterable[Candidate]) -> bool:
    """Whether every radio that could be used, were it there, says that it is not to be expected."""
    wanted = [radio for path, radio in candidates if path.is_wanted]
    return bool(wanted) and all(map(_is_gone, wanted))


def _is_gone(radio: Radio) -> bool:
    if radio.state is RadioState.ROBBED:
        # Its subscription is taken back at once, unless it has been fought for lately.
        return False
    away = isinstance(radio, TellsAbsence) and radio.is_away
    return away or radio.state is RadioState.GONE or radio.problem is not None
