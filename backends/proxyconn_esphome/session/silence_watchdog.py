"""What to do about a proxy that is silent: its session is up, and no advertisement arrives.

The causes cannot be told apart from here (no device in reach; a scan that hangs, esphome issue
12185; a client that took over the subscription of a proxy that only listens), but the cures can be
tried, the mildest first:

| silent for | step | cures |
|---|---|---|
| SILENT_AFTER | RESUBSCRIBE | a lost subscription; nothing happens if it is ours |
| + RUNG_TIME | FLIP_MODE: the other scan mode and back, if it can be set | a scan that hangs |
| + 2 RUNG_TIME | RENEW the session, which ends every link: only if there is none | the rest |
| + 3 RUNG_TIME | REPORT: the state is SILENT, and the problem says what people can do | |
| + RETRY_AFTER each | RESUBSCRIBE, FLIP_MODE, and RENEW if links have kept it from that | |

The proxy does not scan while it opens a link, so that time does not count. A session that was lost
for other reasons begins anew: the proxy may have been restarted. A silent proxy may well connect.

Where devices speak seldom, silence is what is usual: a silence that ended is taken for a rest, and
the next one may last twice as long, up to MOST_PATIENCE, before the first step. The session is
renewed once in RENEW_EVERY at most.

Knows no clock and does nothing itself: the time is an argument, steps are results.
"""

from __future__ import annotations

from enum import Enum, auto

from proxyconn.radio import RadioState
from proxyconn_esphome.wire.problems import Problem

SILENT_AFTER = 90.0
"""Seconds without an advertisement: three times as long as any pause of a scan that works."""

MOST_PATIENCE = 600.0
"""Seconds without an advertisement before the first step, where such rests are usual."""

RENEW_EVERY = 3600.0
"""Seconds between two renewals of the session."""

RUNG_TIME = 20.0
"""Seconds for a step to show an effect: a scan that starts anew hears its surroundings in a few."""

RETRY_AFTER = (600.0, 1800.0, 3600.0)
"""Seconds between two rounds of a proxy that stays silent; the last is repeated."""

SILENT = Problem(
    RadioState.SILENT,
    "it hears no device at all",
    "if there are any near it, restart it, "
    "and if that does not help look at its antenna and at its power supply",
    check="scanner",
)


class Step(Enum):
    """What to do next."""

    RESUBSCRIBE = auto()
    FLIP_MODE = auto()
    RENEW = auto()
    REPORT = auto()


class Watchdog:
    """The ladder of one proxy.

    Attributes:
        silent: whether the ladder is at its end, and the proxy is still silent.
        step: the last step that was taken since the proxy was heard.
        heard_at: when the last advertisement came, in seconds; None if none did.
    """

    def __init__(self) -> None:
        self.silent = False
        self.step: Step | None = None
        self.heard_at: float | None = None
        self._begun_at = self._busy_at = float("-inf")
        self._next_at = 0.0
        self._rounds = 0
        self._renewing = self._owed = False
        self._renewed_at = float("-inf")
        self._patience = SILENT_AFTER

    def begin(self, now: float) -> None:
        """The subscription of a new session is ours."""
        self._begun_at = now
        if self._renewing:
            self._renewing = False
            self._next_at = now + RUNG_TIME
        else:
            self._patience = SILENT_AFTER
            self._forget()

    def hear(self, now: float) -> bool:
        """Take note of an advertisement; return whether the proxy counted as silent."""
        was_silent = self.silent
        if self.step:
            if self.heard_at is not None:
                rest = min(2 * (now - self.heard_at), MOST_PATIENCE)
                self._patience = max(self._patience, rest)
            self._forget()
        self.heard_at = now
        return was_silent

    def _forget(self) -> None:
        self.silent = self._owed = False
        self.step = None
        self._rounds = 0

    def heard_ago(self, now: float) -> float | None:
        """Return the seconds since the last advertisement; None if there was none yet."""
        return None if self.heard_at is None else now - self.heard_at

    def silence(self, now: float) -> float:
        """Return the seconds since the last advertisement, or since the session began."""
        return now - max(self._begun_at, self.heard_at or self._begun_at)

    def next_step(self, now: float, *, busy: bool, links: bool) -> Step | None:
        """Return what is due, which is then thought to be done.

        Args:
            now: the time in seconds.
            busy: whether the proxy opens a link, or may be doing so.
            links: whether it holds any.
        """
        if busy:
            self._busy_at = now
            self._next_at = max(self._next_at, now + RUNG_TIME)
            return None
        if self.step is None:
            silence = min(self.silence(now), now - self._busy_at)
            return self._take(Step.RESUBSCRIBE, now) if silence >= self._patience else None
        if now < self._next_at:
            return None
        return self._climb(now, links)

    def _climb(self, now: float, links: bool) -> Step:
        if self.step is Step.RESUBSCRIBE:
            return self._take(Step.FLIP_MODE, now)
        if self.step is Step.FLIP_MODE and self._may_renew(now, links):
            self._renewing, self._renewed_at = True, now
            return self._take(Step.RENEW, now)
        if self.step in (Step.FLIP_MODE, Step.RENEW):
            self.silent = True
            wait = RETRY_AFTER[min(self._rounds, len(RETRY_AFTER) - 1)]
            self._rounds += 1
            return self._take(Step.REPORT, now, wait)
        return self._take(Step.RESUBSCRIBE, now)

    def _may_renew(self, now: float, links: bool) -> bool:
        """Whether the session is to be renewed, now or once its links are gone."""
        owed = self._owed or (not self.silent and now - self._renewed_at >= RENEW_EVERY)
        self._owed = owed and links
        return owed and not links

    def _take(self, step: Step, now: float, wait: float = RUNG_TIME) -> Step:
        self.step = step
        self._next_at = now + wait
        return step
