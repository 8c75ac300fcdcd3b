"""What the processes of the fleet benchmark agree on."""

from __future__ import annotations

import dataclasses
import json
import math
from dataclasses import dataclass
from typing import Final, Self

SERVICE: Final = 0xFE00
VALUE: Final = 0xFE01
"""Each session reads it once."""

VALUE_UUID: Final = f"{VALUE:08x}-0000-1000-8000-00805f9b34fb"

_FIRST: Final = 0xC40000000000
"""Address of the first device; a random static one (Core Specification vol 6 B 1.3.2.1)."""


@dataclass(frozen=True)
class Setting:
    """One situation.

    Attributes:
        proxies: how many; all of them hear every device.
        slots: connection slots of each, 1..9.
        devices: how many; each has one session.
        hold: seconds that a session keeps its link after it has read.
        connect_time: seconds that the radio takes to open a link; it opens one at a time.
        seed: of the signal strengths.
    """

    proxies: int
    slots: int
    devices: int
    hold: float
    connect_time: float = 0.3
    seed: int = 1

    def __str__(self) -> str:
        return (
            f"{self.proxies} proxies with {self.slots} slots each, {self.devices} devices, "
            f"{self.hold:g} s each, {self.connect_time:g} s to connect"
        )

    def dump(self) -> str:
        """Return it as text."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def load(cls, text: str) -> Self:
        """Return the setting that was dumped."""
        return cls(**json.loads(text))

    def addresses(self) -> list[str]:
        """Return the address of every device."""
        numbers = (_FIRST + number for number in range(self.devices))
        return [number.to_bytes(6, "big").hex(":").upper() for number in numbers]

    def bound(self) -> float:
        """Return the seconds that no client can beat: every slot in use all the time."""
        rounds = math.ceil(self.devices / (self.proxies * self.slots))
        return rounds * (self.hold + self.connect_time)

    def reachable(self) -> float:
        """Return the seconds that remain when each proxy opens one link at a time, as they do."""
        radios = [0.0] * self.proxies
        slots = [[0.0] * self.slots for _ in radios]
        end = 0.0
        for _ in range(self.devices):
            begin, proxy = min((max(radios[n], min(slots[n])), n) for n in range(self.proxies))
            radios[proxy] = begin + self.connect_time
            slots[proxy].remove(min(slots[proxy]))
            slots[proxy].append(radios[proxy] + self.hold)
            end = max(end, *slots[proxy])
        return end


STANDARD: Final = (
    Setting(proxies=2, slots=3, devices=40, hold=3.0),
    Setting(proxies=5, slots=3, devices=120, hold=2.0),
    Setting(proxies=3, slots=3, devices=30, hold=1.0),
)
"""What is measured unless something else is asked for."""
