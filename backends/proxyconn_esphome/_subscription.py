"""The one advertisement subscription a proxy grants, and whether it is ours.

Everything about Bluetooth goes to the subscriber alone: advertisements, changes of the scanner's
state, and every answer about a connection, whoever asked. Up to ESPHome 2026.6 the first client
keeps the subscription, and a dead one blocks it for up to 150 s; from 2026.7 (esphome pull request
17423) the newest client takes it over. Nobody is told that a subscription was refused, or that it
is lost. What shows whose it is:

| sign | it is ours |
|---|---|
| an advertisement, or a scanner state (sent in answer to a subscription that is granted) | yes |
| the probe: a disconnect request for an address that nobody has is answered to the subscriber, |  |
| a request for slots to whoever asked; both answers arrive | yes |
| only the slots arrive, twice in a row | no |
| neither arrives | unknown: the connection hangs, and its keepalive will tell |

Only a proxy that opens links answers the probe. One that only listens is asked for the
subscription again when it is silent: if it is heard again right after, somebody had taken it.

A subscription that was never ours is DENIED, and asked for again after RETRY_AFTER. One that was is
ROBBED: it is taken back at once, but if it is lost again within FIGHT_TIME, then only after a wait
of BACK_OFF, for two clients that take it from each other would both hear nothing.

The subscription is never given back while the session lives: a proxy without a subscriber drops
every link.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Callable
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

PROBE_NUMBER = 0x000000000001
"""Address that no device has: the first one of the first OUI that was ever given out."""

PROBE_TIMEOUT = 3.0
"""Seconds for a proxy to answer a probe."""

MOST_MISSES = 2
"""Probes that must fail: one answer alone can be lost when the proxy's socket is full."""

FIGHT_TIME = 300.0
"""Seconds for which a subscription must last to be taken back at once when it is lost again."""

BACK_OFF = (300.0, 600.0, 1800.0)
"""Seconds to leave it to the other client otherwise; the last is repeated."""

DENIED = Problem(
    RadioState.DENIED,
    "another client holds its only advertisement subscription; "
    "remove the proxy from that client (Home Assistant, say) or wait until it lets go",
)

ROBBED = Problem(
    RadioState.ROBBED,
    "another client (Home Assistant, say) took over its advertisement subscription; "
    "give the proxy to one of the two",
)

TAKEN_OVER_SINCE = (2026, 7)
"""First release in which the newest client takes the subscription over."""

_VERSION = re.compile(r"([0-9]{4})\.([0-9]{1,2})(?![0-9])")

_LOGGER = logging.getLogger(__name__)


def version_of(text: str) -> tuple[int, ...]:
    """Return year and month of an ESPHome version such as 2026.7.0-dev; () for any other text."""
    match = _VERSION.match(text)
    return tuple(map(int, match.groups())) if match else ()


