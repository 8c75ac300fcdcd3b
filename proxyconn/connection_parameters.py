"""Connection parameters, checked before anything is sent."""

from __future__ import annotations

from dataclasses import dataclass

INTERVAL_RANGE = (6, 3200)
"""1.25 ms units (Core Specification vol 4 E 7.8.18: 0x0006 to 0x0C80)."""

MAX_LATENCY = 499
"""Connection events (Core Specification vol 4 E 7.8.18: 0x01F3)."""

TIMEOUT_RANGE = (10, 3200)
"""10 ms units (Core Specification vol 4 E 7.8.18: 0x000A to 0x0C80)."""


@dataclass(frozen=True, slots=True)
class ConnectionParameters:
    """Parameters of a link, within the bounds of the Core Specification (vol 4 E 7.8.18).

    Attributes:
        min_interval: shortest connection interval, 6 to 3200, in 1.25 ms.
        max_interval: longest connection interval, `min_interval` to 3200, in 1.25 ms.
        latency: connection events the peripheral may skip, 0 to 499.
        timeout: supervision timeout, 10 to 3200, in 10 ms, longer than
            (1 + latency) * max_interval * 2.

    Raises:
        ValueError: names the bound that was broken.
    """

    min_interval: int
    max_interval: int
    latency: int
    timeout: int

    def __post_init__(self) -> None:
        low, high = INTERVAL_RANGE
        if not low <= self.min_interval <= high:
            raise ValueError(f"min_interval must be {low} to {high}, not {self.min_interval}")
        if not self.min_interval <= self.max_interval <= high:
            raise ValueError(
                f"max_interval must be {self.min_interval} (min_interval) to {high}, "
                f"not {self.max_interval}"
            )
        if not 0 <= self.latency <= MAX_LATENCY:
            raise ValueError(f"latency must be 0 to {MAX_LATENCY}, not {self.latency}")
        low, high = TIMEOUT_RANGE
        if not low <= self.timeout <= high:
            raise ValueError(f"timeout must be {low} to {high}, not {self.timeout}")
        if self.timeout * 4 <= (1 + self.latency) * self.max_interval:
            needed = (1 + self.latency) * self.max_interval // 4 + 1
            raise ValueError(
                f"timeout must be at least {needed} for this latency and max_interval "
                f"(longer than (1 + latency) * max_interval * 2), not {self.timeout}"
            )
