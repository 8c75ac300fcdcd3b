"""Decides which radios ask for scan responses, and when: a mode, wishes, and windows of `auto`.

In `auto` radios only listen, and ask for scan responses for WINDOW when somebody needs one: a
device is new, or a name is waited for that nobody has said. One window serves the whole house, and
they are far apart, for each scan request costs a device energy.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

from proxyconn.absent_radio import AbsentRadio
from proxyconn.models import RadioState, ScanMode
from proxyconn.radio import OffersLinks, Radio, ScanModeRadio, ScanWish, identity_of

WINDOW = 8.0
"""Seconds of a window: a device that says something every 5 s is asked at least once."""

SETTLE = 2.0
"""Seconds from a need to the window: one then serves all devices that are new by then."""

GAP_WHILE_AWAITED = 20.0
"""Seconds from one window to the next while a name is waited for."""

AWAITED_TIME = 60.0
"""Seconds of a wait after which the house does not hurry for it any more."""

GAP = 300.0
"""Seconds from one window to the next for devices that are new: phones are, every few minutes."""

_DEMAND = (ScanMode.PASSIVE, None, ScanMode.AUTO, ScanMode.ACTIVE)
"""The modes, the most demanding last: who is content with how it is may need more than passive."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Wish:
    """What somebody wishes for.

    Attributes:
        mode: how radios should scan; None for somebody who is content with how they do.
        only: identity of the radio that should; None for every one.
        weak: whether it counts only for radios of which the user has said nothing.
        far: whether it is a neighbour's, which is not told to neighbours again.
    """

    mode: ScanMode | None
    only: str | None
    weak: bool
    far: bool


