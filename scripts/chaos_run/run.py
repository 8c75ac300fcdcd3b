"""One run: faults while sessions are held, then none, and what has become of everything."""

from __future__ import annotations

import asyncio
import logging
import time
from contextlib import AsyncExitStack
from typing import Any, Final

from proxyconn_virtual.fleet import VirtualFleet

from . import world
from .clock import LOOPS, StandstillGuard
from .leftovers import Leftovers, Memory, mind_memory
from .peer import Peer
from .record import Record
from .sessions import Device
from .setting import Setting
from .sides import Ours, Side, Way
from .storm import Storm
from .watch import Watch

POLL: Final = 0.1

BEGIN: Final = 30.0
"""Seconds for every proxy to be ready before the storm."""

WARM_UP: Final = 15.0
"""Seconds of sessions before the storm, after which memory is at its level."""

HEALING: Final = 330.0
"""Seconds after the last fault in which every proxy and every device must work again. A proxy that
another client has robbed again and again is left to that one for 300 s."""

FAREWELL: Final = 300.0
"""Seconds in which the last sessions must end: a kept connection lasts for up to 200 s."""

REST: Final = 90.0
"""Seconds in which every slot must come free at the end."""

QUIET: Final = ("aioesphomeapi", "proxyconn", "proxyconn_esphome", "habluetooth", "bleak_esphome")


def sides() -> dict[str, type[Side]]:
    """Return the sides by name."""
    return {"ours": Ours, "peer": Peer}


async def until(met: Any, seconds: float) -> bool:
    """Wait until something holds; False after some seconds."""
    loop = asyncio.get_running_loop()
    end = loop.time() + seconds
    while not met():
        if loop.time() >= end:
            return False
        await asyncio.sleep(POLL)
    return True


class Run:
    """One run."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._record = Record()
        self._side = sides()[setting.side]()
        self._addresses = world.addresses(setting)

    async def run(self) -> dict[str, Any]:
        """Do everything; return what was found."""
        began = time.monotonic()
        loop = asyncio.get_running_loop()
        current = asyncio.current_task()
        assert current
        leftovers = await Leftovers.begin()
        figures: dict[str, Any] = {}
        with StandstillGuard(loop, current.cancel) as guard:
            try:
                async with world.build(self._setting) as house:
                    figures = await self._in(house)
                await leftovers.mind(self._record)
            except asyncio.CancelledError:
                if not guard.tripped:
                    raise
                self._record.violate("nothing goes round and round", "the clock stands still")
        return {
            "setting": self._setting.dump(),
            **self._record.dump(),
            **figures,
            "on the clock": round(self._record.now, 1),
            "in the world": round(time.monotonic() - began, 1),
        }

    async def _in(self, house: VirtualFleet) -> dict[str, Any]:
        storm = Storm(self._setting, house.proxies.values())
        async with AsyncExitStack() as stack:
            ways = [Way(one.host, one.port, one.noise_psk) for one in house.proxies.values()]
            await self._side.start(stack, ways)
            devices = [
                Device(self._setting, number, address, self._side, self._record)
                for number, address in enumerate(self._addresses)
            ]
            watch = Watch(self._side, house.proxies, devices, storm, self._record)
            await self._demand(self._all_ready, BEGIN, "every proxy is ready")
            async with asyncio.TaskGroup() as group:
                looking = group.create_task(watch.run())
                tasks = [group.create_task(device.run()) for device in devices]
                memory = await self._weather(storm)
                for device in devices:
                    device.stop()
                await self._demand(
                    lambda: all(task.done() for task in tasks), FAREWELL, "every session ends"
                )
                looking.cancel()
            await self._demand(lambda: not watch.unsettled(), REST, "every slot comes free")
            if why := watch.unsettled():
                self._record.violate("every slot comes free", why)
            mind_memory(*memory, self._record)
        await self._mind_proxies(house)
        counts = storm.counts
        return {
            "faults": counts.total(),
            "by name": {str(name): count for name, count in counts.most_common()},
            "refused": watch.refused.total(),
            "memory": [f"{one.resident / 1e6:.1f} MB, {one.blocks} blocks" for one in memory],
        }

    async def _weather(self, storm: Storm) -> tuple[Memory, Memory]:
        """Let faults begin and end; return the memory in use before and after."""
        await asyncio.sleep(WARM_UP)
        before = Memory.now()
        self._record.storm()
        await storm.rage(self._setting.seconds)
        self._record.calm(self._addresses)
        await self._demand(self._all_ready, HEALING, "every proxy heals")
        await self._demand(lambda: not self._record.awaited, HEALING, "every device heals")
        return before, Memory.now()

    def _all_ready(self) -> bool:
        return self._side.ready() == self._setting.proxies

    async def _demand(self, met: Any, seconds: float, what: str) -> None:
        if not await until(met, seconds):
            detail = f"not within {seconds:g} s; {self._side.unready()}"
            if self._record.awaited:
                detail += f"; {', '.join(sorted(self._record.awaited))}"
            self._record.violate(what, detail)

    async def _mind_proxies(self, house: VirtualFleet) -> None:
        """See to it that nobody is left at the other end of the wire."""

        def gone() -> bool:
            snapshots = [proxy.snapshot() for proxy in house.proxies.values()]
            return not any(snapshot.clients or snapshot.subscriber for snapshot in snapshots)

        await self._demand(gone, REST, "no session or subscription outlives its owner")
        left = [proxy.name for proxy in house.proxies.values() if len(proxy.injectors) > 1]
        if left:
            self._record.violate("every fault ends", ", ".join(left))


async def _run(setting: Setting) -> dict[str, Any]:
    return await Run(setting).run()


def run(setting: Setting) -> dict[str, Any]:
    """Make one run on a loop of its own; return what was found."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)
    loop = LOOPS[setting.clock]()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(_run(setting))
    finally:
        asyncio.set_event_loop(None)
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
