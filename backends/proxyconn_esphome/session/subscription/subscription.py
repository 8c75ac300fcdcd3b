"""The one advertisement subscription a proxy grants, and whether it is ours.

Everything about Bluetooth goes to the subscriber alone: advertisements, changes of the scanner's
state, and every answer about a connection, whoever asked. Up to ESPHome 2026.6 the first client
keeps the subscription, and a dead one blocks it for up to 150 s; from 2026.7 (esphome pull request
17423) the newest client takes it over. Nobody is told that a subscription was refused, or that it
is lost. What shows whose it is:

| sign | it is ours |
|---|---|
| an advertisement, or a scanner state (sent in answer to a subscription that is granted) | yes |
| both answers to a probe arrive (`probe.py`) | yes |
| only the slots arrive, MOST_MISSES times in a row | no |
| neither arrives | unknown |

Only a proxy that opens links answers the probe. One that only listens is asked for the
subscription again when it is silent: if it is heard again right after, somebody had taken it.

A subscription that was never ours is DENIED, and asked for again after RETRY_AFTER. One that was is
ROBBED, and taken back as soon as `taking_back.py` says.

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
from proxyconn_esphome.session.subscription.probe import Probe
from proxyconn_esphome.session.subscription.rivals import (
    SOMEBODY,
    TAKEN_OVER_SINCE,
    Rivals,
    version_of,
)
from proxyconn_esphome.session.subscription.taking_back import TakingBack
from proxyconn_esphome.wire.messages import SubscribeBluetoothLEAdvertisementsRequest
from proxyconn_esphome.wire.problems import Problem

RAW_ADVERTISEMENTS = 1
"""Flag of the subscription: batches of undecoded advertisements (message 93)."""

RETRY_AFTER = (5.0, 10.0, 30.0, 60.0)
"""Seconds to wait for the proof, before each new subscription; the last is repeated."""

MOST_MISSES = 2
"""Probes that must fail: one answer alone can be lost when the proxy's socket is full."""

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
        proven_at: when any sign last showed that it is ours, in the loop's seconds.
        rivals: who has it instead.
    """

    def __init__(self, proxy: SubscribedProxy, subscribers: Subscribers | None = None) -> None:
        self._proxy = proxy
        self.rivals = Rivals(proxy, subscribers or Subscribers())
        self.held = False
        self.problem: Problem | None = None
        self.denied = DENIED
        self.proven_at = float("-inf")
        self._tries = 0
        self._timer: asyncio.TimerHandle | None = None
        self._probe = Probe(proxy, lambda: self._run(self._missed))
        self._taking_back = TakingBack()
        self._loop = asyncio.get_running_loop()

    @property
    def probed_at(self) -> float:
        """When a probe last showed that it is ours, in the loop's seconds."""
        return self._probe.answered_at

    @property
    def answers(self) -> int:
        """How many probes have shown that it is ours."""
        return self._probe.answers

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
        self._taking_back.began_anew(self._loop.time())
        self._ask()
        if BluetoothProxyFeature.FEATURE_STATE_AND_MODE in self._proxy.features:
            return
        # Firmware before 2025.5 never answers a subscription.
        if self.can_be_probed:
            self.probe()
        else:
            self.prove(self._loop.time())

    def stop(self) -> None:
        """Stop asking: the session has ended."""
        self.rivals.stop()
        self._cancel()
        self._probe.stop()
        self.held = False
        self.problem = None

    def renew(self) -> None:
        """Subscribe once more on a silent session; nothing happens if the subscription is ours.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        if self._is_at_risk and self._taking_back.is_recent(self._loop.time()):
            self.rob()
        else:
            self._subscribe()

    def was_taken_back(self) -> None:
        """Take note that a silent session is not silent any more since it was renewed."""
        if self._is_at_risk:
            _LOGGER.info("%s: another client had taken over its subscription", self._proxy.name)
            self._taking_back.took(self._loop.time())

    @property
    def _is_at_risk(self) -> bool:
        """Whether the subscription can be lost without a sign."""
        info = self._proxy.info
        return (
            not self.can_be_probed
            and info is not None
            and version_of(info.esphome_version) >= TAKEN_OVER_SINCE
        )

    def prove(self, now: float) -> None:
        """Take note that the subscription is ours, at a time of the loop's."""
        self._probe.misses = 0
        self.proven_at = now
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
        self._probe.ask()

    def doubt(self) -> None:
        """Find out whether it is still ours, if another client can have taken it over."""
        if self.held and self.can_be_probed and self._proxy.keeps_links:
            self._run(self.probe)

    def on_notice(self, number: int) -> bool:
        """Take connected=false for an address; return whether it answers a probe."""
        if answers := self._probe.on_notice(number):
            self.prove(self._loop.time())
        return answers

    def on_slots(self) -> None:
        """Take a slot report: the proxy answers us, whoever the subscriber is."""
        self._probe.on_slots()

    def _missed(self) -> None:
        if self._probe.misses < MOST_MISSES:
            self.rivals.look()
            self.probe()
        elif self.held:
            self.rob()

    def rob(self) -> None:
        """Take note that another client has the subscription now, and take it back in time.

        Raises:
            RadioUnavailableError: the session is ending.
        """
        wait = self._taking_back.wait(self._loop.time())
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
        self._probe.misses = 0
        self.held = False
        self.problem = problem
        self._proxy.on_robbed(problem, gives_way=bool(wait))
        if wait:
            self._wait(wait, self.take_back)
        else:
            self.take_back()

    def take_back(self) -> None:
        """Subscribe anew. Raises RadioUnavailableError if the session is ending."""
        self._taking_back.took(self._loop.time())
        self._tries = 0
        self._ask()

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
