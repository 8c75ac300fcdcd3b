"""What is looked after every few seconds while a session is up."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any

from proxyconn.radio import RadioUnavailableError

from ._orphans import Orphans
from ._problems import Problem
from ._scan_mode import ScanMode
from ._watchdog import RUNG_TIME, SILENT, Step, Watchdog

if TYPE_CHECKING:
    from ._session import ProxySession

TICK = 5.0
"""Seconds between two looks."""

PROBE_AFTER = 10.0
"""Seconds of silence after which it is time to ask whose the subscription is."""

PROBE_EVERY = 30.0
"""Seconds between two such questions, as long as the answer is good."""

POLL_EVERY = 30.0
"""Seconds between two requests for a slot report, while links are up or somebody else has the
subscription: the reports that the proxy sends by itself can be lost, or go elsewhere."""

_LOGGER = logging.getLogger(__name__)


class Upkeep:
    """Watches over one session.

    Attributes:
        watchdog: decides what to do about silence.
        scan: the proxy's scan.
        orphans: slots that nobody uses.
    """

    def __init__(self, session: ProxySession) -> None:
        self._session = session
        self.watchdog = Watchdog()
        self.scan = ScanMode(session)
        self.orphans = Orphans(session)
        self._timer: asyncio.TimerHandle | None = None
        self._probed_at = self._polled_at = self._resubscribed_at = float("-inf")
        self._began = False
        self._loop = asyncio.get_running_loop()

    @property
    def problem(self) -> Problem | None:
        """SILENT if the proxy is; None otherwise."""
        return SILENT if self.watchdog.silent else None

    def start(self) -> None:
        """Begin: there is a session."""
        self.stop()
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """The session has ended."""
        self._began = False
        self.orphans.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def on_heard(self) -> None:
        """Take note of an advertisement."""
        now = self._loop.time()
        after_renewal = self.watchdog.step is Step.RESUBSCRIBE
        if self.watchdog.hear(now):
            _LOGGER.info("%s: it hears devices again", self._session.name)
            self._session.update()
        if after_renewal and now - self._resubscribed_at < RUNG_TIME:
            self._session.subscription.was_taken_back()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        try:
            self._look(self._loop.time())
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", self._session.name, exc)

    def _look(self, now: float) -> None:
        session = self._session
        subscription = session.subscription
        if subscription.held and not self._began:
            self.watchdog.begin(now)
        self._began = subscription.held
        self.scan.tick(now)
        links = bool(session.dispatcher.links)
        if (links or not subscription.held) and now - self._polled_at >= POLL_EVERY:
            self._polled_at = now
            if session.connectable:
                session.request_slots()
        silence = self.watchdog.silence(now)
        session.attempts.tick(now, silence)
        if not subscription.held:
            return
        self.orphans.tick(now)
        if (
            subscription.can_be_probed
            and silence >= PROBE_AFTER
            and now - self._probed_at >= PROBE_EVERY
        ):
            self._probed_at = now
            subscription.probe()
        busy = bool(session.attempts.under_way)
        if step := self.watchdog.next_step(now, busy=busy, links=links):
            self._do(step, now)

    def _do(self, step: Step, now: float) -> None:
        session = self._session
        _LOGGER.debug(
            "%s: silent for %.0f s: %s", session.name, self.watchdog.silence(now), step.name
        )
        if step is Step.RESUBSCRIBE:
            self._resubscribed_at = now
            session.subscription.renew()
        elif step is Step.FLIP_MODE:
            self.scan.flip(now)
        elif step is Step.RENEW:
            session.renew("it was silent")
        else:
            _LOGGER.warning("%s: %s", session.name, SILENT.text)
            session.update()

    def diagnostics(self) -> dict[str, Any]:
        """Return what is known of the proxy's health as JSON-able values."""
        now = self._loop.time()
        heard = self.watchdog.heard_ago(now)
        return {
            "seconds_since_heard": None if heard is None else round(heard, 1),
            "scanner": self.scan.diagnostics(),
            "last_step": self.watchdog.step.name.lower() if self.watchdog.step else None,
            "orphans": sorted(self.orphans.known),
        }
