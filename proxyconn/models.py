"""Values that cross the boundary between the core, the radios and the user."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, StrEnum

NO_RSSI_VALUE = -127
"""dBm that stands for "no RSSI" (Core Specification vol 4 E 7.7.65.2 reserves +127 for it)."""

RSSI_SWITCH_THRESHOLD = 5
"""dB by which another path must be better before it replaces a working one."""


@dataclass(slots=True)
class Allocations:
    """The connection slots of one radio.

    Attributes:
        adapter: name of the proxy, or of the adapter (`hciN`).
        slots: how many there are.
        free: how many are not taken.
        allocated: addresses that hold one.
    """

    adapter: str
    slots: int
    free: int
    allocated: list[str]


class Subscribe(StrEnum):
    """Whether proxies are asked for the one subscription that each of them grants.

    All that a proxy hears, and every answer about a link, goes to the holder of the subscription.
    """

    ALWAYS = "always"
    """Ask; from ESPHome 2026.7 on that takes it from another client, which hears nothing of its
    links from then on."""
    IF_FREE = "if free"
    """Ask, but leave alone a proxy of 2026.7 or later through which another client holds links. A
    client that only listens does not show: it is robbed."""
    NEVER = "never"
    """Only look: the radios, their versions and their slots; nothing is heard or connected."""


def subscription(subscribe: Subscribe, take: bool | None) -> Subscribe:
    """Return what is meant by both; `take` is None where only the other one is said.

    Raises:
        ValueError: they contradict each other.
    """
    if take is None:
        return subscribe
    meant = Subscribe.ALWAYS if take else Subscribe.IF_FREE
    if subscribe not in (meant, Subscribe.ALWAYS):
        raise ValueError(
            f"take={take} and subscribe={subscribe.name} contradict each other; leave one out"
        )
    return meant


class AllocationChange(Enum):
    """What happened to a slot."""

    ALLOCATED = "allocated"
    RELEASED = "released"


@dataclass(frozen=True, slots=True)
class AllocationChangeEvent:
    """A slot was taken or given back; all who are told of it share it.

    Attributes:
        change: which of the two.
        path: BlueZ object path, or `<proxy>/<address>`.
        adapter: name of the proxy or adapter.
        address: the device.
    """

    change: AllocationChange
    path: str
    adapter: str
    address: str


class ScanMode(StrEnum):
    """How radios scan (Core Specification vol 6 B 4.4.3)."""

    ACTIVE = "active"
    """Ask every device for its scan response; costs the devices energy."""
    PASSIVE = "passive"
    """Only listen."""
    AUTO = "auto"
    """Listen, and ask for scan responses for a while when somebody needs one."""


def scan_mode(value: ScanMode | str | None) -> ScanMode | None:
    """Return the mode that a user wrote. Raises ValueError if it is none."""
    try:
        return None if value is None else ScanMode(value)
    except ValueError:
        raise ValueError(f"scan must be {', '.join(ScanMode)} or None, not {value!r}") from None


class RadioState(StrEnum):
    """How a radio is doing."""

    CONNECTING = "connecting"
    """Its session is being set up."""
    READY = "ready"
    """It scans, and connects if it can."""
    DENIED = "denied"
    """Another client holds its one advertisement subscription."""
    ROBBED = "robbed"
    """Another client took over the subscription that was ours."""
    SILENT = "silent"
    """Its session is up, and it hears nothing."""
    WEDGED = "wedged"
    """Its session is up, but it hangs in an attempt to connect: it neither scans nor connects."""
    WRONG_KEY = "wrong key"
    """It refused the encryption key, or wants one, or does not encrypt at all."""
    WRONG_PASSWORD = "wrong password"
    """It refused the API password, or wants one."""
    GONE = "gone"
    """There is no session."""

    @property
    def is_usable(self) -> bool:
        """Whether a radio in this state opens links; one that hears nothing may well connect."""
        return self in (RadioState.READY, RadioState.SILENT)


class Level(StrEnum):
    """How much a finding matters."""

    OK = "ok"
    """As it should be."""
    NOTE = "note"
    """Worth knowing; nothing has to be done."""
    WARNING = "warning"
    """It works, but less well than it could, or not for everything."""
    PROBLEM = "problem"
    """Something does not work."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at, and how it is.

    Attributes:
        check: what was looked at; these names are stable.
        level: how much it matters.
        subject: the radio, or the device on the network, that it is about; None for this machine.
        seen: what was seen, in a sentence without secrets.
        advice: what to do about it; None if nothing has to be done.
    """

    check: str
    level: Level
    subject: str | None
    seen: str
    advice: str | None = None
