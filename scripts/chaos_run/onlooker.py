"""A second program, which only looks at the proxies while another one uses them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from typing import Final

from proxyconn import Fleet, Proxy, RadioState, Subscribe

from .record import Record
from .setting import Setting
from .sides import Way

LOOK_EVERY: Final = 0.5
"""Seconds between two looks."""

LONGEST_PAUSE: Final = 5.0
"""Seconds at most between two of its lives."""

LONGEST_LIFE: Final = 20.0
"""Seconds that it looks on, at most."""


class Onlooker:
    """Comes, looks at slots for a while and goes, again and again.

    Attributes:
        looks: proxies that it has seen with their slots, one for each look.
    """

    def __init__(self, setting: Setting, ways: Sequence[Way], record: Record) -> None:
        self._draw = random.Random(f"onlooker {setting.seed}")
        self._proxies = [Proxy(way.host, way.port, noise_psk=way.key) for way in ways]
        self._record = record
        self.looks = 0

    async def run(self) -> None:
        """Look until cancelled."""
        while True:
            await asyncio.sleep(self._draw.uniform(0.0, LONGEST_PAUSE))
            async with Fleet(
                self._proxies, discover=False, subscribe=Subscribe.NEVER, state=None, owner=False
            ) as fleet:
                for _ in range(int(self._draw.uniform(1.0, LONGEST_LIFE) / LOOK_EVERY)):
                    await asyncio.sleep(LOOK_EVERY)
                    self._look(fleet)

    def _look(self, fleet: Fleet) -> None:
        ready = [radio for radio in fleet.radios if radio.state is RadioState.READY]
        self.looks += sum(radio.allocations() is not None for radio in ready)
        # What a proxy hears goes to its subscriber alone.
        if heard := fleet.devices:
            self._record.violate("who only looks takes nothing", f"it heard {heard[0].address}")
