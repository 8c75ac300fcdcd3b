"""One run: faults while sessions are held, then none, and what has become of everything."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any, Final

from proxyconn_virtual.fleet import VirtualFleet

from . import world
from .clock import LOOPS, StandstillGuard
from .guest_loop import GuestLoop
from .leftovers import Leftovers, Memory, mind_memory
from .onlooker import Onlooker
from .owned import Owned
from .peer import Peer
from .record import Record
from .sessions import Device
from .setting import Setting
from .sides import Ours, Side, Way
from .signals import SignalWatch
from .storm import Storm
from .truth import Wanting
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


def side_of(setting: Setting, record: Record) -> Side:
    """Return whose clients have the sessions."""
    match setting.side:
        case "owner":
            return Owned(setting, record)
        case "peer":
            return Peer()
    return Ours()


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
        self._side = side_of(setting, self._record)
        self._addresses = world.addresses(setting)
        self._disordered: list[str] = []

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
                async with world.build(self._setting, self._disordered) as house:
                    figures = await self._in(house)
                for detail in self._disordered:
                    self._record.violate("commands come in order, and once", detail)
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
            guest = stack.enter_context(contextlib.closing(GuestLoop(asyncio.get_running_loop())))
            devices = await self._devices(stack)
            onlooker = Onlooker(self._setting, ways, self._record)
            watch = Watch(
                self._side, house.proxies, (*devices, *self._guests()), storm, self._record
            )
            signals = SignalWatch(self._side, house, self._record)
            await self._demand(self._all_ready, BEGIN, "every proxy is ready")
            async with asyncio.TaskGroup() as group:
                looking = [group.create_task(one.run()) for one in (watch, onlooker, signals)]
                tasks = [
                    group.create_task(guest.run(device.run()) if elsewhere else device.run())
                    for device, elsewhere in devices.items()
                ]
                memory = await self._weather(storm)
                for device in devices:
                    device.stop()
                await self._demand(
                    lambda: all(task.done() for task in tasks), FAREWELL, "every session ends"
                )
                for task in looking:
                    task.cancel()
            await self._demand(lambda: not watch.unsettled(), REST, "every slot comes free")
            if why := watch.unsettled():
                self._record.violate("every slot comes free", why)
            mind_memory(*memory, self._record)
        await self._mind_proxies(house)
        counts: Counter[str] = Counter(storm.counts)
        if isinstance(self._side, Owned):
            counts += self._side.counts
        return {
            "faults": counts.total(),
            "by name": {str(name): count for name, count in counts.most_common()},
            "looks": onlooker.looks,
            "refused": watch.refused.total(),
            "memory": [f"{one.resident / 1e6:.1f} MB, {one.blocks} blocks" for one in memory],
        }

    async def _devices(self, stack: AsyncExitStack) -> dict[Device, bool]:
        """Return every device, and whether it is used from another loop."""
        share = self._setting.elsewhere if isinstance(self._side, Ours) else 0
        other = (
            await self._side.elsewhere(stack) if share and isinstance(self._side, Ours) else None
        )
        devices: dict[Device, bool] = {}
        for number, address in enumerate(self._addresses):
            # Those that are kept come first.
            elsewhere = other is not None and number % share == 1 % share
            side = other if other and elsewhere else self._side
            device = Device(self._setting, number, address, side, self._record, insistent=elsewhere)
            devices[device] = elsewhere
        return devices

    async def _weather(self, storm: Storm) -> tuple[Memory, Memory]:
        """Let faults begin and end; return the memory in use before and after."""
        await asyncio.sleep(WARM_UP)
        before = Memory.now()
        self._record.storm()
        async with asyncio.TaskGroup() as group:
            if self._setting.strikes != "clients":
                group.create_task(storm.rage(self._setting.seconds))
            if isinstance(self._side, Owned) and self._setting.strikes != "proxies":
                group.create_task(self._side.rage(self._setting.seconds))
        self._record.calm(self._addresses)
        await self._demand(self._all_ready, HEALING, "every proxy heals")
        await self._demand(lambda: not self._record.awaited, HEALING, "every device heals")
        if isinstance(self._side, Owned):
            await self._side.forget()
        return before, Memory.now()

    def _guests(self) -> Sequence[Wanting]:
        return self._side.guests if isinstance(self._side, Owned) else ()

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
        left = [proxy.place for proxy in house.proxies.values() if len(proxy.injectors) > 1]
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
