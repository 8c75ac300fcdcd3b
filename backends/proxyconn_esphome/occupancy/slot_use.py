"""Which slots of a proxy nobody here uses, and who of ours holds none.

Looked at whenever slots are reported. A proxy may have a hundred links, so this compares sets and
takes no step of its own for each of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, Protocol

from proxyconn.radio import SlotLedger


class OccupyingAttempts(Protocol):
    """The attempts that occupy a proxy."""

    @property
    def under_way(self) -> frozenset[str]:
        """Addresses of everything that occupies it, promises included."""
        ...


class LinkTable(Protocol):
    """The links over a proxy."""

    @property
    def by_address(self) -> Mapping[str, object]:
        """Every link, by the address of its device."""
        ...


class UsedProxy(Protocol):
    """The proxy whose slots they are."""

    @property
    def ledger(self) -> SlotLedger:
        """Who holds which slot."""
        ...

    @property
    def attempts(self) -> OccupyingAttempts:
        """What occupies it."""
        ...

    @property
    def dispatcher(self) -> LinkTable:
        """The links over it."""
        ...


class SlotUse(NamedTuple):
    """How those who hold slots, and those of ours who use some, differ.

    Attributes:
        unused: addresses that hold a slot and that no client or attempt of ours has.
        unheld: addresses that clients and attempts of ours have and that hold no slot.
    """

    unused: frozenset[str] = frozenset()
    unheld: frozenset[str] = frozenset()


NOTHING_ODD: Final = SlotUse()
"""Each slot is one of ours, and each of ours has one."""


def slot_use(proxy: UsedProxy) -> SlotUse:
    """Compare the last report with the links and attempts of this moment."""
    holders, links = proxy.ledger.holders, proxy.dispatcher.by_address
    under_way = proxy.attempts.under_way
    ours = under_way if links.keys() <= holders else under_way.union(links)
    unused, unheld = holders.difference(links, under_way), ours - holders
    return SlotUse(unused, unheld) if unused or unheld else NOTHING_ODD