class ScanControl:
    """The scan modes of a fleet's radios.

    Args:
        radios: says which radios there are to tell.
        mode: how they scan, unless the user has said otherwise of one; None to leave each as it is.
        tell_neighbours: told what is wished of neighbours' radios, whenever that changes.
    """

    def __init__(
        self,
        radios: Callable[[], list[Radio]],
        mode: ScanMode | None = None,
        tell_neighbours: Callable[[frozenset[ScanWish]], None] = lambda wishes: None,
    ) -> None:
        self._radios = radios
        self._mode = mode
        self._tell_neighbours = tell_neighbours
        self._neighbours_told: frozenset[ScanWish] = frozenset()
        self._wishes: dict[object, _Wish] = {}
        self._told: dict[Radio, bool] = {}
        self._ready: set[Radio] = set()
        self._cannot: set[Radio] = set()
        self._window_until = float("-inf")
        self._awaited = 0
        self._awaited_from = float("-inf")
        self._needed = False
        self._closed = False
        self._timer: asyncio.TimerHandle | None = None
        self._loop = asyncio.get_running_loop()
        self._pass_on()

    @property
    def mode(self) -> ScanMode | None:
        """What the user said of all radios; None for nothing. To be set for another one."""
        return self._mode

    @mode.setter
    def mode(self, mode: ScanMode | None) -> None:
        self._mode = mode
        self.apply()

    @property
    def in_window(self) -> bool:
        """Whether radios in `auto` ask for scan responses now."""
        return self._loop.time() < self._window_until

    def mode_of(self, radio: Radio) -> ScanMode | None:
        """Return the mode that counts for a radio: the most demanding of all that are wanted."""
        own = radio.own_scan_mode if isinstance(radio, ScanModeRadio) else None
        said = own or self._mode
        wishes = [one for one in self._wishes.values() if one.only in (None, identity_of(radio))]
        strong = [one.mode for one in wishes if not one.weak]
        if said:
            return max([said, *filter(None, strong)], key=_DEMAND.index)
        return max(strong or [one.mode for one in wishes], key=_DEMAND.index, default=None)

    def is_active(self, radio: Radio) -> bool | None:
        """Whether a radio asks for scan responses by its mode, or as it was; None if unknown."""
        mode = self.mode_of(radio)
        if mode is None:
            return radio.scans_actively if isinstance(radio, ScanModeRadio) else None
        return mode is ScanMode.ACTIVE

    def wish(
        self,
        who: object,
        mode: ScanMode | None,
        *,
        only: str | None = None,
        weak: bool = False,
        far: bool = False,
    ) -> None:
        """Somebody wishes for a mode; the most demanding wish counts.

        Args:
            who: whose wish it is; one each.
            mode: how radios should scan; None for as they do, which keeps them from being made
                passive for somebody else.
            only: identity of the radio that should; None for every one.
            weak: whether the wish counts only where the user has said nothing.
            far: whether it is a neighbour's.
        """
        self._wishes[who] = _Wish(mode, only, weak, far)
        self.apply()

    def end_wish(self, who: object) -> None:
        """Somebody has no wish any more; harmless if there was none."""
        if self._wishes.pop(who, None):
            self.apply()

    def scanner_runs(self, *, active: bool) -> Callable[[], None]:
        """A program's scanner runs in one of bleak's modes; returns what ends that (idempotent).

        bleak's default is `active`, so what the user said of a radio counts more; in `auto` the
        scanner is one more reason for a window.
        """
        who = object()
        self.wish(who, ScanMode.ACTIVE if active else ScanMode.PASSIVE, weak=True)
        end_wait = self.await_name() if active else None

        def end() -> None:
            self.end_wish(who)
            if end_wait:
                end_wait()

        return end

    def apply(self) -> None:
        """Tell every radio how to scan, if it is not told so already."""
        for radio in self._radios():
            self._tell(radio)
        self._pass_on()
        self._plan()

    def _pass_on(self) -> None:
        """Tell neighbours, if it is something else, who wishes that radios ask devices here.

        A wish for less is no affair of theirs. What the user has said of this fleet counts there
        where nobody has said anything.
        """
        asking = {ScanMode.ACTIVE, ScanMode.AUTO} if self.in_window else {ScanMode.ACTIVE}
        near = [one for one in self._wishes.values() if not one.far]
        wishes = {ScanWish(one.only, one.weak) for one in near if one.mode in asking}
        if self._mode in asking:
            wishes.add(ScanWish(weak=True))
        if wishes != self._neighbours_told:
            self._neighbours_told = frozenset(wishes)
            self._tell_neighbours(self._neighbours_told)

    def radio_changed(self, radio: Radio) -> None:
        """A radio has come or gone, or is in another state."""
        if radio not in self._radios():
            for those in (self._ready, self._cannot):
                those.discard(radio)
            self._told.pop(radio, None)
        elif radio.state is not RadioState.READY:
            self._ready.discard(radio)
            self._tell(radio)
        elif radio not in self._ready:
            self._ready.add(radio)
            self.radio_renewed(radio)
            self._plan()

    def radio_renewed(self, radio: Radio) -> None:
        """A radio has come, or has come back: it may scan in any mode."""
        self._told.pop(radio, None)
        self._tell(radio)

    def _tell(self, radio: Radio) -> None:
        mode = self.mode_of(radio)
        active = self.in_window if mode is ScanMode.AUTO else mode is ScanMode.ACTIVE
        self._tell_to(radio, None if mode is None else active)

    def _tell_to(self, radio: Radio, active: bool | None) -> None:
        if self._told.get(radio) == active or isinstance(radio, AbsentRadio):
            return
        if active is None:
            del self._told[radio]
        else:
            self._told[radio] = active
        if isinstance(radio, ScanModeRadio):
            radio.set_scan_mode(active)
        elif radio not in self._cannot and not isinstance(radio, OffersLinks):
            self._cannot.add(radio)
            _LOGGER.info("%s: its scan mode cannot be set; it scans as it is", radio.name)

    # Windows of `auto`

    def device_is_new(self) -> None:
        """A device was heard that had not been: what it says when it is asked is not known."""
        if not self._needed:
            self._needed = True
            self._plan()

    def await_name(self) -> Callable[[], None]:
        """A name is waited for that no device has said; returns what ends that (idempotent)."""
        self._awaited += 1
        self._awaited_from = self._loop.time()
        self._plan()
        ended = False

        def end() -> None:
            nonlocal ended
            if not ended:
                ended = True
                self._awaited -= 1

        return end

    def close(self) -> None:
        """Plan nothing more; idempotent."""
        self._closed = True
        if self._timer:
            self._timer.cancel()
            self._timer = None

    def _plan(self) -> None:
        """Let the next window open in time, unless there is one now, or none is needed."""
        if self._closed or self.in_window or not (self._needed or self._awaited):
            return
        if not any(self.mode_of(radio) is ScanMode.AUTO for radio in self._radios()):
            return
        now = self._loop.time()
        hurries = self._awaited and now - self._awaited_from < AWAITED_TIME
        earliest = self._window_until - WINDOW + (GAP_WHILE_AWAITED if hurries else GAP)
        when = max(now + SETTLE, earliest)
        if self._timer:
            if self._timer.when() <= when:
                return
            self._timer.cancel()
        self._timer = self._loop.call_at(when, self._open)

    def _open(self) -> None:
        self._timer = None
        if not (self._needed or self._awaited):
            return
        self._needed = False
        self._window_until = self._loop.time() + WINDOW
        self._timer = self._loop.call_at(self._window_until, self._shut)
        self.apply()

    def _shut(self) -> None:
        self._timer = None
        self._window_until = self._loop.time()
        self.apply()
