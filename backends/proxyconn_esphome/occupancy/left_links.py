"""Links that a proxy held already when its subscription became ours, and whose they are.

Up to ESPHome 2026.6 links end with the client that has the subscription, so what is still held is
nobody's. From 2026.7 on they outlive a change of subscriber, and what is said about them goes to
the newest one. So a link that is there when we come is one of these:

| asked for by | what becomes of it |
|---|---|
| a run of ours that has just ended | the next client for its device has it; ended if none comes |
| such a run, and links are there that it did not see | the same, but it is not ended |
| another program of ours that lives | it is that program's, and left alone |
| nobody that is known | it is another client's, which may come back to it, and left alone |

A link that the last run did not see shows that another client came after it, which may have asked
for any of them. What comes to be held later, while the subscription is ours, is nobody's: only its
holder is told anything, so nobody else can have opened it to any use. When it is asked for again,
only what came after the last proof that it was ours is judged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Final, Protocol

from bluetooth_data_tools import int_to_bluetooth_address

from proxyconn.radio import AllocationChangeEvent, HeldLinks, SlotLedger, SlotQueue, Whose
from proxyconn_esphome.occupancy.slot_use import SlotUse

END_TIME: Final = 1.0
"""Seconds for the links of a client that has just gone to end: 0.1 s until the proxy asks for it,
and a few connection intervals, of up to 0.1 s on most devices. What lasts longer is inherited."""

GRACE: Final = 10.0
"""Seconds for which a link of an earlier run waits for a client: a program that starts has asked
for its devices by then."""

OTHER_CLIENT: Final = "another client of the proxy (Home Assistant, say)"

_LOGGER = logging.getLogger(__name__)


class InheritedProxy(Protocol):
    """The proxy that had another client before."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def mac(self) -> str | None:
        """12 lower-case hex digits; None until they are known."""
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
    def keeps_links(self) -> bool:
        """Whether its links outlive a change of subscriber, as far as is known."""
        ...

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def tell_slots(self, events: Sequence[AllocationChangeEvent]) -> None:
        """Tell who listens that slots, or attempts to fill them, are other ones now."""