class Subscription:
    """Asks for the subscription until it is granted, and again when it is lost.

    Attributes:
        held: whether it is ours.
        problem: DENIED or ROBBED; None while it is ours, or not decided.
    """

    def __init__(self, session: ProxySession) -> None:
        self._session = session
        self.held = False
        self.problem: Problem | None = None
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._probing: asyncio.TimerHandle | None = None
        self._answered = False
        self._misses = 0
        self._taken_back_at: float | None = None
        self._fights = 0
        self._loop = asyncio.get_running_loop()

    @property
    def can_be_probed(self) -> bool:
        """Whether the proxy answers the probe."""
        return BluetoothProxyFeature.ACTIVE_CONNECTIONS in self._session.features

    def start(self) -> None:
        """Subscribe on a new session. Raises RadioUnavailableError if it is ending."""
        self.stop()
        self._tries = 0
        if self._taken_back_at is not None:
            self._taken_back_at = self._loop.time()
        self._ask()
        if BluetoothProxyFeature.FEATURE_STATE_AND_MODE in self._session.features:
            return
        # Firmware before 2025.5 never answers a subscription.
        if self.can_be_probed:
            self.probe()
        else:
            self.prove()

    def stop(self) -> None:
        """Stop asking: the session has ended."""
        self._cancel()
        self._end_probe()
        self.held = False
        self.problem = None

    def renew(self) -> None:
        """Subscribe once more on a silent session; nothing happens if the subscription is ours.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        if self._is_at_risk and self._fought_lately():
            self.rob()
        else:
            self._subscribe()

    def was_taken_back(self) -> None:
        """Take note that a silent session is not silent any more since it was renewed."""
        if self._is_at_risk:
            _LOGGER.info("%s: another client had taken over its subscription", self._session.name)
            self._taken_back_at = self._loop.time()

    @property
    def _is_at_risk(self) -> bool:
        """Whether the subscription can be lost without a sign."""
        info = self._session.info
        return (
            not self.can_be_probed
            and info is not None
            and version_of(info.esphome_version) >= TAKEN_OVER_SINCE
        )

    def prove(self) -> None:
        """Take note that the subscription is ours."""
        self._misses = 0
        if self.held:
            return
        self._cancel()
        self.held = True
        self.problem = None
        self._session.update()
        if not self._session.is_complete:
            self._wait(self._next_wait(), self._ask_for_slots)

    def _subscribe(self) -> None:
        self._session.send(SubscribeBluetoothLEAdvertisementsRequest(flags=RAW_ADVERTISEMENTS))

    def _ask(self) -> None:
        self._subscribe()
        self._wait(self._next_wait(), self._denied)

    def _next_wait(self) -> float:
        wait = RETRY_AFTER[min(self._tries, len(RETRY_AFTER) - 1)]
        self._tries += 1
        return wait

    def _denied(self) -> None:
        if self.problem is None:
            self.problem = DENIED
        self._session.update()
        self._ask()
        if self.can_be_probed:
            # An advertisement or the state may have been lost, or not be due.
            self.probe()

    def _ask_for_slots(self) -> None:
        # The slot report was lost, and nobody sends it again unasked.
        if not self._session.is_complete:
            self._session.request_slots()
            self._wait(self._next_wait(), self._ask_for_slots)

    # Whose it is

    def probe(self) -> None:
        """Find out whose the subscription is. Raises RadioUnavailableError if the session ends."""
        if self._probing:
            return
        self._answered = False
        self._session.send_disconnect(PROBE_NUMBER)
        self._session.request_slots()
        self._probing = self._loop.call_later(PROBE_TIMEOUT, self._run, self._probed)

    def on_notice(self, number: int) -> bool:
        """Take connected=false for an address; return whether it answers a probe."""
        if number != PROBE_NUMBER:
            return False
        self._end_probe()
        self.prove()
        return True

    def on_slots(self) -> None:
        """Take a slot report: the proxy answers us, whoever the subscriber is."""
        self._answered = True

    def _probed(self) -> None:
        self._end_probe()
        if not self._answered:
            return
        self._misses += 1
        if self._misses < MOST_MISSES:
            self.probe()
        elif self.held:
            self.rob()

    def _end_probe(self) -> None:
        if self._probing:
            self._probing.cancel()
            self._probing = None

    def rob(self) -> None:
        """Take note that another client has the subscription now, and take it back in time.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        wait = self._wait_before_taking_back()
        _LOGGER.warning(
            "%s: %s%s",
            self._session.name,
            ROBBED.text,
            f" (not taken back for {wait:g} s)" if wait else " (taking it back)",
        )
        self._cancel()
        self._misses = 0
        self.held = False
        self.problem = ROBBED
        self._session.on_robbed(ROBBED)
        if wait:
            self._wait(wait, self.take_back)
        else:
            self.take_back()

    def take_back(self) -> None:
        """Subscribe anew. Raises RadioUnavailableError if the session is ending."""
        self._taken_back_at = self._loop.time()
        self._tries = 0
        self._ask()

    def _wait_before_taking_back(self) -> float:
        if not self._fought_lately():
            self._fights = 0
            return 0.0
        self._fights += 1
        return BACK_OFF[min(self._fights, len(BACK_OFF)) - 1]

    def _fought_lately(self) -> bool:
        taken = self._taken_back_at
        return taken is not None and self._loop.time() - taken <= FIGHT_TIME

    # Timers

    def _wait(self, seconds: float, then: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self._loop.call_later(seconds, self._run, then)

    def _run(self, action: Callable[[], None]) -> None:
        """Do what is due, unless the session is just ending."""
        try:
            action()
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", self._session.name, exc)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
