"""What should not be, and for how long it has been: slots nobody uses, radios that do not work.

The same watch serves tests, the chaos run and `Fleet.alarms`. Knows no clock: the time is an
argument.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from math import inf
from types import MappingProxyType
from typing import Any, Protocol

from proxyconn.models import Allocations, RadioState
from proxyconn.radio import KeepsLinks, SharedRadio, identity_of


class AlarmKind(StrEnum):
    """What is wrong."""

    ORPHAN = "orphan"
    """A radio holds a connection slot for a device that no client has or wants through it."""
    FOREIGN = "foreign"
    """A radio holds a connection slot for a link that is not ours, from before we came."""
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
    WRONG_PASSWORD = "wrong password"
    """The proxy refuses the API password, or wants one."""


SETTLE_TIME: Mapping[AlarmKind, float] = MappingProxyType(
    {
        AlarmKind.ORPHAN: 60.0,
        AlarmKind.FOREIGN: 0.0,
        AlarmKind.TWO_RADIOS: 60.0,
        AlarmKind.DENIED: 0.0,
        AlarmKind.ROBBED: 0.0,
        AlarmKind.SILENT: 0.0,
        AlarmKind.WEDGED: 0.0,
        AlarmKind.WRONG_KEY: 0.0,
        AlarmKind.WRONG_PASSWORD: 0.0,
    }
)
"""Seconds after which each is worth an alarm. Firmware frees slots slowly: an attempt that was
given up goes on for up to 20 s, after another one of 20 s that was there first, and the end of a
link counts as lost after 10 s (ESPHome ble_client_base.cpp). States have had patience already."""

OTHERS_SLOTS: Mapping[AlarmKind, float] = MappingProxyType({**SETTLE_TIME, AlarmKind.ORPHAN: inf})
"""The same for a fleet that only looks: whoever holds a slot is another client's."""

LOOK_WITHIN = 1.0
"""Seconds within which a change of slots is looked at: a connect makes several, and looking takes
as long as there are slots."""

_KIND_OF_STATE: Mapping[RadioState, AlarmKind] = MappingProxyType(
    {
        RadioState.DENIED: AlarmKind.DENIED,
        RadioState.ROBBED: AlarmKind.ROBBED,
        RadioState.SILENT: AlarmKind.SILENT,
        RadioState.WEDGED: AlarmKind.WEDGED,
        RadioState.WRONG_KEY: AlarmKind.WRONG_KEY,
        RadioState.WRONG_PASSWORD: AlarmKind.WRONG_PASSWORD,
    }
)

_Key = tuple[AlarmKind, str, str | None]
"""Kind, identity of the radio and address of the device, None if it is about the whole radio."""


@dataclass(frozen=True, slots=True)
class _Fault:
    """What is wrong now, of one key.

    Attributes:
        source: what the radio is called.
        text: what is wrong, in a sentence.
        since: when it was seen first.
    """

    source: str
    text: str
    since: float


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


_Finding = tuple[AlarmKind, Watched, str | None, str]
"""Kind, radio, address of the device if it is about one, and what is wrong in a sentence."""


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
        self._seen: dict[_Key, _Fault] = {}
        self._changed_at: float | None = None

    def changed(self, now: float) -> None:
        """Take note of a change: what the next look finds, within LOOK_WITHIN, counts from here."""
        if self._changed_at is None:
            self._changed_at = now

    def look(self, now: float) -> None:
        """Look at everything; to be called whenever something has changed, or soon after."""
        before = self._seen
        self._seen = {}
        if self._changed_at is not None:
            now, self._changed_at = self._changed_at, None
        for kind, radio, address, text in self._present():
            key = (kind, identity_of(radio), address)
            since = before[key].since if key in before else now
            self._seen[key] = _Fault(radio.name, text, since)

    def alarms(self, now: float) -> list[Alarm]:
        """Look again, and return what has been for longer than it may, the oldest first."""
        self.look(now)
        found = [
            Alarm(kind, fault.source, address, fault.since, now - fault.since, fault.text)
            for (kind, _, address), fault in self._seen.items()
            if now - fault.since >= self._settle_time[kind]
        ]
        return sorted(found, key=lambda alarm: alarm.since)

    def _present(self) -> Iterator[_Finding]:
        holders: dict[str, list[Watched]] = defaultdict(list)
        foreign: dict[Watched, Mapping[str, str]] = {}
        for radio in self._radios:
            if isinstance(radio, KeepsLinks) and radio.foreign:
                foreign[radio] = radio.foreign
            if kind := _KIND_OF_STATE.get(radio.state):
                yield kind, radio, None, f"{radio.name}: {radio.problem or radio.state}"
            for address in _judged(radio):
                holders[address].append(radio)
        links = self._links
        for address, radios in holders.items():
            # Nearly all are as they should be, and this is asked whenever a slot changes.
            if len(radios) > 1 or links.get(address) is not radios[0] or radios[0] in foreign:
                yield from self._misplaced(address, radios, foreign)

    def _misplaced(
        self,
        address: str,
        radios: list[Watched],
        foreign_links: Mapping[Watched, Mapping[str, str]],
    ) -> Iterator[_Finding]:
        user = self._links.get(address)
        waited_for = address in self._links and user is None
        for radio in radios:
            if len(radios) > 1:
                others = ", ".join(other.name for other in radios if other is not radio)
                text = f"{radio.name}: it holds a slot for {address}, and so does {others}"
                yield AlarmKind.TWO_RADIOS, radio, address, text
            if foreign := foreign_links.get(radio, {}).get(address):
                text = (
                    f"{radio.name}: it holds a link to {address} that is probably of {foreign}, "
                    "and is left alone"
                )
                yield AlarmKind.FOREIGN, radio, address, text
            elif radio is not user and not waited_for:
                text = (
                    f"{radio.name}: it holds a slot for {address}, which nobody uses; "
                    "restart it if its slots run short"
                )
                yield AlarmKind.ORPHAN, radio, address, text


def _judged(radio: Watched) -> Sequence[str]:
    """Return the holders of a radio's slots, as far as they are ours to judge.

    Those of a proxy that serves another client instead of us, or hangs, are not; nor are those of
    one that serves others beside us: its owner watches them.
    """
    shared = isinstance(radio, SharedRadio) and radio.is_shared
    slots = radio.allocations() if radio.state.is_usable and not shared else None
    return slots.allocated if slots else ()
