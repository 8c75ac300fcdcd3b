"""Stories of proxies that went wrong, and how it healed: each one is a claim that is checked."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import MappingProxyType

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioState,
    Retry,
    establish_connection,
    keep_connected,
)
from proxyconn.cli.display.rows import proxy_row
from proxyconn.cli.display.tables import proxies_table
from proxyconn.radio import Radio
from proxyconn_virtual import events
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.commands.demo_calls import dial_in
from proxyconn_virtual.commands.demo_stage import Stage
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

HALL, STUDY = "hall", "study"
LAMP, THERMOMETER = "Lamp", "Thermometer"

BRIGHTNESS = "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10"
"""The characteristic that the lamp notifies."""

PATIENCE = 900.0
"""Seconds of the story's clock for anything that is to happen."""

ADVERTISING_INTERVAL = 2.0
"""Seconds; the fewer there are, the sooner the story is told."""

FADED = 240.0
"""Seconds of the story's clock after which an old failure does not count any more."""


@dataclass
class Scene:
    """Two proxies that hear every device, and an app that uses them.

    Attributes:
        stage: where the story is told.
        house: the virtual proxies and devices.
        fleet: the app's fleet.
        retries: the attempts that failed, device by device.
    """

    stage: Stage
    house: VirtualFleet
    fleet: Fleet
    retries: list[tuple[str, Retry]] = field(default_factory=list)

    @property
    def hall(self) -> VirtualProxy:
        """The proxy that the story is about."""
        return self.house.proxies[HALL]

    def address(self, name: str) -> str:
        """Return the address of a device."""
        return next(one.address for one in self.house.peripherals if one.name == name)

    def radio(self, name: str) -> Radio:
        """Return a proxy as the app sees it."""
        return next(one for one in self.fleet.radios if one.name == name)

    def linked(self, name: str, proxy: str) -> bool:
        """Whether a proxy holds a slot for a device."""
        slots = self.house.proxies[proxy].snapshot().slots
        return any(address == self.address(name) for address, _ in slots)

    def show(self) -> None:
        """Print the proxies, and what is wrong with each."""
        rows = [proxy_row(radio) for radio in sorted(self.fleet.radios, key=lambda one: one.name)]
        self.stage.show(proxies_table(rows))
        for row in rows:
            if row["problem"]:
                self.stage.say(f"{row['name']}: {row['problem']}")

    async def until(self, state: RadioState) -> None:
        """Wait until the hall's proxy is in a state. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while self.radio(HALL).state is not state:  # noqa: ASYNC110
                await asyncio.sleep(1.0)  # a look each second of the clock is often enough

    async def until_held(self, name: str, proxy: str) -> None:
        """Wait until a proxy holds the link to a device. Raises TimeoutError."""
        async with asyncio.timeout(PATIENCE):
            while not self.linked(name, proxy):  # noqa: ASYNC110
                await asyncio.sleep(1.0)  # a look each second of the clock is often enough

    async def connect(self, name: str) -> BleakClientWithServiceCache:
        """Connect a device, and keep what failed on the way."""

        def retried(retry: Retry) -> None:
            self.retries.append((name, retry))
            self.stage.retry(f"{name}, attempt {retry.attempt} through {retry.source} failed")

        device = await self.fleet.find_device(self.address(name))
        return await establish_connection(
            BleakClientWithServiceCache, device, name, deadline=120.0, on_retry=retried
        )

    def failed_through(self, name: str) -> list[str | None]:
        """Return the proxies through which attempts for a device have failed."""
        return [retry.source for device, retry in self.retries if device == name]

    async def restart(self) -> None:
        """Cut the hall's proxy off its power for a moment."""
        await self.hall.kill()
        await self.hall.start()


@asynccontextmanager
async def _scene(stage: Stage, profile: str) -> AsyncIterator[Scene]:
    key = new_noise_psk()
    devices = [one for one in household([HALL, STUDY]) if one.name in (LAMP, THERMOMETER)]
    for device in devices:
        device.interval = ADVERTISING_INTERVAL
    specs = [ProxySpec(name=name, noise_psk=key, profile=profile) for name in (HALL, STUDY)]
    async with VirtualFleet(specs, devices, announce=False) as house:
        proxies = [
            Proxy("127.0.0.1", proxy.port, noise_psk=key, name=proxy.name)
            for proxy in house.proxies.values()
        ]
        async with Fleet(proxies, discover=False, state=None, owner=False) as fleet:
            scene = Scene(stage, house, fleet)
            with stage.step("Two proxies, every device nearer to the hall", "joining"):
                await fleet.ready(2, PATIENCE)
                for name in (LAMP, THERMOMETER):
                    await fleet.find_device(scene.address(name), PATIENCE, prefer=HALL)
                scene.show()
            yield scene
        free = all(not proxy.snapshot().slots for proxy in house.proxies.values())
        stage.confirm(free, "nothing is left: every slot is free on the proxies' side too")


