"""What can be learned of a proxy's other clients without its subscription, and what follows.

A proxy grants one subscription, and tells Bluetooth to its holder alone. Of the rest it answers the
asker: what it is (DeviceInfo, with version and feature flags), and its slots (message 80 has one
report sent to whoever sent it, and subscribes to nothing). No message names the holder, or says
that there is one. So this is all that can be known before the subscription is asked for:

| firmware | slots | another client | what asking would do |
|---|---|---|---|
| an owner that lends its fleet | any | may be there | nothing to it: each is served |
| before 2026.7 | any | may hold it | nothing to it: the proxy ignores us while it does |
| 2026.7 and later, or unknown | taken, and still after END_TIME | holds it | end what it has |
| | none taken, or none reported | cannot be told | take it over, if there is one |

Taken slots are a sign because a proxy without a subscriber ends every link within 0.1 s
(bluetooth_proxy.cpp loop()). They are no proof: a slot can be left reserved for nobody. Asking for
a link and seeing whether it is ended would tell more, but it takes a slot in order to look.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol
from weakref import WeakSet

from aioesphomeapi.model import DeviceInfo

from proxyconn.radio import RadioState, RadioUnavailableError, Subscribe, UnsupportedError
from proxyconn_esphome.occupancy.left_links import END_TIME, LeftLinks
from proxyconn_esphome.session.subscription.rivals import TAKEN_OVER_SINCE, Rivals, version_of
from proxyconn_esphome.wire.problems import Problem

LOOK_EVERY = 2.0
"""Seconds between two requests for a slot report when that is all there is to do."""

ANSWER_TIME = 2.0
"""Seconds for a slot report to come before it is asked for again."""

LET_GO_TIME = 60.0
"""Seconds without a taken slot after which whoever held links is taken for gone: a session of our
own that was cut off keeps its links for up to 150 s (ESPHome api_connection.cpp)."""

HELD = Problem(
    RadioState.DENIED,
    "another client holds connections through it and would lose them, for this firmware lets the "
    "newest client take over",
    "end that client (Home Assistant, say), or choose to take it over",
    lasting=True,
    check="subscription",
)

MOST_NAMES = 5
"""Proxies that a notice names; more are counted."""

TAKING_OVER = (
    "%s: taking it over%s: from ESPHome 2026.7 on a proxy serves its newest client, and another "
    "one (Home Assistant, say) hears nothing of it from now on; take=False leaves alone what is "
    "seen to be in use, take=True is for who knows, and `proxyconn serve` shares it"
)

_LOGGER = logging.getLogger(__name__)


class HeldSubscription(Protocol):
    """The subscription of the proxy."""

    held: bool
    rivals: Rivals

    @property
    def is_robbed(self) -> bool:
        """Whether another client has taken it."""
        ...

    def start(self) -> None:
        """Subscribe on a new session. Raises RadioUnavailableError if it is ending."""

    def renew(self) -> None:
        """Subscribe once more. Raises RadioUnavailableError if the session is ending."""


class SharedProxy(Protocol):
    """The proxy that may have other clients."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def info(self) -> DeviceInfo | None:
        """What it says of itself; None until it has."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether it serves several programs at once."""
        ...

    @property
    def connectable(self) -> bool:
        """Whether it opens links, and so reports slots."""
        ...

    @property
    def left(self) -> LeftLinks:
        """Links from before."""
        ...

    @property
    def subscription(self) -> HeldSubscription:
        """Whether its subscription is ours."""
        ...

    def request_slots(self) -> None:
        """Ask it for a slot report. Raises RadioUnavailableError."""

    def update(self) -> None:
        """Derive its state anew."""


