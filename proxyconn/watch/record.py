"""The log of what was decided and what happened, bounded; kept whether anybody reads it or not."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from proxyconn.callbacks import Callbacks
from proxyconn.fleet.alarms import Alarm
from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.routing.journal import Connect, Step, StepKind
from proxyconn.watch.clock import WallClock
from proxyconn.watch.rows import Row

KEPT: Final = 500
"""Entries that are kept."""

LOOK_EVERY: Final = 1.0
"""Seconds between two looks for alarms that have ripened: nobody tells of those."""

_SAID: Final = {
    StepKind.QUEUED: "waits for a radio",
    StepKind.CHOSEN: "attempt begins",
    StepKind.SERVICES: "link is up, its services are being read",
    StepKind.READY: "connected",
    StepKind.CLOSED: "link closed",
    StepKind.FAILED: "attempt failed",
    StepKind.GAVE_UP: "no radio was to be had",
}


class Record:
    """Keeps the log of one fleet.

    Args:
        inspection: the inside of the fleet.
        clock: makes times of the loop's seconds.

    Attributes:
        entries: the last KEPT of them, the oldest first.
        callbacks: called with each new entry.
    """

    def __init__(self, inspection: Inspection, clock: WallClock) -> None:
        self._inspection = inspection
        self._clock = clock
        self.entries: deque[Row] = deque(maxlen=KEPT)
        self.callbacks = Callbacks[Row]("the fleet")
        self._states: dict[str, str] = {}
        self._alarms: dict[tuple[str, str, str | None], Alarm] = {}
        self._number = 0
        self._unregister: list[Callable[[], None]] = [
            inspection.journal.callbacks.register(self._stepped),
            inspection.register_state_callback(self.look),
        ]
        self._timer: asyncio.TimerHandle | None = None
        self._look_again()

    def close(self) -> None:
        """Take note of nothing more; idempotent."""
        if self._timer:
            self._timer.cancel()
            self._timer = None
        for unregister in self._unregister:
            unregister()
        self._unregister.clear()

    def add(
        self,
        kind: str,
        text: str,
        *,
        source: str | None = None,
        address: str | None = None,
        client: str | None = None,
        at: float | None = None,
    ) -> None:
        """Add an entry.

        Args:
            kind: what sort of thing happened: a step of a connect, `radio`, `alarm`, `alarm over`,
                `client` or `action`.
            text: what happened, in words.
            source: the radio that it is about.
            address: the device that it is about.
            client: whom it is about.
            at: since when it has been so, in the loop's seconds; None for since now.
        """
        self._number += 1
        entry = {
            "number": self._number,
            "time": self._clock.now() if at is None else self._clock.at(at),
            "kind": kind,
            "text": text,
            "source": source,
            "address": address,
            "client": client,
        }
        self.entries.append(entry)
        self.callbacks(entry)

    def _stepped(self, connect: Connect, step: Step) -> None:
        said = _SAID[step.kind]
        self.add(
            str(step.kind),
            f"{said}: {step.text}" if step.text else said,
            source=step.source,
            address=connect.address,
            client=connect.party,
        )

    def _look_again(self) -> None:
        self._timer = self._inspection.loop.call_later(LOOK_EVERY, self._look_again)
        self.look()

    def look(self) -> None:
        """See whether radios do otherwise than before, and which alarms have come or gone."""
        states = {
            radio.name: f"{radio.state}" + (f": {radio.problem}" if radio.problem else "")
            for radio in self._inspection.radios
        }
        before, self._states = self._states, states
        for name, state in states.items():
            if before.get(name) != state:
                self.add("radio", state, source=name)
        for name in before:
            if name not in states:
                self.add("radio", "not part of the fleet any more", source=name)
        self._look_at_alarms()

    def _look_at_alarms(self) -> None:
        alarms = {
            (str(alarm.kind), alarm.source, alarm.address): alarm
            for alarm in self._inspection.alarms()
        }
        before, self._alarms = self._alarms, alarms
        for key, alarm in alarms.items():
            if key not in before:
                self.add(
                    "alarm",
                    alarm.text,
                    source=alarm.source,
                    address=alarm.address,
                    at=alarm.since,
                )
        for key, alarm in before.items():
            if key not in alarms:
                self.add("alarm over", alarm.text, source=alarm.source, address=alarm.address)
