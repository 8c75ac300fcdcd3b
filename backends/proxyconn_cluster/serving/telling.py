"""Passes on what radios hear: raw, in their batches, and only what somebody elsewhere wants."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Any, Final

from proxyconn.callbacks import log_failure
from proxyconn.fleet.lending import Lending
from proxyconn.radio import Radio, Report
from proxyconn_cluster.exchange.heard import ADVERTS, batch, radio_token
from proxyconn_cluster.exchange.interest import Sieve
from proxyconn_cluster.members import Member, Members
from proxyconn_cluster.serving.names import known_as

MOST_WAITING: Final = 256
"""Batches that wait for the connection; the oldest are lost first, as over the air."""

_LOGGER = logging.getLogger(__name__)


class Telling:
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
        self._sieves: dict[str, Sieve] = {}
        self._wanted: tuple[Any, ...] = ()
        self._waiting: asyncio.Queue[tuple[str, bytes]] = asyncio.Queue(MOST_WAITING)
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
        if self._sender:
            self._sender.cancel()
            await asyncio.gather(self._sender, return_exceptions=True)

    def _members_changed(self, member: Member | None) -> None:
        every = self._members.all.values()
        said = {one.interest for one in every if one.interest is not None}
        wanted = tuple(one for one in said if one.is_of(self._members.site))
        if set(wanted) != set(self._wanted):
            self._wanted = wanted
            self._sieves.clear()
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
        sieve = self._sieves.get(identity)
        if sieve is None:
            sieve = self._sieves[identity] = Sieve(self._wanted)
        picked = sieve.pick(reports, self._loop.time())
        if not picked:
            return
        subject = self._members.bus.subjects.of_site(
            self._members.site, ADVERTS, radio_token(identity)
        )
        if self._waiting.full():
            self._waiting.get_nowait()
        self._waiting.put_nowait((subject, batch(picked)))

    async def _send(self) -> None:
        while True:
            subject, data = await self._waiting.get()
            await self._members.bus.publish(subject, data)
            self.sent += 1
