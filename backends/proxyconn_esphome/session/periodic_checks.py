"""What is looked after every few seconds while a session is up."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, ParamSpec, Protocol

from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.occupancy.orphaned_slots import Orphans, SlotOwner
from proxyconn_esphome.occupancy.slot_use import SlotUse
from proxyconn_esphome.session.scan_mode import ScanMode, ScanningProxy
from proxyconn_esphome.session.silence_watchdog import RUNG_TIME, SILENT, Step, Watchdog
from proxyconn_esphome.session.subscription.subscription import Subscription
from proxyconn_esphome.wire.problems import Problem

TICK = 5.0
"""Seconds between two looks."""

PROBE_AFTER = 10.0
"""Seconds of silence after which it is time to ask whose the subscription is."""

PROBE_EVERY = 30.0
"""Seconds between two such questions, as long as the answer is good."""

DOUBT_AFTER = 3.0
"""Seconds of silence after which it is asked where the newest client takes the subscription over:
with two answers that do not come, a theft is noticed within 16 s (TICK, PROBE_TIMEOUT)."""

DOUBT_EVERY = 10.0
"""Seconds between two such questions there."""

POLL_EVERY = 30.0
"""Seconds between two requests for a slot report, while links are up or somebody else has the
subscription: the reports that the proxy sends by itself can be lost, or go elsewhere."""

_LOGGER = logging.getLogger(__name__)

P = ParamSpec("P")


class WatchedProxy(SlotOwner, ScanningProxy, Protocol):
    """The proxy that is looked after."""

    @property
    def connectable(self) -> bool:
        """Whether it opens links."""
        ...

    @property
    def subscription(self) -> Subscription:
        """Whether its subscription is ours."""
        ...

    def renew(self, why: str) -> None:
        """Begin a new session with it, which ends every link."""

    def update(self) -> None:
        """Derive its state anew."""


class PeriodicChecks:
    """Watches over one session.

    Attributes:
        watchdog: decides what to do about silence.
        scan: the proxy's scan.
        orphans: slots that nobody uses.
    """

    def __init__(self, proxy: WatchedProxy) -> None:
        self._proxy = proxy
        self.watchdog = Watchdog()
        self.scan = ScanMode(proxy)
        self.orphans = Orphans(proxy)
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
        self.scan.begin()
        self._timer = self._loop.call_later(TICK, self._tick)

    def stop(self) -> None:
        """The session has ended."""
        self._began = False
        self.orphans.clear()
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def leave(self) -> None:
        """The session is about to be closed: leave the proxy as it was found."""
        try:
            self.scan.close()
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: its scan mode could not be restored: %s", self._proxy.name, exc)

    def on_slots(self, use: SlotUse) -> None:
        """Take a slot report; `use` is who used slots when it came."""
        self._run(self.orphans.on_slots, use, self._loop.time())

    def on_heard(self, now: float) -> None:
        """Take note of an advertisement, at a time of the loop's."""
        step = self.watchdog.step
        if step is None:
            # As `hear` would: this is often.
            self.watchdog.heard_at = now
            return
        if self.watchdog.hear(now):
            _LOGGER.info("%s: it hears devices again", self._proxy.name)
            self._proxy.update()
        if step is Step.RESUBSCRIBE and now - self._resubscribed_at < RUNG_TIME:
            self._proxy.subscription.was_taken_back()

    def _tick(self) -> None:
        self._timer = self._loop.call_later(TICK, self._tick)
        self._run(self._look, self._loop.time())

    def _run(self, action: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
        """Do what is due, unless the session is just ending."""
        try:
            action(*args, **kwargs)
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", self._proxy.name, exc)

    def _look(self, now: float) -> None:
        proxy = self._proxy
        subscription = proxy.subscription
        if subscription.held and not self._began:
            self.watchdog.begin(now)
        self._began = subscription.held
        self.scan.tick(now)
        links = bool(proxy.dispatcher.links)
        if (links or not subscription.held) and now - self._polled_at >= POLL_EVERY:
            self._polled_at = now
            if proxy.connectable:
                proxy.request_slots()
        silence = self.watchdog.silence(now)
        proxy.attempts.tick(now, silence)
        if not subscription.held:
            return
        self.orphans.tick(now, max(now - silence, subscription.probed_at))
        after, every = PROBE_AFTER, PROBE_EVERY
        if proxy.keeps_links:
            after, every = DOUBT_AFTER, DOUBT_EVERY
        if subscription.can_be_probed and silence >= after and now - self._probed_at >= every:
            self._probed_at = now
            subscription.probe()
        busy = bool(proxy.attempts.under_way)
        # Those of other clients end with our session, too.
        links = links or bool(proxy.left.foreign)
        if step := self.watchdog.next_step(now, busy=busy, links=links):
            self._do(step, now)

    def _do(self, step: Step, now: float) -> None:
        proxy = self._proxy
        _LOGGER.debug(
            "%s: silent for %.0f s: %s", proxy.name, self.watchdog.silence(now), step.name
        )
        if step is Step.RESUBSCRIBE:
            self._resubscribed_at = now
            proxy.subscription.renew()
        elif step is Step.FLIP_MODE:
            self.scan.flip(now)
        elif step is Step.RENEW:
            proxy.renew("it was silent")
        else:
            _LOGGER.warning("%s: %s", proxy.name, SILENT.text)
            proxy.update()

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
