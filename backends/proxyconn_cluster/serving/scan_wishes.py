"""Has our radios scan as others of the cluster wish, for as long as each is there and wishes it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from proxyconn.fleet.lending import Lending
from proxyconn.radio import ScanWish
from proxyconn_cluster.members import Key, Member, Members
from proxyconn_cluster.serving.names import own_identity

MOST_WISHES: Final = 1024
"""Wishes of one member that are kept: twice for each radio that an owner may well have."""


class ScanWishes:
    """Takes wishes and ends them.

    Args:
        lending: the fleet.
        members: who is there, and wishes what.
    """

    def __init__(self, lending: Lending, members: Members) -> None:
        self._lending = lending
        self._members = members
        self._taken: dict[Key, frozenset[ScanWish]] = {}
        self._unregister: list[Callable[[], None]] = []

    def start(self) -> None:
        """Follow the others."""
        self._unregister = [
            self._members.changed.register(self._changed),
            self._members.gone.register(self._gone),
        ]
        for member in self._members.all.values():
            self._changed(member)

    def close(self) -> None:
        """Let every wish go; idempotent."""
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        for key in list(self._taken):
            self._take(key, frozenset())

    def _changed(self, member: Member) -> None:
        if member.scan or member.key in self._taken:
            ours = frozenset(self._ours(wish) for wish in member.scan)
            self._take(member.key, ours if len(ours) <= MOST_WISHES else frozenset((ScanWish(),)))

    def _ours(self, wish: ScanWish) -> ScanWish:
        """Return a wish with what we call the radio that it means, which may be another owner's."""
        only = wish.only and own_identity(wish.only, self._members.name)
        return ScanWish(only, wish.weak)

    def _gone(self, member: Member) -> None:
        self._take(member.key, frozenset())

    def _take(self, key: Key, wishes: frozenset[ScanWish]) -> None:
        before = self._taken.pop(key, frozenset())
        if wishes:
            self._taken[key] = wishes
        for wish in wishes - before:
            self._lending.neighbour_wishes_scan((key, wish), wish)
        for wish in before - wishes:
            self._lending.end_scan_wish((key, wish))
