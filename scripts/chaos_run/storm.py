"""Random faults at every proxy, and what they excuse."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from proxyconn_virtual.chaos import ChaosFaults
from proxyconn_virtual.fault_catalogue import FaultName
from proxyconn_virtual.proxy import VirtualProxy

from .setting import Setting
from .signals import RssiHoles

EXCUSES: Final = frozenset(
    {
        FaultName.WEDGED_CONNECTING,
        FaultName.HALF_OPEN_TCP,
        FaultName.SLOT_MISMATCH,
        FaultName.STALE_SUBSCRIBER,
        FaultName.SUBSCRIBER_STOLEN,
    }
)
"""Faults under which no client can free a slot, or know of it: the attempt that occupies it never
ends; nothing reaches the proxy; its reports are wrong; it serves another client."""


class Storm:
    """The faults of a run.

    Args:
        setting: how many, and of which seed.
        proxies: who has them.
        names: what to choose from; None for all that a proxy may have.

    Attributes:
        counts: how often each was injected.
    """

    def __init__(
        self,
        setting: Setting,
        proxies: Iterable[VirtualProxy],
        names: Sequence[str] | None = None,
    ) -> None:
        self._seed = setting.seed
        self._proxies = tuple(proxies)
        self._faults = {
            proxy.place: ChaosFaults(
                proxy,
                seed=setting.seed,
                rate=setting.rate,
                names=names,
                durations=(setting.shortest, setting.longest),
                off=setting.off,
            )
            for proxy in self._proxies
        }
        self._excused_until: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()

    @property
    def counts(self) -> Counter[FaultName]:
        """How often each fault was injected."""
        return sum((faults.counts for faults in self._faults.values()), Counter())

    async def rage(self, seconds: float) -> None:
        """Inject faults for so long, and end every one of them; signals are missing meanwhile."""
        holes = [(proxy, RssiHoles(f"holes {self._seed} {proxy.name}")) for proxy in self._proxies]
        for proxy, hole in holes:
            proxy.injectors.append(hole)
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for faults in self._faults.values():
                    group.create_task(faults.run())
        except TimeoutError:
            pass
        finally:
            for proxy, hole in holes:
                proxy.injectors.remove(hole)

    def look(self) -> None:
        """Take note of the faults that excuse something now; to be called again and again."""
        now = self._loop.time()
        for name, faults in self._faults.items():
            if EXCUSES.intersection(faults.active):
                self._excused_until[name] = now

    def excused(self, place: str) -> float:
        """Return until when the proxy at a place was excused, in the loop's seconds."""
        return self._excused_until.get(place, float("-inf"))
