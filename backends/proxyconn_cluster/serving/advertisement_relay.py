"""Passes on what radios hear: raw, in their batches, and only what somebody elsewhere wants."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any, Final

from proxyconn.callbacks import log_failure
from proxyconn.fleet.lending import Lending
from proxyconn.radio import Radio, Report
from proxyconn_cluster.bus.subjects import Kind
from proxyconn_cluster.exchange.heard import batch, radio_token
from proxyconn_cluster.exchange.interest import Sieve
from proxyconn_cluster.members import Member, Members
from proxyconn_cluster.serving.names import known_as

MOST_WAITING: Final = 4096
"""Batches that wait to be sent; the oldest are lost first, as over the air."""

TOGETHER: Final = 0.1
"""Seconds for which batches are collected at most, as long as a proxy takes to collect one: what is
dear is to write to the connection, and to wake those who listen, not what is written."""

ON_THE_WAY: Final = 0.03
"""Seconds before that in which whatever is heard has them sent: it has woken us already."""

_LOGGER = logging.getLogger(__name__)


class AdvertisementRelay:
    """Tells others what our radios hear.

    Args:
        lending: the fleet.
        members: who is there, and wants what.

    Attributes:
        sent: batches that were passed on.
    """

    def __init__(self, lending: Lending, members: Members) -> None:
        self._lending = lending
        self._members = members
        self.sent = 0
        self._ways: dict[str, tuple[Sieve, str]] = {}
        self._wanted: tuple[Any, ...] = ()
        self._waiting: deque[tuple[str, bytes]] = deque(maxlen=MOST_WAITING)
        self._due = asyncio.Event()
        self._timer: asyncio.TimerHandle | None = None
        self._heard: Callable[[], None] | None = None
        self._unregister: list[Callable[[], None]] = []
        self._sender: asyncio.Task[None] | None = None
        self._loop = asyncio.get_running_loop()

    def start(self) -> None:
        """Tell whoever wants to hear."""
        self._unregister = [
            self._members.changed.register(self._members_changed),
            self._members.gone.register(self._members_changed),
        ]
        self._sender = self._loop.create_task(self._send())
        self._sender.add_done_callback(log_failure)
        self._members_changed(None)

    async def aclose(self) -> None:
        """Stop; idempotent."""
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()
        self._listen(wanted=False)
        if self._timer:
            self._timer.cancel()
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def _members_changed(self, member: Member | None) -> None:
        every = self._members.all.values()
        said = {one.interest for one in every if one.interest is not None}
        wanted = tuple(one for one in said if one.is_of(self._members.site))
        if set(wanted) != set(self._wanted):
            self._wanted = wanted
            self._ways.clear()
        self._listen(wanted=bool(wanted))

    def _listen(self, *, wanted: bool) -> None:
        """Listen to our own radios only while somebody elsewhere does."""
        if wanted and self._heard is None:
            self._heard = self._lending.register_own_reports_callback(self._on_heard)
        elif self._heard and not wanted:
            self._heard()
            self._heard = None

    def _on_heard(self, radio: Radio, reports: Iterable[Report[Any]]) -> None:
        identity = known_as(radio, self._members.name)
        sieve, subject = self._ways.get(identity) or self._way(identity)
        now = self._loop.time()
        if picked := sieve.pick(reports, now):
            self._waiting.append((subject, batch(picked)))
            if self._timer is None:
                self._timer = self._loop.call_at(now + TOGETHER, self._due.set)
            elif now >= self._timer.when() - ON_THE_WAY:
                self._due.set()

    def _way(self, identity: str) -> tuple[Sieve, str]:
        """Return what picks what a radio hears, and where that is said."""
        members = self._members
        subject = members.bus.subjects.of_site(members.site, Kind.ADVERTS, radio_token(identity))
        way = self._ways[identity] = Sieve(self._wanted), subject
        return way

    async def _send(self) -> None:
        while True:
            await self._due.wait()
            self._due.clear()
            if self._timer:
                self._timer.cancel()
                self._timer = None
            while self._waiting:
                subject, data = self._waiting.popleft()
                await self._members.bus.publish(subject, data)
                self.sent += 1
