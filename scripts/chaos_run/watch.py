"""What is looked at all the time, and what must be true in the end."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Final

from proxyconn import Alarm, AlarmKind
from proxyconn.fleet.alarms import SETTLE_TIME
from proxyconn_virtual.events import ProxyEvent, Refused
from proxyconn_virtual.proxy import VirtualProxy

from .audit import IN_FLIGHT, Audit
from .record import Record
from .sides import Side
from .storm import Storm
from .truth import Wanting, true_monitor
from .world import held, labels

LOOK_EVERY: Final = 0.5
"""Seconds between two looks."""

INVARIANTS: Final[Mapping[AlarmKind, str]] = {
    AlarmKind.ORPHAN: "no slot is held for an address that nobody uses",
    AlarmKind.TWO_RADIOS: "no address is on two radios",
}


class Watch:
    """Looks at both ends of the wire.

    Attributes:
        refused: connect requests that found no slot, by proxy.
    """

    def __init__(
        self,
        side: Side,
        proxies: Mapping[str, VirtualProxy],
        devices: Iterable[Wanting],
        storm: Storm,
        record: Record,
    ) -> None:
        self._side = side
        self._truth = true_monitor(proxies.values(), devices)
        self._proxies = proxies
        self._labels = labels(proxies.values())
        self._storm = storm
        self._record = record
        self._told: set[tuple[str, AlarmKind, str, str | None, float]] = set()
        self._loop = asyncio.get_running_loop()
        self.refused: Counter[str] = Counter()
        for proxy in proxies.values():
            proxy.add_observer(self._observe)
            Audit(proxy, partial(self._breach, proxy.place))

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            self.look()
            await asyncio.sleep(LOOK_EVERY)

    def look(self) -> None:
        """Look at everything now."""
        self._storm.look()
        now = self._loop.time()
        self._mind(self._side.alarms(), "the fleet", now, self._labels)
        self._mind(self._truth.alarms(now), "the proxy", now, {})

    def _mind(
        self, alarms: Iterable[Alarm], teller: str, now: float, places: Mapping[str, str]
    ) -> None:
        for alarm in alarms:
            key = (teller, alarm.kind, alarm.source, alarm.address, alarm.since)
            if alarm.kind not in INVARIANTS or key in self._told:
                continue
            if (
                now - self._storm.excused(places.get(alarm.source, alarm.source))
                >= SETTLE_TIME[alarm.kind]
            ):
                self._told.add(key)
                self._record.violate(
                    INVARIANTS[alarm.kind], f"{teller} says: {alarm.text} ({alarm.seconds:.0f} s)"
                )

    def _observe(self, event: ProxyEvent) -> None:
        if isinstance(event, Refused):
            self.refused[event.proxy] += 1

    def _breach(self, name: str, detail: str) -> None:
        # What a client sent while nothing passed arrives later, and it did not hear the answer.
        if self._loop.time() - self._storm.excused(name) >= LOOK_EVERY + IN_FLIGHT:
            self._record.violate("no connect is sent to a full proxy", detail)

    def unsettled(self) -> str | None:
        """Return what keeps both ends from being at rest, now that no client has a link."""
        slots = held(list(self._proxies.values()))
        known = {
            name: report.allocated
            for name, report in self._side.reported().items()
            if report.free != report.slots
        }
        if slots or known:
            return f"slots held: {slots}; reported: {known}"
        return None
