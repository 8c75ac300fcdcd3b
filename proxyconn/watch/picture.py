"""The state of a fleet, but for what advertisements change, as tables of JSON-able values."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from math import ceil
from typing import Any

from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.radio import OffersLinks, Radio, Surroundings, identity_of
from proxyconn.routing.failure_memory import PATH_HALF_LIFE
from proxyconn.routing.journal import Connect, Step, StepKind
from proxyconn.watch.changes import Table
from proxyconn.watch.clock import WallClock
from proxyconn.watch.rows import Row, radio_row

PERCENTILES = (50, 90, 99)

Clients = Callable[[], Table]
"""Says who uses the fleet: a key of one's own -> name, peer, proxy and addresses of the links."""


def no_clients() -> Table:
    """Return nobody: the fleet belongs to this program alone."""
    return {}


class Picture:
    """Draws the tables.

    Args:
        inspection: the inside of the fleet.
        clock: makes times of the loop's seconds.
        clients: says who uses the fleet.
    """

    def __init__(self, inspection: Inspection, clock: WallClock, clients: Clients) -> None:
        self._inspection = inspection
        self._clock = clock
        self._clients = clients
        self._connects: Table = {}
        self._latencies: Table = {}
        self._last_steps: dict[str, Step] = {}

    def tables(self) -> dict[str, Table]:
        """Return every table as it is now."""
        self._follow_connects()
        around = self._inspection.surroundings()
        return {
            "radios": {radio.name: self._radio(radio, around) for radio in self._inspection.radios},
            "links": self._links(),
            "queue": self._queue(),
            "connects": self._connects,
            "failures": self._failures(),
            "bonds": self._bonds(),
            "alarms": self._alarms(),
            "clients": self._clients(),
            "latency": self._latencies,
            "cluster": self._cluster(around),
            "owners": self._owners(around),
        }

    def _follow_connects(self) -> None:
        """Draw those connects to which something has happened."""
        connects = {str(one.number): one for one in self._inspection.journal.connects}
        steps = {number: one.last for number, one in connects.items()}
        if steps == self._last_steps:
            return
        self._connects = {
            number: self._connects[number]
            if steps[number] is self._last_steps.get(number)
            else self.connect(one)
            for number, one in connects.items()
        }
        self._last_steps = steps
        self._latencies = self._latency()

    def _radio(self, radio: Radio, around: Surroundings | None) -> Row:
        details = radio.diagnostics()
        own = around.owner if around and not isinstance(radio, OffersLinks) else None
        row = radio_row(radio, details)
        if slots := row["slots"]:
            slots["holders"] = [
                self._holder(radio, address) for address in sorted(slots["allocated"])
            ]
        return {
            **row,
            "identity": identity_of(radio),
            "features": details.get("features", []),
            "subscribed": (details.get("subscription") or {}).get("held"),
            "connecting": radio.connecting,
            "owner": details.get("owner", own),
        }

    def _holder(self, radio: Radio, address: str) -> Row:
        inspection = self._inspection
        since = inspection.holds_since(radio, address)
        is_ours = inspection.links.get(address) is radio
        return {
            "address": address,
            "since": None if since is None else self._clock.at(since),
            "used": is_ours,
            "client": inspection.party(address) if is_ours else None,
        }

    def _links(self) -> Table:
        inspection = self._inspection
        return {
            address: {
                "source": radio.name if radio else None,
                "client": inspection.party(address),
                "state": self._link_state(address, radio),
                "since": self._since(address),
                "mtu": inspection.mtu(address),
            }
            for address, radio in inspection.links.items()
        }

    def _link_state(self, address: str, radio: Radio | None) -> str:
        if radio is None:
            return "waiting"
        last = self._inspection.journal.last(address)
        ready = last is not None and last.last.kind is StepKind.READY
        return "connected" if ready else "connecting"

    def _since(self, address: str) -> float | None:
        last = self._inspection.journal.last(address)
        return self._clock.at(last.last.at) if last else None

    def _queue(self) -> Table:
        return {
            waiting.address: {
                "place": place,
                "client": waiting.party,
                "only": waiting.only,
                "since": self._since(waiting.address),
                "unreachable": waiting.unreachable_since is not None,
            }
            for place, waiting in enumerate(self._inspection.waiting(), 1)
        }

    def connect(self, connect: Connect) -> Row:
        """Return a wish for a link, and what became of it."""
        return {
            "address": connect.address,
            "client": connect.party,
            "over": connect.is_over,
            "steps": [self._step(step) for step in connect.steps],
        }

    def _step(self, step: Step) -> Row:
        return {
            "time": self._clock.at(step.at),
            "step": str(step.kind),
            "source": step.source,
            "error": step.error.name.lower() if step.error else None,
            "text": step.text,
        }

    def _failures(self) -> Table:
        names = {identity_of(radio): radio.name for radio in self._inspection.radios}
        return {
            f"{failure.address} {failure.radio}": {
                "address": failure.address,
                "source": names.get(failure.radio, failure.radio),
                "failures": round(failure.weight, 2),
                "at": self._clock.at(failure.at),
                "half_life": PATH_HALF_LIFE,
            }
            for failure in self._inspection.failures()
        }

    def _bonds(self) -> Table:
        names = {identity_of(radio): radio.name for radio in self._inspection.radios}
        return {
            f"{address} {radio}": {"address": address, "source": names.get(radio, radio)}
            for address, radio in self._inspection.bonds()
        }

    def _alarms(self) -> Table:
        return {
            f"{alarm.kind} {alarm.source} {alarm.address or ''}".strip(): {
                "kind": str(alarm.kind),
                "source": alarm.source,
                "address": alarm.address,
                "since": self._clock.at(alarm.since),
                "text": alarm.text,
            }
            for alarm in self._inspection.alarms()
        }

    def _cluster(self, around: Surroundings | None) -> Table:
        if around is None:
            return {}
        return {
            around.fleet: {
                "fleet": around.fleet,
                "site": around.site,
                "owner": around.owner,
                "servers": around.servers,
                "connected": around.connected,
                "since": self._clock.at(around.since),
                "cut_off": around.cut_off,
                "leases": around.leases,
                "troubles": list(around.troubles),
            }
        }

    def _owners(self, around: Surroundings | None) -> Table:
        return {
            one.owner: {
                "owner": one.owner,
                "site": one.site,
                "own": one.own,
                "lease": one.lease,
                "at": None if one.own else self._clock.at(one.heard_at),
                "silent": one.silent,
                "radios": one.radios,
                "links": one.links,
                "slots": one.slots,
            }
            for one in (around.owners if around else ())
        }

    def _latency(self) -> Table:
        connects = self._inspection.journal.connects
        kinds = StepKind
        return {
            "wait": _percentiles(one.seconds(kinds.QUEUED, kinds.CHOSEN) for one in connects),
            "attempt": _percentiles(_last_attempt(one) for one in connects),
            "total": _percentiles(one.seconds(kinds.QUEUED, kinds.READY) for one in connects),
        }


def _last_attempt(connect: Connect) -> float | None:
    """Return the seconds from the last choice of a radio to the link it gave."""
    chosen: float | None = None
    seconds: float | None = None
    for step in connect.steps:
        if step.kind is StepKind.CHOSEN:
            chosen = step.at
        elif step.kind is StepKind.READY and chosen is not None:
            seconds = step.at - chosen
    return seconds


def _percentiles(times: Iterable[float | None]) -> Row:
    known = sorted(seconds for seconds in times if seconds is not None)
    row: dict[str, Any] = {"count": len(known)}
    for percent in PERCENTILES:
        place = ceil(len(known) * percent / 100) - 1
        row[f"p{percent}"] = round(known[max(place, 0)], 3) if known else None
    return row
