"""What should not be, and for how long it has been: slots nobody uses, radios that do not work.

The same watch serves tests, the chaos run and `Fleet.alarms`. Knows no clock: the time is an
argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Protocol

from proxyconn._models import Allocations, RadioState
from proxyconn._paths import USABLE_STATES


class AlarmKind(StrEnum):
    """What is wrong."""

    ORPHAN = "orphan"
    """A radio holds a connection slot for a device that no client has or wants through it."""
    TWO_RADIOS = "two radios"
    """More than one radio holds a slot for the same device."""
    DENIED = "denied"
    """Another client holds the proxy's subscription."""
    ROBBED = "robbed"
    """Another client has taken over the proxy's subscription."""
    SILENT = "silent"
    """The radio hears nothing."""
    WEDGED = "wedged"
    """The radio hangs in an attempt to connect."""
    WRONG_KEY = "wrong key"
    """The proxy refuses the encryption key, or does not encrypt."""


SETTLE_TIME: Mapping[AlarmKind, float] = MappingProxyType(
    {
        AlarmKind.ORPHAN: 60.0,
        AlarmKind.TWO_RADIOS: 60.0,
        AlarmKind.DENIED: 0.0,
        AlarmKind.ROBBED: 0.0,
        AlarmKind.SILENT: 0.0,
        AlarmKind.WEDGED: 0.0,
        AlarmKind.WRONG_KEY: 0.0,
    }
)
"""Seconds after which each is worth an alarm. Firmware frees slots slowly: an attempt that was
given up goes on for up to 20 s, after another one of 20 s that was there first, and the end of a
link counts as lost after 10 s (ESPHome ble_client_base.cpp). States have had patience already."""

_KIND_OF_STATE: Mapping[RadioState, AlarmKind] = MappingProxyType(
    {
        RadioState.DENIED: AlarmKind.DENIED,
        RadioState.ROBBED: AlarmKind.ROBBED,
        RadioState.SILENT: AlarmKind.SILENT,
        RadioState.WEDGED: AlarmKind.WEDGED,
        RadioState.WRONG_KEY: AlarmKind.WRONG_KEY,
    }
)

_Key = tuple[AlarmKind, str, str | None]
"""Kind, name of the radio and address of the device; None if it is about the radio as a whole."""


@dataclass(frozen=True, slots=True)
class Alarm:
    """Something that should not be.

    Attributes:
        kind: what it is.
        source: name of the radio.
        address: the device; None if it is about the radio as a whole.
        since: when it was seen first, in the event loop's seconds.
        seconds: for how long it has been.
        text: what it is in a sentence, with what can be done about it.
    """

    kind: AlarmKind
    source: str
    address: str | None
    since: float
    seconds: float
    text: str

    def diagnostics(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return {
            "kind": str(self.kind),
            "source": self.source,
            "address": self.address,
            "seconds": round(self.seconds, 1),
            "text": self.text,
        }


class Watched(Protocol):
    """What is watched of a radio."""

    @property
    def name(self) -> str:
        """What people call it."""
        ...

    @property
    def state(self) -> RadioState:
        """How it is doing."""
        ...

    @property
    def problem(self) -> str | None:
        """Why it is not ready, in one sentence; None if it is."""
        ...

    def allocations(self) -> Allocations | None:
        """Its connection slots as it reports them; None until it has."""
        ...


class Monitor:
    """Watches the radios of a fleet.

    Args:
        radios: those of the fleet; the list is the fleet's own.
        links: address -> radio of every link and attempt, None for one that waits; the fleet's own.
        settle_time: seconds after which each kind is worth an alarm.
    """

    def __init__(
        self,
        radios: Sequence[Watched],
        links: Mapping[str, Watched | None],
        settle_time: Mapping[AlarmKind, float] = SETTLE_TIME,
    ) -> None:
        self._radios = radios
        self._links = links
        self._settle_time = settle_time
        self._seen: dict[_Key, tuple[float, str]] = {}

    def look(self, now: float) -> None:
        """Look at everything; to be called whenever something has changed."""
        seen = {key: (now, text) for key, text in self._present()}
        for key in seen.keys() & self._seen.keys():
            seen[key] = (self._seen[key][0], seen[key][1])
        self._seen = seen

    def alarms(self, now: float) -> list[Alarm]:
        """Look again, and return what has been for longer than it may, the oldest first."""
        self.look(now)
        found = [
            Alarm(kind, source, address, since, now - since, text)
            for (kind, source, address), (since, text) in self._seen.items()
            if now - since >= self._settle_time[kind]
        ]
        return sorted(found, key=lambda alarm: alarm.since)

    def _present(self) -> Iterator[tuple[_Key, str]]:
        holders: dict[str, list[Watched]] = defaultdict(list)
        for radio in self._radios:
            if kind := _KIND_OF_STATE.get(radio.state):
                yield (kind, radio.name, None), f"{radio.name}: {radio.problem or radio.state}"
            # Slots of a proxy that serves another client, or hangs, are not ours to judge.
            slots = radio.allocations() if radio.state in USABLE_STATES else None
            for address in slots.allocated if slots else ():
                holders[address].append(radio)
        for address, radios in holders.items():
            yield from self._misplaced(address, radios)

    def _misplaced(self, address: str, radios: list[Watched]) -> Iterator[tuple[_Key, str]]:
        user = self._links.get(address)
        waited_for = address in self._links and user is None
        for radio in radios:
            if len(radios) > 1:
                others = ", ".join(other.name for other in radios if other is not radio)
                text = f"{radio.name}: it holds a slot for {address}, and so does {others}"
                yield (AlarmKind.TWO_RADIOS, radio.name, address), text
            if radio is not user and not waited_for:
                text = (
                    f"{radio.name}: it holds a slot for {address}, which nobody uses; "
                    "restart it if its slots run short"
                )
                yield (AlarmKind.ORPHAN, radio.name, address), text
