"""Faults at random, and the same ones again from the same seed."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from proxyconn_virtual.fault_catalogue import CATALOGUE, FaultName, find_fault
from proxyconn_virtual.owned_tasks import OwnedTasks
from proxyconn_virtual.proxy import VirtualProxy


@dataclass(frozen=True, slots=True)
class PlannedFault:
    """A fault that begins `after` the one before it, and lasts for `duration` (both seconds)."""

    after: float
    name: FaultName
    duration: float


def possible_faults(proxy: VirtualProxy) -> tuple[FaultName, ...]:
    """Return the faults that a proxy may have: those of its firmware, and of its key."""
    return tuple(
        name
        for name, fault in CATALOGUE.items()
        if fault.possible(proxy.profile, encrypted=proxy.noise_psk is not None)
    )


def plan(
    names: Sequence[FaultName], seed: int | str, rate: float, durations: tuple[float, float]
) -> Iterator[PlannedFault]:
    """Yield faults without end; none is planned again before it is over.

    Args:
        names: what to choose from, each as likely as the others.
        seed: the same one gives the same plan.
        rate: faults per second, on average.
        durations: shortest and longest, seconds.
    """
    rng = random.Random(seed)
    over = dict.fromkeys(names, 0.0)
    now = last = 0.0
    while True:
        now += rng.expovariate(rate)
        duration = rng.uniform(*durations)
        name = rng.choice(names)
        if over[name] <= now:
            over[name] = now + duration
            yield PlannedFault(now - last, name, duration)
            last = now


class ChaosFaults:
    """Switches random faults of one proxy on and off; an async context manager.

    Args:
        proxy: the proxy.
        seed: of which fault comes when, and for how long.
        rate: faults per second, on average.
        names: what to choose from; None for all that the proxy may have.
        durations: shortest and longest duration, seconds.
        off: seconds off the air, for the restart that ends what a fault leaves behind.

    Attributes:
        counts: how often each fault was injected.

    Raises:
        FaultError: a name is none, or its fault is not in the firmware of the proxy.
        ValueError: `rate` or a duration is not above 0.
    """

    def __init__(
        self,
        proxy: VirtualProxy,
        *,
        seed: int = 0,
        rate: float = 0.1,
        names: Sequence[str] | None = None,
        durations: tuple[float, float] = (1.0, 60.0),
        off: float = 20.0,
    ) -> None:
        if not (rate > 0 and 0 < durations[0] <= durations[1]):
            raise ValueError(f"rate {rate} or durations {durations} are out of range")
        chosen = possible_faults(proxy) if names is None else tuple(names)
        for name in chosen:
            find_fault(name).check(proxy.profile, encrypted=proxy.noise_psk is not None)
        self.counts: Counter[FaultName] = Counter()
        self._proxy = proxy
        self._seed = seed
        self._off = off
        self._plan = plan([FaultName(n) for n in chosen], f"{seed} {proxy.place}", rate, durations)
        self._active: dict[FaultName, tuple[Callable[[], None], asyncio.TimerHandle]] = {}
        self._tasks = OwnedTasks()

    @property
    def active(self) -> tuple[FaultName, ...]:
        """The faults of this moment."""
        return tuple(self._active)

    async def __aenter__(self) -> Self:
        """Begin."""
        self._tasks.start(self.run(), f"faults of {self._proxy.name}")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Switch every fault off."""
        await self._tasks.close()

    async def run(self) -> None:
        """Inject faults until cancelled, and switch every one off then."""
        try:
            for planned in self._plan:
                await asyncio.sleep(planned.after)
                self._begin(planned)
        finally:
            for name in self.active:
                self._end(name)

    def _begin(self, planned: PlannedFault) -> None:
        name = planned.name
        if name in self._active:
            # Its timer is late; the plan leaves time between two of a kind.
            self._end(name)
        self.counts[name] += 1
        undo = self._proxy.inject(name, seed=self._seed + self.counts[name])
        loop = asyncio.get_running_loop()
        self._active[name] = undo, loop.call_later(planned.duration, self._end, name)

    def _end(self, name: FaultName) -> None:
        undo, timer = self._active.pop(name)
        timer.cancel()
        undo()
        if CATALOGUE[name].lasting:
            self._proxy.reboot(self._off)
