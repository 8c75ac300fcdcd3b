"""What a named fault is: words, where it exists, its argument, and how it is switched on."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from google.protobuf.message import Message

from proxyconn_native_api.listener import ApiServer
from proxyconn_virtual.events import ProxyEvent
from proxyconn_virtual.faults import Injector, Injectors
from proxyconn_virtual.firmware.bluetooth import Bluetooth
from proxyconn_virtual.firmware.profiles import KNOWN, FirmwareProfile
from proxyconn_virtual.firmware.spec import ProxySpec
from proxyconn_virtual.firmware.subscription import Subscription

Undo = Callable[[], None]

Value = float | int | str | None
"""An argument; an address is its 48 bits as a number, and None is any device or every time."""


class FaultError(ValueError):
    """A fault cannot be switched on; the text says which can, or what it takes."""


class FaultyProxy(Protocol):
    """A virtual proxy, as far as faults reach into it."""

    @property
    def name(self) -> str:
        """Node name."""
        ...

    @property
    def spec(self) -> ProxySpec:
        """What it was made of."""
        ...

    @property
    def profile(self) -> FirmwareProfile:
        """The firmware it behaves like."""
        ...

    @property
    def noise_psk(self) -> str | None:
        """Its key in base64, or None."""
        ...

    @property
    def injectors(self) -> Injectors:
        """Consulted for every message and radio event."""
        ...

    @property
    def server(self) -> ApiServer:
        """Its listening socket and its sessions."""
        ...

    @property
    def bluetooth(self) -> Bluetooth:
        """Its slots and links; another one after each boot."""
        ...

    @property
    def subscription(self) -> Subscription:
        """Its one subscriber; another one after each boot."""
        ...

    def send_subscriber(self, message: Message) -> object:
        """Send a message to the subscriber, if there is one."""

    def add_observer(self, observer: Callable[[ProxyEvent], None]) -> Undo:
        """Have `observer` called with every event; return what ends it (idempotent)."""
        ...

    def reboot(self, off: float, *, farewell: bool = False) -> None:
        """Go off the air, with a goodbye to the clients or without, for `off` seconds."""


class Kind(Enum):
    """What an argument is."""

    SECONDS = "SECONDS"
    COUNT = "COUNT"
    """How often; a whole number from 1."""
    SHARE = "SHARE"
    """A probability, above 0 and up to 1."""
    ADDRESS = "ADDRESS"
    """Six colon-separated hex octets."""
    NUMBER = "NUMBER"
    """A whole number from 0, such as an MTU in bytes or a status."""
    CHOICE = "CHOICE"
    """One of some words."""


@dataclass(frozen=True, slots=True)
class Argument:
    """What a fault takes.

    Attributes:
        kind: what it is, and its unit.
        text: what it says, in a few words.
        default: without it.
        choices: the words of a CHOICE.
    """

    kind: Kind
    text: str
    default: Value = None
    choices: Sequence[str] = ()

    def parse(self, given: str | float | None) -> Value:
        """Return the value of what was given. Raises ValueError."""
        if given is None:
            return self.default
        text = str(given).strip()
        match self.kind:
            case Kind.SECONDS | Kind.SHARE:
                return _positive(text, most=1.0 if self.kind is Kind.SHARE else math.inf)
            case Kind.COUNT | Kind.NUMBER:
                return _whole(text, least=1 if self.kind is Kind.COUNT else 0)
            case Kind.ADDRESS:
                octets = bytes.fromhex(text.replace(":", ""))
                if len(octets) != 6:
                    raise ValueError(f"{text} is not six octets")
                return int.from_bytes(octets, "big")
            case Kind.CHOICE:
                if text not in self.choices:
                    raise ValueError(f"{text} is none of {', '.join(self.choices)}")
                return text


def _positive(text: str, *, most: float) -> float:
    value = float(text)
    if not (0 < value <= most and math.isfinite(value)):
        raise ValueError(f"{text} is out of range")
    return value


def _whole(text: str, *, least: int) -> int:
    value = int(text)
    if value < least:
        raise ValueError(f"{text} is less than {least}")
    return value


@dataclass(frozen=True, slots=True)
class Stage:
    """Where a fault is switched on.

    Attributes:
        proxy: the proxy that has it.
        value: its argument.
        rng: all that is random in it.
    """

    proxy: FaultyProxy
    value: Value
    rng: random.Random

    @property
    def number(self) -> float:
        """The argument as seconds, or as a share."""
        return float(self.value or 0.0)

    @property
    def count(self) -> int | None:
        """The argument as a whole number, an address included; None if there is none."""
        return None if self.value is None else int(self.value)

    def add(self, injector: Injector) -> Undo:
        """Put an injector before those of earlier faults; return what takes it out."""
        injectors = self.proxy.injectors
        injectors.append(injector)

        def remove() -> None:
            # Two faults of one kind may have injectors that are equal.
            for place, one in enumerate(injectors):
                if one is injector:
                    del injectors[place]
                    return

        return remove


def nowhere(profile: FirmwareProfile) -> bool:
    """For what no firmware does by itself."""
    return False


def everywhere(profile: FirmwareProfile) -> bool:
    """For what every firmware has."""
    return True


def until_2026_7(profile: FirmwareProfile) -> bool:
    """For what ended when slot and stack got a state each."""
    return not profile.backend


@dataclass(frozen=True, slots=True)
class Where:
    """Which firmware has a fault.

    Attributes:
        holds: whether one has it.
        otherwise: why the others have it not, in a few words.
    """

    holds: Callable[[FirmwareProfile], bool]
    otherwise: str


EVERYWHERE: Final = Where(everywhere, "")
UNTIL_2026_7: Final = Where(until_2026_7, "since 2026.8 slot and stack have a state each")

ONLY_SCANS: Final = "it opens no connections"
"""Why a proxy that only scans has no fault of links."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """One fault.

    Attributes:
        name: its name.
        text: what goes wrong, in a sentence.
        source: how it is known: ESPHome release or pull request, or code it follows from.
        switch: switches it on, and returns what switches it off.
        argument: what it takes, if anything.
        exists: which firmware has it.
        always: whether a firmware is like that by itself; then the fault forces the occasion, or
            does nothing if `text` does not say so.
        lasting: what it did outlives it until the proxy restarts.
        needs_key: it is none of a proxy without a key.
        of_scanners: a proxy that only scans can have it too.
    """

    name: str
    text: str
    source: str
    switch: Callable[[Stage], Undo]
    argument: Argument | None = None
    exists: Where = EVERYWHERE
    always: Callable[[FirmwareProfile], bool] = nowhere
    lasting: bool = False
    needs_key: bool = False
    of_scanners: bool = False

    @property
    def profiles(self) -> tuple[str, ...]:
        """Names of the firmware profiles that have it."""
        return tuple(name for name, profile in KNOWN.items() if self.why_not(profile) is None)

    @property
    def always_in(self) -> tuple[str, ...]:
        """Names of the firmware profiles that are like that by themselves."""
        return tuple(name for name in self.profiles if self.always(KNOWN[name]))

    def switch_on(
        self, proxy: FaultyProxy, given: str | float | None = None, *, seed: int = 0
    ) -> Undo:
        """Switch it on for a proxy; return what switches it off (idempotent). Raises FaultError."""
        self.check(proxy.profile, encrypted=proxy.noise_psk is not None)
        value = self.parse(given)
        undo = self.switch(Stage(proxy, value, random.Random(f"{seed} {self.name}")))
        done = False

        def once() -> None:
            nonlocal done
            if not done:
                done = True
                undo()

        return once

    def why_not(self, firmware: FirmwareProfile) -> str | None:
        """Return why a proxy with this firmware cannot have it, in a few words; None if it can."""
        if not firmware.connects and not self.of_scanners:
            return ONLY_SCANS
        return None if self.exists.holds(firmware) else self.exists.otherwise

    def possible(self, firmware: FirmwareProfile, *, encrypted: bool) -> bool:
        """Whether a proxy with this firmware, and a key or not, can have it."""
        return self.why_not(firmware) is None and (encrypted or not self.needs_key)

    def check(self, firmware: FirmwareProfile, *, encrypted: bool) -> None:
        """Raise FaultError if a proxy with this firmware, and a key or not, cannot have it."""
        why_not = self.why_not(firmware)
        if why_not is not None:
            raise FaultError(
                f"ESPHome {firmware.version} on {firmware.platform} has no fault {self.name!r}: "
                f"{why_not}; these have: {', '.join(self.profiles)}"
            )
        if self.needs_key and not encrypted:
            raise FaultError(f"fault {self.name!r} needs a proxy that encrypts")

    def parse(self, given: str | float | None) -> Value:
        """Return the value of an argument. Raises FaultError."""
        if self.argument is None:
            if given is not None:
                raise FaultError(f"fault {self.name!r} takes no argument")
            return None
        try:
            return self.argument.parse(given)
        except ValueError as error:
            raise FaultError(
                f"fault {self.name!r}: {error}; it takes {self.argument.kind.value}: "
                f"{self.argument.text}"
            ) from None


def together(*undos: Undo) -> Undo:
    """Return what does several things, in the order given."""

    def undo() -> None:
        for one in undos:
            one()

    return undo


FOREIGN: Final = 0xC0FFEE000000
"""First address of the devices that nobody of ours wants; a random static one."""
