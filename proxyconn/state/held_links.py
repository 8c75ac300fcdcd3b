"""Which links radios hold for us: by which run they were asked for, and whether it is gone.

A run that is killed leaves links behind that the proxy goes on holding: for as long as it takes its
session for alive, or for good if another client has taken the subscription meanwhile. Whoever comes
next knows them by what is remembered here: each run writes facts of its own, about radio and run,
so that what one has to say of a device takes nothing from what another has said.
"""

from __future__ import annotations

from collections.abc import Set as AbstractSet
from enum import Enum, auto
from typing import Any, Final

from proxyconn.state.facts import Memory, NoMemory
from proxyconn.state.subscribers import Subscribers

HELD: Final = "held"
"""Kind of fact: a radio was asked for a link to a device, by a run; its `radio` names both."""

GHOST_TIME: Final = 170.0
"""Seconds after its last sign of life within which a link of ours is still ours: a proxy ends a
session without a sound, and the links with it, after 150 s (ESPHome api_connection.cpp), and signs
of life are 20 s apart. Later than that, another client has asked for it."""


class Whose(Enum):
    """Who has asked for a link."""

    OURS = auto()
    """This run."""
    EARLIER = auto()
    """A run that has ended just before."""
    PROGRAM = auto()
    """Another program that shares this state, and that lives."""
    UNKNOWN = auto()
    """Nobody that is known."""


class HeldLinks:
    """The links that radios hold.

    Args:
        memory: what outlives the process; None for nothing.

    Attributes:
        subscribers: who has asked the radios for their subscriptions.
    """

    def __init__(self, memory: Memory | None = None) -> None:
        self._memory = memory or NoMemory()
        self.subscribers = Subscribers(memory)
        self._mine: dict[tuple[str, str], float | None] = {}
        self._told: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
        rows = sorted(self._memory.facts(HELD), key=lambda row: row[2], reverse=True)
        for key, told, _ in rows:
            radio, _, run = key.radio.partition(" ")
            if run and isinstance(told, dict):
                self._runs(radio, key.device)[run] = told

    def _runs(self, radio: str, device: str) -> dict[str, dict[str, Any]]:
        """Return what each run has said of a device on a radio, the last one last."""
        return self._told.setdefault(radio, {}).setdefault(device, {})

    def asked(self, radio: str, device: str) -> None:
        """Remember that a radio is asked for a link, before it is."""
        self._mine[radio, device] = None
        self._put(radio, device, {}, soon=True)

    def saw(self, radio: str, device: str) -> None:
        """Remember that a radio had a link that is not ours when we came."""
        self._put(radio, device, {"is_foreign": True}, soon=True)

    def _put(self, radio: str, device: str, told: dict[str, Any], *, soon: bool = False) -> None:
        run, runs = self._memory.run, self._runs(radio, device)
        runs.pop(run, None)
        runs[run] = told
        self._memory.put(HELD, f"{radio} {run}", device, value=told, soon=soon)

    def was_seen(self, radio: str, device: str) -> bool:
        """Whether this run, or one just before it, saw such a link already."""
        return any(
            told.get("is_foreign") and self._has_just_ended(run)
            for run, told in self._told.get(radio, {}).get(device, {}).items()
        )

    def _has_just_ended(self, run: str) -> bool:
        silence = 0.0 if run == self._memory.run else self._memory.silence(run)
        return silence is not None and silence < GHOST_TIME

    def left(
        self, radio: str, holders: AbstractSet[str], unheld: AbstractSet[str] = frozenset()
    ) -> None:
        """Forget the links of a radio but for those that hold slots, or are about to: `unheld`.

        What another program that lives has asked for is its own to forget.
        """
        devices = self._told.get(radio, {})
        if devices.keys() <= holders:
            return
        for device in set(devices).difference(holders, unheld):
            self._mine.pop((radio, device), None)
            runs = devices[device]
            for run in list(runs):
                if run == self._memory.run or self._memory.silence(run) is not None:
                    del runs[run]
                    self._memory.drop(HELD, f"{radio} {run}", device)
            if not runs:
                del devices[device]

    def cut_off(self, radio: str, now: float) -> None:
        """Take note that what a radio does with its links is not known from now on.

        Args:
            radio: the radio.
            now: the time in seconds, as in `whose`.
        """
        for (one, device), at in self._mine.items():
            if one == radio and at is None:
                self._mine[one, device] = now
                self._put(radio, device, {"is_cut_off": True})

    def whose(self, radio: str, device: str, now: float) -> Whose:
        """Return who has asked for a link that a radio holds."""
        if (radio, device) in self._mine:
            at = self._mine[radio, device]
            return Whose.OURS if at is None or now - at < GHOST_TIME else Whose.UNKNOWN
        run, told = self._last(radio, device)
        if told.get("is_foreign"):
            return Whose.UNKNOWN
        silence = self._memory.silence(run)
        if silence is None:
            return Whose.PROGRAM
        if told.get("is_cut_off"):
            silence = max(silence, self._memory.age(HELD, f"{radio} {run}", device))
        return Whose.EARLIER if silence < GHOST_TIME else Whose.UNKNOWN

    def may_be_wanted(self, radio: str, device: str) -> bool:
        """Whether a client here may come back for a link that was there before."""
        return True

    def process(self, radio: str, device: str) -> str:
        """Return the number of the process that has asked for a link; empty if it is not known."""
        return self._last(radio, device)[0].partition("-")[0]

    def _last(self, radio: str, device: str) -> tuple[str, dict[str, Any]]:
        """Return which run had something to say of a device last, and what."""
        runs = self._told.get(radio, {}).get(device)
        return next(reversed(runs.items())) if runs else ("", {})
