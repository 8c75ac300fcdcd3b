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
from collections.abc import Callable
from dataclasses import replace
from typing import Protocol

from aioesphomeapi.model import BluetoothProxyFeature, DeviceInfo
from google.protobuf.message import Message

from proxyconn.radio import RadioState, RadioUnavailableError, Subscribers
from proxyconn_esphome.session.rivals import SOMEBODY, TAKEN_OVER_SINCE, Rivals, version_of
from proxyconn_esphome.wire.messages import SubscribeBluetoothLEAdvertisementsRequest
from proxyconn_esphome.wire.problems import Problem

RAW_ADVERTISEMENTS = 1
"""Flag of the subscription: batches of undecoded advertisements (message 93)."""

RETRY_AFTER = (5.0, 10.0, 30.0, 60.0)
"""Seconds to wait for the proof, before each new subscription; the last is repeated."""

PROBE_NUMBER = 0x000000000001
"""Address that no device has: the first one of the first OUI that was ever given out."""

PROBE_TIMEOUT = 3.0
"""Seconds for a proxy to answer a probe."""

LATE_TIME = 1.0
"""Seconds for the first answer to come after the second, which is given behind it: what a full
socket refused is sent again each 0.1 s (bluetooth_proxy.cpp, since ESPHome 2026.8)."""

MOST_MISSES = 2
"""Probes that must fail: one answer alone can be lost when the proxy's socket is full."""

FIGHT_TIME = 300.0
"""Seconds for which a subscription must last to be taken back at once when it is lost again."""

BACK_OFF = (300.0, 600.0, 1800.0)
"""Seconds to leave it to the other client otherwise; the last is repeated."""

DENIED = Problem(
    RadioState.DENIED,
    "another client holds its only advertisement subscription",
    "remove the proxy from that client (Home Assistant, say) or wait until it lets go",
    check="subscription",
)

ROBBED = Problem(
    RadioState.ROBBED,
    f"{SOMEBODY} took over its advertisement subscription",
    "give the proxy to one of the two",
    check="subscription",
)

SHARE = "give the proxy to one of the two, or let both use `proxyconn serve`"

_LOGGER = logging.getLogger(__name__)


class LinksFromBefore(Protocol):
    """What the proxy holds for others when its subscription becomes ours."""

    def subscribing(self, ours_until: float) -> None:
        """Take note that the subscription is asked for: the next report shows what was there."""


class SubscribedProxy(Protocol):
    """The proxy that grants the subscription."""

    @property
    def left(self) -> LinksFromBefore:
        """Links from before."""
        ...

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def mac(self) -> str | None:
        """12 lower-case hex digits; None until they are known."""
        ...

    @property
    def info(self) -> DeviceInfo | None:
        """What it says of itself; None until it has."""
        ...

    @property
    def features(self) -> BluetoothProxyFeature:
        """What it can do."""
        ...

    @property
    def keeps_links(self) -> bool:
        """Whether the newest client takes the subscription over, as far as is known."""
        ...

    @property
    def is_complete(self) -> bool:
        """Whether everything is known that it says of itself."""
        ...

    def send(self, message: Message) -> None:
        """Write one message. Raises RadioUnavailableError if there is no session."""

    def send_disconnect(self, number: int) -> None:
        """Ask it to drop whatever it holds for an address. Raises RadioUnavailableError."""

    def request_slots(self) -> None:
        """Ask it for a slot report. Raises RadioUnavailableError."""

    def on_robbed(self, problem: Problem, *, gives_way: bool) -> None:
        """End what went over the subscription. Raises RadioUnavailableError.

        Args:
            problem: what has happened.
            gives_way: whether the other client is left alone with the proxy for minutes.
        """

    def update(self) -> None:
        """Derive its state anew."""


