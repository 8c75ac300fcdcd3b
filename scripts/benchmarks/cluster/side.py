"""Some owners with their proxies, in one cluster or each in one of its own, and what they use."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import fmean
from typing import Final

from scripts.benchmarks.process import Process

from . import world
from .members import started
from .size import Size

STATE: Final = {"do": "state"}


@dataclass(frozen=True)
class Window:
    """What went on for some seconds.

    Attributes:
        used: CPU seconds per second of each owner.
        sent: advertisements a second that proxies sent.
        program: CPU seconds per second of a program that hears them, on average; 0 without any.
        heard: advertisements a second that reached the programs, together.
    """

    used: list[float]
    sent: float
    program: float
    heard: float

    @property
    def owner(self) -> float:
        """CPU seconds per second of an owner, on average."""
        return fmean(self.used)


class Side:
    """Owners that share out some proxies; call `ready` before anything else.

    Args:
        stack: ends every process.
        url: of the broker.
        size: how much is measured.
        owners, proxies: how many, all together.
        apart: whether each owner is alone in a cluster of its own, with what it has all the same.
    """

    def __init__(
        self,
        stack: ExitStack,
        url: str,
        size: Size,
        owners: int,
        proxies: int,
        *,
        apart: bool = False,
    ) -> None:
        self._stack, self._url, self._size = stack, url, size
        names = [f"proxy-{number}" for number in range(proxies)]
        self._air = Process(
            stack, "adverts.server", str(world.DEVICES), str(world.CHANGING), *names
        )
        ways = self._air.hear()
        self._fleets = [f"apart-{number}" for number in range(owners)] if apart else ["together"]
        self._owners = [
            started(
                stack,
                "owner",
                f"owner-{number}",
                url,
                ways[number::owners],
                size.lease,
                self._fleets[number % len(self._fleets)],
            )
            for number in range(owners)
        ]
        self._programs: list[Process] = []

    def ready(self) -> None:
        """Wait until every owner has its proxies, and knows every device."""
        for owner in self._owners:
            owner.hear()
        self._hear(self._size.settle)

    def listen(self) -> None:
        """Have a program of each cluster want to hear everything from now on."""
        self._programs = [
            started(self._stack, "program", "program", self._url, [], self._size.lease, fleet)
            for fleet in self._fleets
        ]
        for program in self._programs:
            program.hear()
            program.ask({"do": "listen", "on": True})
        self._hear(self._size.settle / 2)

    def window(self) -> Window:
        """Have the proxies hear for a while; return what that took."""
        everybody = [*self._owners, *self._programs]
        before = [one.ask(STATE) for one in everybody]
        began = time.perf_counter()
        sent = self._hear(self._size.seconds)
        passed = time.perf_counter() - began
        after = [one.ask(STATE) for one in everybody]

        def grew(name: str) -> list[float]:
            pairs = zip(before, after, strict=True)
            return [(later[name] - earlier[name]) / passed for earlier, later in pairs]

        used, count = grew("cpu"), len(self._owners)
        return Window(used[:count], sent / passed, _mean(used[count:]), sum(grew("heard")[count:]))

    def _hear(self, seconds: float) -> float:
        """Have proxies hear for a while; return how many advertisements."""
        order = {"rate": world.RATE, "seconds": seconds, "spread": True}
        sent: float = self._air.ask(order)["adverts"]
        return sent


def _mean(of: Sequence[float]) -> float:
    return fmean(of) if of else 0.0
