"""The one advertisement subscription a proxy grants, and the proof that we hold it.

A proxy grants it to one client and answers nobody else. Up to 2026.6 the first client keeps it, and
a dead one blocks it for up to 150 s; from 2026.7 the newest takes it over. The only proofs are the
scanner state sent in answer and advertisements themselves.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from aioesphomeapi.model import BluetoothProxyFeature

from proxyconn.radio import RadioState, RadioUnavailableError

from ._messages import SubscribeBluetoothLEAdvertisementsRequest
from ._problems import Problem

if TYPE_CHECKING:
    from ._session import ProxySession

RAW_ADVERTISEMENTS = 1
"""Flag of the subscription: batches of undecoded advertisements (message 93)."""

RETRY_AFTER = (5.0, 10.0, 30.0, 60.0)
"""Seconds to wait for the proof, before each new subscription; the last is repeated."""

DENIED = Problem(
    RadioState.DENIED,
    "another client holds its only advertisement subscription; "
    "remove the proxy from that client (Home Assistant, say) or wait until it lets go",
)

_LOGGER = logging.getLogger(__name__)


class Subscription:
    """Asks for the subscription until it is granted."""

    def __init__(self, session: ProxySession) -> None:
        self._session = session
        self._proven = False
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Subscribe on a new session."""
        self._proven = False
        self._tries = 0
        self._subscribe()
        if BluetoothProxyFeature.FEATURE_STATE_AND_MODE not in self._session.features:
            # Firmware before 2025.5 never answers a subscription, so silence proves nothing.
            self.prove()

    def stop(self) -> None:
        """Stop asking: the session has ended."""
        self._cancel_timer()
        self._proven = False

    def prove(self) -> None:
        """Take note that the subscription is ours."""
        if not self._proven:
            self._proven = True
            self.check_ready()

    def check_ready(self) -> None:
        """Make the session ready once the subscription and the slots are known."""
        session = self._session
        if self._proven and (session.ledger.reported or not session.connectable):
            self._cancel_timer()
            session.set_state(RadioState.READY)

    def _cancel_timer(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _subscribe(self) -> None:
        self._session.send(SubscribeBluetoothLEAdvertisementsRequest(flags=RAW_ADVERTISEMENTS))
        self._try_again_later()

    def _try_again_later(self) -> None:
        wait = RETRY_AFTER[min(self._tries, len(RETRY_AFTER) - 1)]
        self._tries += 1
        self._timer = asyncio.get_running_loop().call_later(wait, self._not_ready)

    def _not_ready(self) -> None:
        session = self._session
        _LOGGER.debug("%s: not ready after try %d", session.name, self._tries)
        try:
            if self._proven:
                # The slot report was lost, and nobody sends it again unasked.
                session.request_slots()
                self._try_again_later()
            else:
                session.set_state(RadioState.DENIED, DENIED)
                self._subscribe()
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", session.name, exc)
