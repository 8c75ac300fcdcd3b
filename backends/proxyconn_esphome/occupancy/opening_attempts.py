"""The attempts to open links that occupy one proxy, up to their very end.

The firmware opens one link at a time, does not scan meanwhile, and cannot be told to stop: an
attempt that was given up goes on for up to 20 s (more if its YAML says so), and its slot is held
until the proxy lists it no more. An attempt whose end the stack never reports (a lost OPEN_EVT,
ESPHome ble_client_base.cpp has no timer for it) blocks connecting and scanning until a restart.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from bluetooth_data_tools import mac_to_int

from proxyconn.radio import AllocationChangeEvent, RadioState, SlotLedger, SlotQueue
from proxyconn_esphome.wire.problems import Problem

REPORT_TIME = 5.0
"""Seconds after which a slot report surely knows of a request made before."""

UNLISTED_TIMEOUT = 21.0
"""Seconds after which an attempt is over that no report lists: the firmware's own limit is 20 s."""

STUCK_AFTER = 30.0
"""Seconds for which a slot may stay held after its attempt was given up: the firmware's limit and a
half. A proxy with a longer one in its YAML counts as stuck until that is over."""

QUIET = 25.0
"""Seconds without an advertisement that show, in a proxy with an endless attempt, that it does not
scan either; less than STUCK_AFTER, for it may have scanned until the attempt was given up."""

MOST_UNANSWERED = 3
"""Attempts in a row without any answer, nor an advertisement in between, that show the same where
the firmware does not say who holds its slots."""

ASK_EVERY = 30.0
"""Seconds between two requests to let go of one slot."""

WEDGED = Problem(
    RadioState.WEDGED,
    "its radio is stuck in an attempt to connect",
    "restart the proxy",
    check="scanner",
)

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Abandoned:
    """An attempt, or a link, that its client gave up and that the proxy still has.

    Attributes:
        since: when it was given up, in the loop's seconds.
        asked: when the proxy was last asked to end it.
        listed: whether a slot report named it.
        answered: whether the proxy has said since that there is no such link.
    """

    since: float
    asked: float
    listed: bool
    answered: bool = False


class OccupiedProxy(Protocol):
    """The proxy that attempts occupy."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def ledger(self) -> SlotLedger:
        """Who holds which slot."""
        ...

    @property
    def queue(self) -> SlotQueue:
        """Who waits for one."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether it serves several programs at once, and says each thing once."""
        ...

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def request_slots(self) -> None:
        """Ask it for a slot report. Raises RadioUnavailableError."""

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell who listens that slots, or attempts to fill them, are other ones now."""

    def update(self) -> None:
        """Derive its state anew."""


class Attempts:
    """What occupies one proxy.

    Attributes:
        opening: addresses whose links clients are opening, or wait to open.
        abandoned: address -> what was given up and is not over yet.
        problem: WEDGED if the proxy hangs in an attempt.
    """

    def __init__(self, proxy: OccupiedProxy) -> None:
        self._proxy = proxy
        self.opening: set[str] = set()
        self._begun: set[str] = set()
        self.abandoned: dict[str, Abandoned] = {}
        self.problem: Problem | None = None
        self._unanswered = 0

    @property
    def under_way(self) -> frozenset[str]:
        """Addresses of everything that occupies the proxy, promises included."""
        return self._proxy.ledger.claims.union(self.opening, self.abandoned)

    def begin(self, address: str) -> None:
        """A client begins to open a link."""
        self.opening.add(address)
        self._begun.add(address)
        if address not in self._proxy.ledger.claims:
            # What is promised counts as under way already.
            self._proxy.tell_slots(())

    def end(self, address: str) -> None:
        """It has its link, or has failed; what the proxy still does is `abandon`ed before."""
        self.opening.discard(address)
        self._proxy.tell_slots(())

    def abandon(self, address: str) -> None:
        """A client wants no link any more; a disconnect request is on its way."""
        now = asyncio.get_running_loop().time()
        listed = self._proxy.ledger.holds(address)
        self.abandoned[address] = Abandoned(now, now, listed)
        self._proxy.tell_slots(())

    def clear(self) -> None:
        """The session has ended, and with it whatever the proxy did for us."""
        self.abandoned.clear()
        self._begun.clear()
        self._unanswered = 0
        self.problem = None

    def since_report(self) -> frozenset[str]:
        """Return whose links clients have begun to open since this was asked last."""
        begun = frozenset(self._begun)
        self._begun.clear()
        return begun

    def on_slots(self) -> None:
        """Take a slot report."""
        if not self.abandoned:
            return
        ledger, now = self._proxy.ledger, asyncio.get_running_loop().time()
        for address, attempt in list(self.abandoned.items()):
            if ledger.holds(address):
                attempt.listed = True
            elif (
                attempt.listed
                or (ledger.complete and attempt.answered)
                or (ledger.complete and now - attempt.since >= REPORT_TIME)
            ):
                self._over(address)

    def on_opened(self) -> None:
        """The proxy has opened a link."""
        self._unanswered = 0

    def on_notice(self, address: str) -> None:
        """The proxy reports a link that did not open, or is no more."""
        self._unanswered = 0
        attempt = self.abandoned.get(address)
        if attempt is None:
            return
        attempt.answered = True
        # A list of slots will show whether this notice is the last one.
        if self._proxy.is_shared or not self._proxy.ledger.complete:
            self._over(address)
            self._proxy.tell_slots(())

    def on_heard(self) -> None:
        """The proxy scans, so it does not hang in an attempt."""
        self._unanswered = 0
        if self.problem:
            self.problem = None
            self._proxy.update()

    def tick(self, now: float, silence: float) -> None:
        """Look after what was given up. Raises RadioUnavailableError if the session is ending.

        Args:
            now: the loop's time in seconds.
            silence: seconds since the last advertisement.
        """
        stuck, before = False, len(self.abandoned)
        for address, attempt in list(self.abandoned.items()):
            age = now - attempt.since
            if not attempt.listed and age >= UNLISTED_TIMEOUT:
                self._unanswered += 1
                self._over(address)
            elif age >= STUCK_AFTER and silence < QUIET:
                # It scans, so this is no attempt but a slot that it forgot to free.
                self._over(address)
            elif now - attempt.asked >= ASK_EVERY:
                attempt.asked = now
                self._proxy.send_disconnect(mac_to_int(address))
            stuck = stuck or (address in self.abandoned and age >= STUCK_AFTER)
        if self.abandoned:
            self._proxy.request_slots()
        stuck = stuck or (self._unanswered >= MOST_UNANSWERED and silence >= QUIET)
        if stuck and not self.problem:
            _LOGGER.warning("%s: %s", self._proxy.name, WEDGED.text)
        self.problem = WEDGED if stuck else None
        self._proxy.update()
        if len(self.abandoned) < before:
            self._proxy.tell_slots(())

    def _over(self, address: str) -> None:
        del self.abandoned[address]
        if not self.abandoned:
            self.problem = None
        self._proxy.queue.notify()
