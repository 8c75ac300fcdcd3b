"""Slots that a proxy holds for addresses nobody uses, and how they come free.

They are left by an open call that the stack refused at once, or by a session that ended in the
middle of an attempt. A disconnect request frees most of them; a slot whose CLOSE_EVT was lost
before ESPHome 2026.5 stays taken until a restart. Links that may be another client's are no
orphans: `left_links.py` tells them apart, and one that came up later is ended only once it is
proven that the subscription was not taken over meanwhile.

An attempt that somebody else has asked for, though its answer comes to us, is ended without delay
if one of ours waits behind it: the firmware opens one link at a time, and can take 20 s for a
device that is not there. ESPHome 2026.10 cancels it at once.
"""

from __future__ import annotations

import logging
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Protocol

from bluetooth_data_tools import mac_to_int

from proxyconn.radio import SlotLedger
from proxyconn_esphome.link.dispatch import Dispatcher
from proxyconn_esphome.occupancy.left_links import LeftLinks
from proxyconn_esphome.occupancy.opening_attempts import Attempts
from proxyconn_esphome.occupancy.slot_use import SlotUse, slot_use

SETTLE_TIME = 5.0
"""Seconds for which a slot must have been an orphan: reports and answers cross on their way."""

ASK_EVERY = 30.0
"""Seconds between two disconnect requests for one address."""

WARN_AFTER = 2
"""Requests without effect after which it is worth a warning."""

_LOGGER = logging.getLogger(__name__)


@dataclass(slots=True)
class Orphan:
    """A slot that nobody uses.

    Attributes:
        since: when it was seen first, in the loop's seconds.
        answers: probes that had been answered then, if nobody here can have asked for it.
        asked: when the proxy was last asked to free it; None if it was not.
        times: how often it was asked.
    """

    since: float
    answers: int | None = None
    asked: float | None = None
    times: int = 0


class Probed(Protocol):
    """The subscription of the proxy.

    Attributes:
        held: whether it is ours.
    """

    held: bool

    @property
    def answers(self) -> int:
        """How many probes have shown that it is ours."""
        ...

    def probe(self) -> None:
        """Find out whose it is. Raises RadioUnavailableError if the session ends."""


class SlotOwner(Protocol):
    """The proxy whose slots they are."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def ledger(self) -> SlotLedger:
        """Who holds which slot."""
        ...

    @property
    def attempts(self) -> Attempts:
        """What occupies it."""
        ...

    @property
    def dispatcher(self) -> Dispatcher:
        """The links over it."""
        ...

    @property
    def left(self) -> LeftLinks:
        """Links from before."""
        ...

    @property
    def subscription(self) -> Probed:
        """Whether its subscription is ours."""
        ...

    @property
    def keeps_links(self) -> bool:
        """Whether its links outlive a change of subscriber, as far as is known."""
        ...

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def request_slots(self) -> None:
        """Ask it for a slot report. Raises RadioUnavailableError."""


class Orphans:
    """The orphans of one proxy.

    Attributes:
        known: address -> orphan.
    """

    def __init__(self, proxy: SlotOwner) -> None:
        self._proxy = proxy
        self.known: dict[str, Orphan] = {}
        self._before: tuple[frozenset[str], frozenset[str]] | None = None

    def clear(self) -> None:
        """The session has ended, and the proxy has dropped everything."""
        self.known.clear()
        self._before = None

    def on_slots(self, use: SlotUse, now: float) -> None:
        """Take a slot report, and end what attempts wait behind. Raises RadioUnavailableError.

        Args:
            use: who used slots when it came.
            now: the loop's time in seconds.
        """
        proxy, unused, before = self._proxy, use.unused, self._before
        asked = proxy.attempts.since_report()
        self._before = proxy.ledger.holders, use.unheld
        if before is None or not (proxy.ledger.complete and proxy.subscription.held):
            return
        # What was ours a moment ago may be listed still, though its end has been told.
        for address in unused.difference(*before, asked):
            self.known[address] = Orphan(now, proxy.subscription.answers)
        if proxy.attempts.opening and unused:
            for address in self._strays(unused, now) & self.known.keys():
                self._make_way(address, self.known[address], now)

    def _make_way(self, address: str, orphan: Orphan, now: float) -> None:
        """End what nobody here has asked for, once it is proven that no other client has."""
        subscription = self._proxy.subscription
        if orphan.answers is None or orphan.asked is not None:
            return
        if self._proxy.keeps_links and subscription.answers == orphan.answers:
            subscription.probe()
        else:
            self._free(address, orphan, now)

    def _strays(self, unused: AbstractSet[str], now: float) -> set[str]:
        return {one for one in unused if self._proxy.left.may_be_ended(one, now)}

    def tick(self, now: float, proven: float) -> None:
        """Look for orphans, and ask for their slots. Raises RadioUnavailableError.

        Args:
            now: the loop's time in seconds.
            proven: when it was last proven that the subscription is ours.
        """
        proxy = self._proxy
        if not proxy.ledger.complete:
            return
        strays = self._strays(slot_use(proxy).unused, now)
        for address in self.known.keys() - strays:
            del self.known[address]
        for address in strays:
            came = proxy.left.came(address)
            orphan = self.known.setdefault(address, Orphan(now if came is None else came))
            rested = orphan.asked is None or now - orphan.asked >= ASK_EVERY
            if now - orphan.since < SETTLE_TIME or not rested:
                continue
            if proxy.keeps_links and proven <= orphan.since:
                proxy.subscription.probe()
            else:
                self._free(address, orphan, now)

    def _free(self, address: str, orphan: Orphan, now: float) -> None:
        proxy = self._proxy
        _LOGGER.debug("%s [%s]: freeing a slot that nobody uses", proxy.name, address)
        if orphan.times == WARN_AFTER:
            _LOGGER.warning(
                "%s: a slot is held for %s, which nobody uses, and disconnect requests do not "
                "free it; restart the proxy if its slots run short",
                proxy.name,
                address,
            )
        proxy.left.is_nobodys(address)
        proxy.send_disconnect(mac_to_int(address))
        proxy.request_slots()
        orphan.asked = now
        orphan.times += 1