class Named(Protocol):
    """A proxy of a fleet."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...


class TakeoverNotice:
    """Says in one line that a fleet takes proxies over which another client may use.

    Args:
        proxies: those of the fleet, as far as they are known.
    """

    def __init__(self, proxies: Callable[[], Iterable[Named]]) -> None:
        self._proxies = proxies
        self._told: WeakSet[Named] = WeakSet()

    def say(self, proxy: Named) -> None:
        """Say it before the first of them is taken, and again only of one that came since then."""
        if proxy in self._told:
            _LOGGER.info(TAKING_OVER, proxy.name, "")
            return
        others = [one for one in self._proxies() if one is not proxy and one not in self._told]
        self._told.update([proxy, *others])
        _LOGGER.warning(TAKING_OVER, proxy.name, _and_then([one.name for one in others]))


def only_looked_at(name: str) -> UnsupportedError:
    """Return the error for what needs a subscription that is not asked for."""
    return UnsupportedError(f"{name}: it is only looked at", source=name)


def _and_then(names: Sequence[str]) -> str:
    if not names:
        return ""
    more = len(names) - MOST_NAMES
    few = ", ".join(names[:MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
    return f", and then those that are as new of {few}"


class OtherClients:
    """Decides whether to ask for the subscription, with regard to who may hold it.

    One that was ours is asked for again without regard: whoever seems to hold it after a session
    was lost is that very session, for as long as the proxy has not noticed its end.

    Attributes:
        subscribe: what the user wants.
        problem: HELD; None if it is not, or not known to be.
        newest_wins: whether asking takes the subscription from another client; None if it is not
            known.
        notice: warns before it is taken from a client that it may have; None if that is no news.
    """

    def __init__(self, proxy: SharedProxy, subscribe: Subscribe) -> None:
        self._proxy = proxy
        self.subscribe = subscribe
        self.problem: Problem | None = None
        self.newest_wins: bool | None = None
        self.notice: TakeoverNotice | None = None
        self._was_ours = self._told = False
        self._deciding = False
        self._since: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()

    @property
    def only_looks(self) -> bool:
        """Whether the subscription is never asked for."""
        return self.subscribe is Subscribe.NEVER

    def start(self) -> None:
        """Begin a session. Raises RadioUnavailableError if it is ending."""
        self._cancel()
        self.newest_wins = self._newest_wins()
        if self._proxy.connectable:
            self._proxy.request_slots()
        if self.only_looks:
            self._proxy.subscription.rivals.look(self._proxy.update)
            self._proxy.update()
            self._later(LOOK_EVERY, self._look)
        elif self._is_careful():
            self._deciding, self._since = True, None
            self._later(ANSWER_TIME, self._ask)
        else:
            self._tell()
            self._proxy.subscription.start()

    def ask_at_once(self) -> None:
        """Ask for the subscription because somebody says so, whoever may have it.

        Raises:
            UnsupportedError: the proxy is only looked at.
            RadioUnavailableError: the session is ending.
        """
        if self.only_looks:
            raise only_looked_at(self._proxy.name)
        if self._proxy.subscription.held:
            self._proxy.subscription.renew()
        else:
            self._take()

    def stop(self) -> None:
        """The session has ended; to be called before the subscription's own end."""
        subscription = self._proxy.subscription
        if subscription.held or subscription.is_robbed:
            self._was_ours = subscription.held
        self.problem = None
        self._deciding = False
        self._cancel()

    def on_slots(self) -> None:
        """Take a slot report, which nobody but us has asked for while it is not decided."""
        if not self._deciding:
            return
        taken = self._proxy.left.is_in_the_way()
        if self.problem is None:
            if not taken:
                self._take()
            elif self._lasts(END_TIME):
                self._leave()
        elif taken:
            self._since = None
        elif self._lasts(LET_GO_TIME):
            self._take()

    def diagnostics(self) -> dict[str, Any]:
        """Return what is wanted and known as JSON-able values."""
        return {
            "subscribe": str(self.subscribe),
            "newest_wins": self.newest_wins,
            "held_by_other": self.problem is not None,
            "holder": self._proxy.subscription.rivals.name,
        }

    def _newest_wins(self) -> bool | None:
        if self._proxy.is_shared:
            return False
        version = version_of(self._proxy.info.esphome_version) if self._proxy.info else ()
        return version >= TAKEN_OVER_SINCE if version else None

    def _is_careful(self) -> bool:
        can_tell = self._proxy.connectable and self.newest_wins is not False
        return self.subscribe is Subscribe.IF_FREE and can_tell and not self._was_ours

    def _lasts(self, seconds: float) -> bool:
        """Whether what is seen now has been so for some time; if not, look again in time."""
        now = self._loop.time()
        if self._since is None:
            self._since = now
            self._later(seconds, self._ask)
        return now - self._since >= seconds

    def _take(self) -> None:
        self._deciding = False
        self._cancel()
        self.problem = None
        self._tell()
        self._proxy.subscription.start()
        self._proxy.update()

    def _tell(self) -> None:
        """Say, before it happens, what asking does to whoever may have the subscription."""
        if self.newest_wins and not (self._told or self._was_ours):
            self._told = True
            if self.notice:
                self.notice.say(self._proxy)
            else:
                _LOGGER.info(TAKING_OVER, self._proxy.name, "")

    def _leave(self) -> None:
        # From now on the slots are asked for every now and then, as with any proxy that is denied.
        self._cancel()
        self._since = None
        self.problem = HELD
        self._proxy.update()

    def _ask(self) -> None:
        self._proxy.request_slots()
        self._later(ANSWER_TIME, self._ask)

    def _look(self) -> None:
        if self._proxy.connectable:
            self._proxy.request_slots()
        self._later(LOOK_EVERY, self._look)

    def _later(self, seconds: float, then: Callable[[], None]) -> None:
        self._cancel()
        self._timer = self._loop.call_later(seconds, self._run, then)

    def _run(self, action: Callable[[], None]) -> None:
        try:
            action()
        except RadioUnavailableError as exc:
            _LOGGER.debug("%s: the session is ending: %s", self._proxy.name, exc)

    def _cancel(self) -> None:
        if self._timer:
            self._timer.cancel()
            self._timer = None