class Subscription:
    """Asks for the subscription until it is granted, and again when it is lost.

    Attributes:
        held: whether it is ours.
        problem: DENIED or ROBBED; None while it is ours, or not decided.
        denied: what is said while another client holds it.
        probed_at: when a probe last showed that it is ours, in the loop's seconds.
        proven_at: when any sign last showed that.
        answers: how many probes have.
        rivals: who has it instead.
    """

    def __init__(self, proxy: SubscribedProxy, subscribers: Subscribers | None = None) -> None:
        self._proxy = proxy
        self.rivals = Rivals(proxy, subscribers or Subscribers())
        self.held = False
        self.problem: Problem | None = None
        self.denied = DENIED
        self.probed_at = self.proven_at = float("-inf")
        self.answers = 0
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
        return BluetoothProxyFeature.ACTIVE_CONNECTIONS in self._proxy.features

    @property
    def is_robbed(self) -> bool:
        """Whether another client has taken it."""
        return self.problem is not None and self.problem.state is RadioState.ROBBED

    def start(self) -> None:
        """Subscribe on a new session. Raises RadioUnavailableError if it is ending."""
        self.stop()
        self._tries = 0
        if self._taken_back_at is not None:
            self._taken_back_at = self._loop.time()
        self._ask()
        if BluetoothProxyFeature.FEATURE_STATE_AND_MODE in self._proxy.features:
            return
        # Firmware before 2025.5 never answers a subscription.
        if self.can_be_probed:
            self.probe()
        else:
            self.prove()

    def stop(self) -> None:
        """Stop asking: the session has ended."""
        self.rivals.stop()
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
            _LOGGER.info("%s: another client had taken over its subscription", self._proxy.name)
            self._taken_back_at = self._loop.time()

    @property
    def _is_at_risk(self) -> bool:
        """Whether the subscription can be lost without a sign."""
        info = self._proxy.info
        return (
            not self.can_be_probed
            and info is not None
            and version_of(info.esphome_version) >= TAKEN_OVER_SINCE
        )

    def prove(self) -> None:
        """Take note that the subscription is ours."""
        self._misses = 0
        self.proven_at = self._loop.time()
        if self.held:
            return
        self._cancel()
        self.held = True
        self.problem = None
        self._proxy.update()
        if not self._proxy.is_complete:
            self._wait(self._next_wait(), self._ask_for_slots)

    def _subscribe(self) -> None:
        self._proxy.left.subscribing(self.proven_at)
        self.rivals.asking()
        self._proxy.send(SubscribeBluetoothLEAdvertisementsRequest(flags=RAW_ADVERTISEMENTS))
        if self.can_be_probed:
            self._proxy.request_slots()

    def _ask(self) -> None:
        self._subscribe()
        self._wait(self._next_wait(), self._denied)

    def _next_wait(self) -> float:
        wait = RETRY_AFTER[min(self._tries, len(RETRY_AFTER) - 1)]
        self._tries += 1
        return wait

    def _denied(self) -> None:
        if self.problem is None:
            self.problem = self.denied
        self._proxy.update()
        self._ask()
        if self.can_be_probed:
            # An advertisement or the state may have been lost, or not be due.
            self.probe()

    def _ask_for_slots(self) -> None:
        # The slot report was lost, and nobody sends it again unasked.
        if not self._proxy.is_complete:
            self._proxy.request_slots()
            self._wait(self._next_wait(), self._ask_for_slots)

    # Whose it is

    def probe(self) -> None:
        """Find out whose the subscription is. Raises RadioUnavailableError if the session ends."""
        if self._probing:
            return
        self._answered = False
        self._proxy.send_disconnect(PROBE_NUMBER)
        self._proxy.request_slots()
        self._probing = self._loop.call_later(PROBE_TIMEOUT, self._run, self._probed)

    def doubt(self) -> None:
        """Find out whether it is still ours, if another client can have taken it over."""
        if self.held and self.can_be_probed and self._proxy.keeps_links:
            self._run(self.probe)

    def on_notice(self, number: int) -> bool:
        """Take connected=false for an address; return whether it answers a probe."""
        if number != PROBE_NUMBER:
            return False
        self._end_probe()
        self.probed_at = self._loop.time()
        self.answers += 1
        self.prove()
        return True

    def on_slots(self) -> None:
        """Take a slot report: the proxy answers us, whoever the subscriber is."""
        if self._probing and not self._answered:
            self._probing.cancel()
            self._probing = self._loop.call_later(LATE_TIME, self._run, self._probed)
        self._answered = True

    def _probed(self) -> None:
        self._end_probe()
        if not self._answered:
            return
        self._misses += 1
        if self._misses < MOST_MISSES:
            self.rivals.look()
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
        problem = ROBBED
        if rival := self.rivals.name:
            problem = replace(ROBBED, seen=ROBBED.seen.replace(SOMEBODY, rival), advice=SHARE)
        _LOGGER.warning(
            "%s: %s%s",
            self._proxy.name,
            problem.text,
            f" (not taken back for {wait:g} s)" if wait else " (taking it back)",
        )
        self._cancel()
        self._misses = 0
        self.held = False
        self.problem = problem
        self._proxy.on_robbed(problem, gives_way=bool(wait))
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
            _LOGGER.debug("%s: the session is ending: %s", self._proxy.name, exc)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