class LeftLinks:
    """The links that one proxy has from before.

    Attributes:
        foreign: device -> whose its link probably is: not ours to end.
        subscribers: which runs have asked for subscriptions.
    """

    def __init__(self, proxy: InheritedProxy, held: HeldLinks) -> None:
        self._proxy = proxy
        self._held = held
        self.subscribers = held.subscribers
        self._ours: dict[str, float] = {}
        self.foreign: dict[str, str] = {}
        self._news: set[str] = set()
        self._since: dict[str, float] = {}
        self._ours_until: float | None = None
        self._in_doubt = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    def asking(self, address: str) -> None:
        """Take note that the proxy is about to be asked for a link."""
        if address in self._proxy.ledger.inherited:
            self._proxy.ledger.inherited -= {address}
        self._ours.pop(address, None)
        self.foreign.pop(address, None)
        if self._proxy.keeps_links:
            self._held.asked(self._radio, address)

    def subscribing(self, ours_until: float) -> None:
        """Take note that the subscription is asked for: the next report shows what was there.

        Args:
            ours_until: when it was last proven to be ours, in the loop's seconds.
        """
        self._ours_until = ours_until

    @property
    def awaits_report(self) -> bool:
        """Whether the next report is to show what was there before."""
        return self._ours_until is not None

    def on_slots(self, use: SlotUse) -> None:
        """Take a slot report; `use` is who of ours uses slots."""
        ledger = self._proxy.ledger
        if not (self._proxy.keeps_links and ledger.complete):
            return
        unused = use.unused
        self._held.left(self._radio, ledger.holders, use.unheld)
        is_known = self._since or self._ours or self.foreign
        if not (unused or is_known or self._ours_until is not None):
            self._news.clear()
            self._in_doubt = False
            return
        now = self._loop.time()
        for known in (self._ours, self._since):
            for address in known.keys() - unused:
                del known[address]
        # An attempt of ours that only waits for the end of one does not make it ours.
        for address in self.foreign.keys() - ledger.holders:
            del self.foreign[address]
        self._news &= self.foreign.keys()
        self._in_doubt = self._in_doubt and bool(self._ours)
        if self._ours_until is not None:
            ours_until, self._ours_until = self._ours_until, None
            came = {one for one in unused if self._since.get(one, now) > ours_until}
            self._judge(sorted((came - self._ours.keys()) | self.foreign.keys()), now)
        for address in unused - self._since.keys():
            self._since[address] = now

    def is_in_the_way(self) -> bool:
        """Whether another client seems to hold links: some slots are taken, and not all by us."""
        ledger = self._proxy.ledger
        taken = ledger.free < ledger.limit
        ours = ledger.complete and all(map(self._is_ours, ledger.holders))
        return taken and not (self._proxy.keeps_links and ours)

    def may_be_ended(self, address: str, now: float) -> bool:
        """Whether a slot that nobody here uses is to be freed by now."""
        if address in self.foreign:
            return False
        came = self._ours.get(address)
        if came is None:
            return True
        # Another client can have asked for one of this run only while it was cut off.
        doubted = bool(self._news) if self._whose(address) is Whose.OURS else self._in_doubt
        grace = GRACE if self._held.may_be_wanted(self._radio, address) else END_TIME
        return not doubted and now - came >= grace

    def is_nobodys(self, address: str) -> None:
        """Take note that a link that came up while the subscription was ours is nobody's."""
        if self._proxy.keeps_links:
            self._held.asked(self._radio, address)

    def came(self, address: str) -> float | None:
        """Return when a link of an earlier run was found; None for any other slot."""
        return self._ours.get(address)

    def on_unwanted(self, number: int) -> None:
        """End a link that has come up and that nobody wants, unless another client asked for it.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        if self._proxy.keeps_links and not self._is_ours(int_to_bluetooth_address(number)):
            _LOGGER.debug("%s: a link came up that is not ours", self._proxy.name)
            return
        self._proxy.send_disconnect(number)

    def clear(self) -> None:
        """The session has ended."""
        self._held.cut_off(self._radio, self._loop.time())
        self._ours.clear()
        self.foreign.clear()
        self._news.clear()
        self._since.clear()
        self._ours_until, self._in_doubt = None, False
        self._stop_timer()

    @property
    def _radio(self) -> str:
        return self._proxy.mac or self._proxy.name

    def _whose(self, address: str) -> Whose:
        return self._held.whose(self._radio, address, self._loop.time())

    def _is_ours(self, address: str) -> bool:
        return self._whose(address) in (Whose.OURS, Whose.EARLIER)

    def _judge(self, addresses: Sequence[str], now: float) -> None:
        """Find out whose the links are that came, or went on, while others were served."""
        ours = {address: now for address in addresses if self._is_ours(address)}
        self._ours |= ours
        known, self.foreign = self.foreign, {}
        for address in addresses:
            if address not in ours:
                self.foreign[address] = self._owner(address)
                if address not in known:
                    self._on_foreign(address)
        self._news &= self.foreign.keys()
        self._in_doubt = self._in_doubt or bool(self._news)
        if ours:
            self._stop_timer()
            self._timer = self._loop.call_later(END_TIME, self._inherit)

    def _on_foreign(self, address: str) -> None:
        if not self._held.was_seen(self._radio, address):
            self._news.add(address)
        if self._whose(address) is Whose.UNKNOWN:
            self._held.saw(self._radio, address)
        _LOGGER.warning(
            "%s: it holds a link to %s that is not ours, but probably of %s; it is left alone",
            self._proxy.name,
            address,
            self.foreign[address],
        )

    def _stop_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _owner(self, address: str) -> str:
        if self._whose(address) is Whose.PROGRAM:
            process = self._held.process(self._radio, address)
            return f"another program of this user (process {process})"
        return OTHER_CLIENT

    def _inherit(self) -> None:
        """Let clients have the links that have not ended with whoever had them."""
        self._timer = None
        proxy = self._proxy
        proxy.ledger.inherited = proxy.ledger.holders & self._ours.keys()
        if proxy.ledger.inherited:
            _LOGGER.info(
                "%s: it still holds our links to %s",
                proxy.name,
                ", ".join(sorted(proxy.ledger.inherited)),
            )
            proxy.queue.notify()
            proxy.tell_slots(())
