"""Failures that fade. Knows no clock: the time is an argument."""

from __future__ import annotations

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


@dataclass(slots=True)
class FailureMemory:
    """Which device failed through which radio, by the radio's name: it outlives the radio."""

    _paths: dict[tuple[str, str], Fading] = field(default_factory=dict)
    _radios: dict[str, dict[str, Fading]] = field(default_factory=dict)

    def fail(self, address: str, radio: str, now: float) -> None:
        """Count a failure of a device through a radio."""
        self._paths.setdefault((address, radio), Fading()).add(now, PATH_HALF_LIFE)
        self._radios.setdefault(radio, {})[address] = Fading(1.0, now)

    def succeed(self, address: str, radio: str) -> None:
        """Forget the device's failures through a radio, and what is held against the radio."""
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
