"""A view of BlueZ that is kept: through restarts of bluetoothd, and of the bus."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection

from proxyconn.radio import Callbacks, RadioUnavailableError
from proxyconn_bluez.bus.connection import ADAPTER, DEVICE
from proxyconn_bluez.bus.devices import is_connected
from proxyconn_bluez.bus.objects import BlueZObjects, NotRunningError, Properties

RECONNECT_WAIT = 2.0
"""Seconds between attempts to reach a bus, or a bluetoothd, that does not answer."""

FIRST_LOOK = 8.0
"""Seconds that `start` waits for a first answer: one connection and one call at their limits."""

_LOGGER = logging.getLogger(__name__)


class BlueZWatch:
    """Follows adapters and links. Owns one bus connection at a time, and the task that keeps it."""

    def __init__(self) -> None:
        self.problem: str | None = "bluetoothd has not been asked yet"
        self._objects: BlueZObjects | None = None
        self._buses = 0
        self._task: asyncio.Task[None] | None = None
        self._looked = asyncio.Event()
        self._link_callbacks = Callbacks[[]]("BlueZ's links")
        self._adapter_callbacks = Callbacks[[]]("BlueZ's adapters")

    @property
    def present(self) -> bool:
        """Whether bluetoothd is running."""
        return self._objects is not None and self._objects.present

    @property
    def generation(self) -> tuple[int, int]:
        """Another value for each bluetoothd that is followed, and while there is none."""
        return (self._buses, self._objects.owners_seen if self._objects else -1)

    async def start(self) -> None:
        """Begin to follow; returns once bluetoothd has answered or is known to be absent."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run())
        try:
            async with asyncio.timeout(FIRST_LOOK):
                await self._looked.wait()
        except TimeoutError:
            _LOGGER.debug("no answer from the system bus yet")

    async def aclose(self) -> None:
        """Stop following and close the connection; idempotent, also after it was cancelled."""
        if task := self._task:
            if not task.cancelling():
                task.cancel()
            await asyncio.wait({task})
            self._task = None

    # What there is

    def adapters(self) -> list[str]:
        """Return the object path of every adapter."""
        return self._objects.adapters() if self._objects else []

    def adapter(self, path: str) -> Properties | None:
        """Return the properties of an adapter, or None."""
        return self._objects.adapter(path) if self._objects else None

    def device(self, path: str) -> Properties | None:
        """Return the properties of a device, or None."""
        return self._objects.device(path) if self._objects else None

    def knows(self, path: str) -> bool:
        """Whether BlueZ has an object at this path."""
        return self._objects is not None and path in self._objects

    def connected(self) -> Collection[str]:
        """Return the object paths of the devices that hold a link."""
        if self._objects is None:
            return ()
        return [path for path, device in self._objects.devices() if is_connected(device)]

    # What happens

    def on_links_changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` when a link may have come or gone; returns unsubscribe."""
        return self._link_callbacks.register(callback)

    def on_adapters_changed(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` when an adapter came, went or changed; returns unsubscribe."""
        return self._adapter_callbacks.register(callback)

    def _changed(self, interface: str, names: Collection[str]) -> None:
        if interface == ADAPTER:
            self._adapter_callbacks()
        elif interface == DEVICE and "Connected" in names:
            self._link_callbacks()

    async def _run(self) -> None:
        while True:
            try:
                objects = await BlueZObjects.connect()
            except RadioUnavailableError as exc:
                self._absent(str(exc))
            else:
                await self._follow(objects)
            await asyncio.sleep(RECONNECT_WAIT)

    async def _follow(self, objects: BlueZObjects) -> None:
        objects.listen(self._changed)
        self._objects = objects
        self._buses += 1
        try:
            while not objects.closed:
                seen = objects.owners_seen
                again = await self._load(objects)
                await objects.until_owner_changes(seen, again)
        finally:
            self._objects = None
            await objects.aclose()
            self._absent("the D-Bus system bus was lost")

    async def _load(self, objects: BlueZObjects) -> float | None:
        """Ask for everything; return seconds after which to ask again, None for no need."""
        try:
            await objects.load()
        except NotRunningError as exc:
            self._absent(str(exc))
            return None
        except RadioUnavailableError as exc:
            self._absent(str(exc))
            return RECONNECT_WAIT
        self.problem = None
        self._looked.set()
        self._adapter_callbacks()
        return None

    def _absent(self, problem: str) -> None:
        if problem != self.problem:
            _LOGGER.debug("BlueZ: %s", problem)
        self.problem = problem
        self._looked.set()
        self._adapter_callbacks()
        self._link_callbacks()