async def wedged_connecting(stage: Stage) -> None:
    """A proxy hangs in an attempt to connect: it answers pings, and nothing else ever again."""
    loop = asyncio.get_running_loop()
    async with _scene(stage, "2026.6.5") as scene:
        heal = scene.hall.inject("wedged_connecting")
        with stage.step("The hall's radio hangs in its next attempt", "connecting the lamp"):
            started = loop.time()
            lamp = await scene.connect(LAMP)
            took = loop.time() - started
            stage.confirm(
                scene.failed_through(LAMP) == [HALL] and scene.linked(LAMP, STUDY),
                f"the lamp is connected through the study after {took:.0f} s: "
                "one attempt was lost, the next took the other way",
            )
        with stage.step("The hall is recognised for what it is", "waiting"):
            await scene.until(RadioState.WEDGED)
            scene.show()
            stage.confirm(True, f"hall is called wedged {loop.time() - started:.0f} s after")
            thermometer = await scene.connect(THERMOMETER)
            stage.confirm(
                not scene.failed_through(THERMOMETER) and scene.linked(THERMOMETER, STUDY),
                "the next device does not even try the hall",
            )
        with stage.step("Somebody restarts the hall", "waiting"):
            heal()
            await scene.restart()
            await scene.until(RadioState.READY)
            await thermometer.disconnect()
            await asyncio.sleep(FADED)
            thermometer = await scene.connect(THERMOMETER)
            stage.confirm(scene.linked(THERMOMETER, HALL), "it is used again, by itself")
            await thermometer.disconnect()
            await lamp.disconnect()


async def stolen_subscription(stage: Stage) -> None:
    """Another client takes the proxy's one subscription; nobody tells the one that had it."""
    loop = asyncio.get_running_loop()
    async with _scene(stage, "2026.7.0") as scene:
        asked: list[float] = []

        def observe(event: events.ProxyEvent) -> None:
            if isinstance(event, events.Subscribed) and event.client_info == "proxyconn":
                asked.append(loop.time())

        scene.hall.add_observer(observe)
        lost: list[float] = []
        device = await scene.fleet.find_device(scene.address(LAMP))
        kept = keep_connected(
            BleakClientWithServiceCache, device, LAMP, on_lost=lambda: lost.append(loop.time())
        )
        async with kept:
            await kept.start_notify(BRIGHTNESS, lambda sender, data: None)
            await kept.connected(PATIENCE)
            stage.confirm(scene.linked(LAMP, HALL), "the lamp is kept connected, by the hall")
            started = loop.time()
            leave = scene.hall.inject("subscriber_stolen", 9)
            with stage.step("Another program subscribes, again and again", "waiting"):
                await scene.until(RadioState.ROBBED)
                scene.show()
                stage.confirm(True, f"hall is called robbed after {loop.time() - started:.0f} s")
                await scene.until_held(LAMP, STUDY)
                await kept.connected(PATIENCE)
                stage.confirm(
                    kept.connections == len(lost) + 1,
                    f"the lamp came back through the study {loop.time() - started:.0f} s after, "
                    "its notifications restored",
                )
            with stage.step("There is no fight over it", "waiting"):
                before = len(asked)
                await asyncio.sleep(FADED)
                stage.confirm(
                    len(asked) - before <= 1,
                    f"in {FADED:.0f} s it was taken from the other program "
                    f"{('not once', 'once')[len(asked) - before]}",
                )
            with stage.step("The other program leaves", "waiting"):
                leave()
                await scene.until(RadioState.READY)
                stage.confirm(True, "the hall is ours again, by itself")


async def silent_scanner(stage: Stage) -> None:
    """A proxy says that it scans, answers everything, and hears nothing."""
    loop = asyncio.get_running_loop()
    async with _scene(stage, "2026.6.5") as scene:
        heal = scene.hall.inject("silent_scanner")
        started = loop.time()
        with stage.step("The hall's scanner falls silent", "waiting"):
            await asyncio.sleep(60.0)
            found = await scene.fleet.find_device(scene.address(LAMP), 1.0)
            stage.confirm(found, "the study still hears the lamp, so the app still finds it")
            lamp = await scene.connect(LAMP)
            stage.confirm(not scene.failed_through(LAMP), "and it is connected at once")
        with stage.step("The cures are tried, the mildest first", "waiting"):
            await lamp.disconnect()
            await scene.until(RadioState.SILENT)
            scene.show()
            stage.confirm(
                scene.hall.snapshot().received["SubscribeBluetoothLEAdvertisementsRequest"] > 0,
                f"subscribed anew, scan mode changed and back, session renewed; then, after "
                f"{loop.time() - started:.0f} s, people are told",
            )
        with stage.step("Somebody restarts the hall", "waiting"):
            heal()
            await scene.restart()
            await scene.until(RadioState.READY)
            async with asyncio.timeout(PATIENCE):
                async for heard, _ in scene.fleet.advertisements():
                    if heard.details["source"] == HALL:
                        break
            stage.confirm(True, "it hears, and devices are attributed to it again")


STORIES: Mapping[str, Callable[[Stage], Awaitable[None]]] = MappingProxyType(
    {
        "wedged-connecting": wedged_connecting,
        "stolen-subscription": stolen_subscription,
        "silent-scanner": silent_scanner,
        "dial-in": dial_in,
    }
)
"""Every story by its name."""
