"""What one run is about; together with the code it decides everything that is drawn by lot."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True, slots=True)
class Setting:
    """One run.

    Attributes:
        seed: of every decision.
        seconds: how long faults are injected, on the clock of the run.
        proxies: how many, each with a firmware of its own.
        twins: pairs of proxies that have one name; our side only.
        devices: how many; each is heard by up to three proxies.
        slots: connection slots of each proxy, 1..9.
        rate: faults per second at each proxy, on average.
        shortest, longest: how long a fault lasts, seconds.
        off: seconds that a proxy is away when it restarts.
        pause: seconds between two sessions of a device, at most.
        kept: of so many devices one is kept connected; 0 for none.
        elsewhere: of so many devices one is used from another event loop; 0 for none.
        clock: "virtual", which leaps over all waiting, or "real".
        side: "ours", "peer", or "owner": several programs of ours that share one owner.
        programs: how many share the owner.
        strikes: whom the faults strike: "proxies", "clients" of the owner, or "both".
    """

    seed: int = 1
    seconds: float = 120.0
    proxies: int = 12
    twins: int = 2
    devices: int = 36
    slots: int = 3
    rate: float = 0.8
    shortest: float = 0.5
    longest: float = 12.0
    off: float = 4.0
    pause: float = 2.0
    kept: int = 6
    elsewhere: int = 4
    clock: str = "virtual"
    side: str = "ours"
    programs: int = 3
    strikes: str = "proxies"

    def dump(self) -> dict[str, Any]:
        """Return it as JSON-able values."""
        return dataclasses.asdict(self)

    def text(self) -> str:
        """Return it as JSON."""
        return json.dumps(self.dump())

    @classmethod
    def load(cls, text: str) -> Self:
        """Return what `text` said."""
        return cls(**json.loads(text))
