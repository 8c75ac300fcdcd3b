"""Failures that fade. Knows no clock: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from proxyconn.state.facts import Memory, NoMemory

FAILURE: Final = "failure"
"""Kind of fact: how much failures of a device through a radio weigh."""

PATH_HALF_LIFE = 30.0
"""Seconds in which a failure of a device on one path loses half its weight."""

RADIO_HALF_LIFE = 60.0
"""Seconds in which a failure counted against a radio loses half its weight."""

FORGOTTEN = 0.05
"""Weight below which a failure is forgotten."""


@dataclass(slots=True)
class Fading:
    """A count that loses half its weight in each half-life."""

    weight: float = 0.0
    at: float = 0.0

    def value(self, now: float, half_life: float) -> float:
        """Return what is left of the count."""
        weight: float = self.weight * 0.5 ** ((now - self.at) / half_life)
        return weight if weight >= FORGOTTEN else 0.0

    def add(self, now: float, half_life: float) -> None:
        """Count one more."""
        self.weight = self.value(now, half_life) + 1.0
        self.at = now


@dataclass(frozen=True, slots=True)
class PathFailure:
    """Failures of a device through a radio: `weight` at the time `at`, halved in each half-life.

    Attributes:
        address: the device.
        radio: identity of the radio.
        weight: how many failures they counted as when the last one was added.
        at: when that was, in seconds.
    """

    address: str
    radio: str
    weight: float
    at: float


@dataclass(slots=True)
class FailureMemory:
    """Which device failed through which radio, by the radio's identity: it outlives the radio.

    Attributes:
        identify: makes an identity of whatever a radio is called; an identity stays what it is.
        state: where those of paths are remembered.
    """

    identify: Callable[[str], str] = field(default=str, compare=False)
    state: Memory = field(default_factory=NoMemory, compare=False)
    _paths: dict[tuple[str, str], Fading] = field(default_factory=dict)
    _radios: dict[str, dict[str, Fading]] = field(default_factory=dict)

    def fail(self, address: str, radio: str, now: float) -> None:
        """Count a failure of a device through a radio."""
        radio = self.identify(radio)
        path = self._paths.setdefault((address, radio), Fading())
        path.add(now, PATH_HALF_LIFE)
        self._radios.setdefault(radio, {})[address] = Fading(1.0, now)
        # It counts from now on, also where it weighs what an earlier one did.
        self.state.drop(FAILURE, radio, address)
        self.state.put(FAILURE, radio, address, value=path.weight)

    def recall(self, now: float) -> None:
        """Take failures of earlier runs into account, as far as they have not faded."""
        for key, weight, age in self.state.facts(FAILURE):
            self._paths[key.device, key.radio] = Fading(weight, now - age)
        self.sweep(now)

    def succeed(self, address: str, radio: str) -> None:
        """Forget the device's failures through a radio, and what is held against the radio."""
        if not (self._paths or self._radios):
            return
        radio = self.identify(radio)
        if self._paths.pop((address, radio), None):
            self.state.drop(FAILURE, radio, address)
        self._radios.pop(radio, None)

    def on_path(self, address: str, radio: str, now: float) -> float:
        """Return the failures of a device through a radio."""
        fading = self._paths.get((address, radio))
        return fading.value(now, PATH_HALF_LIFE) if fading else 0.0

    def on_radio(self, radio: str, now: float, *, but: str) -> float:
        """Return how many devices failed through a radio, all `but` one."""
        return sum(
            fading.value(now, RADIO_HALF_LIFE)
            for address, fading in self._radios.get(radio, {}).items()
            if address != but
        )

    def failures(self, now: float) -> list[PathFailure]:
        """Return what is remembered of paths and has not faded."""
        return [
            PathFailure(address, radio, fading.weight, fading.at)
            for (address, radio), fading in self._paths.items()
            if fading.value(now, PATH_HALF_LIFE)
        ]

    def sweep(self, now: float) -> None:
        """Let go of what has faded."""
        for address, radio in [
            key for key, fading in self._paths.items() if not fading.value(now, PATH_HALF_LIFE)
        ]:
            self.state.drop(FAILURE, radio, address)
        self._paths = {
            key: fading for key, fading in self._paths.items() if fading.value(now, PATH_HALF_LIFE)
        }
        self._radios = {
            radio: left
            for radio, devices in self._radios.items()
            if (
                left := {
                    address: fading
                    for address, fading in devices.items()
                    if fading.value(now, RADIO_HALF_LIFE)
                }
            )
        }
