"""What became of each wish for a link: queued, radio chosen, attempts, services, ready, closed.

Knows no clock: the time is an argument. Bounded; what is oldest goes first.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from proxyconn.callbacks import Callbacks
from proxyconn.errors import ErrorKind
from proxyconn.failures.rules import classify

KEPT = 200
"""Wishes that are kept."""

MOST_STEPS = 40
"""Steps that are kept of one wish: the first ones tell how it began, the last ones how it ended."""

SAME_WISH = 10.0
"""Seconds after a failure in which another attempt of the same party for the same device belongs to
the same wish: longer than any wait between two attempts of a retry loop."""

MOST_TEXT = 500
"""Characters kept of the text of an error."""


class StepKind(StrEnum):
    """What happened."""

    QUEUED = "queued"
    """It stands in the queue for a radio."""
    CHOSEN = "chosen"
    """It was given a radio; the attempt begins."""
    FAILED = "failed"
    """The attempt failed, or was called off."""
    SERVICES = "services"
    """The link is up; its services, which are not known yet, are being read."""
    READY = "ready"
    """The link is up, and its services are known."""
    GAVE_UP = "gave up"
    """No radio was to be had, or the wait for one was called off."""
    CLOSED = "closed"
    """The link is over."""


ENDS = frozenset({StepKind.FAILED, StepKind.GAVE_UP, StepKind.CLOSED})
"""After these nothing is held or waited for."""


class Step(NamedTuple):
    """One thing that happened.

    Attributes:
        at: when, in the event loop's seconds.
        kind: what.
        source: name of the radio; None if there is none yet.
        error: how it failed, classified; None if it did not, or was called off.
        text: the error in words, or why this radio was chosen; None if there is nothing to say.
    """

    at: float
    kind: StepKind
    source: str | None = None
    error: ErrorKind | None = None
    text: str | None = None


@dataclass(slots=True, eq=False)
class Connect:
    """One wish for a link.

    Attributes:
        number: counts them from 1.
        address: the device.
        party: whose it is; None for the program itself.
        steps: what happened, in order.
    """

    number: int
    address: str
    party: str | None
    steps: list[Step] = field(default_factory=list)

    @property
    def last(self) -> Step:
        """What happened last."""
        return self.steps[-1]

    @property
    def is_over(self) -> bool:
        """Whether nothing is held or waited for."""
        return self.last.kind in ENDS

    def seconds(self, first: StepKind, then: StepKind) -> float | None:
        """Return the seconds from the first step of one kind to the last of another."""
        begun = next((step.at for step in self.steps if step.kind is first), None)
        ended = next((step.at for step in reversed(self.steps) if step.kind is then), None)
        return None if begun is None or ended is None else ended - begun


class Journal:
    """The wishes for links of one fleet.

    Attributes:
        connects: the last KEPT of them, the oldest first.
        callbacks: called with a wish and what has just happened to it.
    """

    def __init__(self) -> None:
        self.connects: deque[Connect] = deque(maxlen=KEPT)
        self.callbacks = Callbacks[Connect, Step]("the fleet")
        self._last: dict[str, Connect] = {}
        self._number = 0

    @property
    def is_watched(self) -> bool:
        """Whether it is worth saying why a radio is chosen."""
        return bool(self.callbacks.registered)

    def last(self, address: str) -> Connect | None:
        """Return the last wish for a device; None if there was none lately."""
        return self._last.get(address)

    def queued(self, address: str, party: str | None, now: float) -> None:
        """Somebody wants a device."""
        last = self._last.get(address)
        if (
            last is None
            or last.party != party
            or last.last.kind is StepKind.CLOSED
            or now - last.last.at > SAME_WISH
        ):
            self._number += 1
            if len(self.connects) == KEPT:
                oldest = self.connects[0]
                if self._last.get(oldest.address) is oldest:
                    del self._last[oldest.address]
            last = self._last[address] = Connect(self._number, address, party)
            self.connects.append(last)
        self._note(address, Step(now, StepKind.QUEUED))

    def chosen(self, address: str, source: str, why: str | None, now: float) -> None:
        """Somebody who waits is given a radio."""
        self._note(address, Step(now, StepKind.CHOSEN, source, text=why))

    def gave_up(self, address: str, error: BaseException, now: float) -> None:
        """Somebody does not wait any longer."""
        self._note(address, _failed(StepKind.GAVE_UP, None, error, now))

    def failed(self, address: str, source: str, error: BaseException, now: float) -> None:
        """An attempt has failed."""
        self._note(address, _failed(StepKind.FAILED, source, error, now))

    def opened(self, address: str, source: str, now: float) -> None:
        """A link is up that is no use yet; whose attempt is over already does not matter."""
        last = self._last.get(address)
        if last and last.last.kind is StepKind.CHOSEN and last.last.source == source:
            self._note(address, Step(now, StepKind.SERVICES, source))

    def ready(self, address: str, source: str, now: float) -> None:
        """A link is up."""
        self._note(address, Step(now, StepKind.READY, source))

    def closed(self, address: str, now: float) -> None:
        """A link is over; what has failed has been noted as that."""
        last = self._last.get(address)
        if last and last.last.kind is StepKind.READY:
            self._note(address, Step(now, StepKind.CLOSED, last.last.source))

    def _note(self, address: str, step: Step) -> None:
        connect = self._last.get(address)
        if connect is None:
            return
        if len(connect.steps) >= MOST_STEPS:
            del connect.steps[MOST_STEPS // 2]
        connect.steps.append(step)
        self.callbacks(connect, step)


def _failed(kind: StepKind, source: str | None, error: BaseException, now: float) -> Step:
    if not isinstance(error, Exception):
        return Step(now, kind, source, text="called off")
    failure = classify(error)
    text = str(error) or type(error).__name__
    return Step(now, kind, source, failure.kind if failure else None, text[:MOST_TEXT])
