"""Failures that fade. Knows no clock: the time is an argument."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

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
    """

    identify: Callable[[str], str] = field(default=str, compare=False)
    _paths: dict[tuple[str, str], Fading] = field(default_factory=dict)
    _radios: dict[str, dict[str, Fading]] = field(default_factory=dict)

    def fail(self, address: str, radio: str, now: float) -> None:
        """Count a failure of a device through a radio."""
        radio = self.identify(radio)
        self._paths.setdefault((address, radio), Fading()).add(now, PATH_HALF_LIFE)
        self._radios.setdefault(radio, {})[address] = Fading(1.0, now)

    def recall(self, address: str, radio: str, weight: float, at: float) -> None:
        """Take failures of an earlier run into account: what they weighed at a time."""
        self._paths[address, radio] = Fading(weight, at)

    def succeed(self, address: str, radio: str) -> None:
        """Forget the device's failures through a radio, and what is held against the radio."""
        if not (self._paths or self._radios):
            return
        radio = self.identify(radio)
        self._paths.pop((address, radio), None)
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
