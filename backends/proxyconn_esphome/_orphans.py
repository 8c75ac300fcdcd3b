"""Slots that a proxy holds for addresses nobody uses, and how they come free.

They are left by an open call that the stack refused at once, by a session that ended in the middle
of an attempt, or by another client that had the subscription before us. A disconnect request frees
most of them; a slot whose CLOSE_EVT was lost before ESPHome 2026.5 stays taken until a restart.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bluetooth_data_tools import mac_to_int

if TYPE_CHECKING:
    from ._session import ProxySession

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
        asked: when the proxy was last asked to free it; None if it was not.
        times: how often it was asked.
    """

    since: float
    asked: float | None = None
    times: int = 0


class Orphans:
    """The orphans of one proxy.

    Attributes:
        known: address -> orphan.
    """

    def __init__(self, session: ProxySession) -> None:
        self._session = session
        self.known: dict[str, Orphan] = {}

    def clear(self) -> None:
        """The session has ended, and the proxy has dropped everything."""
        self.known.clear()

    def tick(self, now: float) -> None:
        """Look for orphans, and ask for their slots. Raises RadioUnavailableError."""
        session = self._session
        if not session.ledger.complete:
            return
        used = session.attempts.under_way | {
            link.address for link in session.dispatcher.links.values()
        }
        strays = session.ledger.holders - used
        for address in self.known.keys() - strays:
            del self.known[address]
        for address in strays:
            orphan = self.known.setdefault(address, Orphan(now))
            rested = orphan.asked is None or now - orphan.asked >= ASK_EVERY
            if now - orphan.since >= SETTLE_TIME and rested:
                self._free(address, orphan, now)

    def _free(self, address: str, orphan: Orphan, now: float) -> None:
        session = self._session
        _LOGGER.debug("%s [%s]: freeing a slot that nobody uses", session.name, address)
        if orphan.times == WARN_AFTER:
            _LOGGER.warning(
                "%s: a slot is held for %s, which nobody uses, and disconnect requests do not "
                "free it; restart the proxy if its slots run short",
                session.name,
                address,
            )
        session.send_disconnect(mac_to_int(address))
        session.request_slots()
        orphan.asked = now
        orphan.times += 1
