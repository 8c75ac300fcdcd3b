"""A fleet: every radio an app uses, behind one object."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from importlib.metadata import entry_points
from math import isfinite
from types import TracebackType
from typing import Any, Self, TypeVar

from bleak import BleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError
from zeroconf.asyncio import AsyncZeroconf

from proxyconn._device import colon_address
from proxyconn._errors import (
    BleakNotFoundError,
    ErrorKind,
    RadioUnavailableError,
)
from proxyconn._hub import AllocationCallback, Hub
from proxyconn._models import Allocations, RadioState
from proxyconn._monitor import Alarm, Monitor
from proxyconn._paths import USABLE_STATES, Path
from proxyconn._pins import NO_PINS, Names, Pins, names, pins_by_address
from proxyconn._routed import DeviceRoute, RoutedClient
from proxyconn._table import DetectionCallback
from proxyconn.radio import Backend, BackendFactory, FleetOptions, Proxy, Radio

BACKEND_GROUP = "proxyconn.backends"
"""Entry point group in which backends are found."""

ADVERTISEMENTS_KEPT = 1000
"""Advertisements an iterator holds for a slow reader before it drops the oldest."""

NOT_RUNNING = "the fleet is not running; use it in `async with`"

SETTLE_TIME = 0.3
"""Seconds for other radios to hear a device that one has just heard: a proxy tells what it hears
every 0.1 s (ESPHome bluetooth_proxy.cpp), and the nearest one need not be the first."""

ClientT = TypeVar("ClientT", bound=BleakClient)


class Fleet:
    """Proxies and adapters as one: what any of them hears, connected through the best of them.

    Args:
        proxies: proxies that are known.
        discover: whether to look for others by mDNS.
        noise_psk: the key of discovered proxies: one for all, or name -> key.
        local_adapters: True for every local adapter (Linux, BlueZ), or their names; False for none.
        zeroconf: an instance to share; the fleet makes and closes its own if there is none.
        prefer: device address -> names of radios to take unless another one is better by far.
        avoid: device address -> names of radios to take only for want of others.
        require: device address -> names of the only radios to take.

    Raises:
        InvalidKeyError: a key is not base64 of 32 bytes.
        UnsupportedError: local adapters were asked for where there can be none (on entering).

    Use it as an async context manager. Leaving it closes every session; the proxies then drop
    whatever links were still held.
    """

    def __init__(
        self,
        proxies: Sequence[Proxy] = (),
        *,
        discover: bool = True,
        noise_psk: str | Mapping[str, str] | None = None,
        local_adapters: bool | Sequence[str] = False,
        zeroconf: AsyncZeroconf | None = None,
        prefer: Mapping[str, Names] | None = None,
        avoid: Mapping[str, Names] | None = None,
        require: Mapping[str, Names] | None = None,
    ) -> None:
        self._options = FleetOptions(
            proxies=tuple(proxies),
            discover=discover,
            noise_psk=noise_psk,
            local_adapters=local_adapters,
            zeroconf=zeroconf,
        )
        self._pins = pins_by_address(prefer, avoid, require)
        self._hub: Hub | None = None
        self._monitor: Monitor | None = None
        self._backends: list[Backend] = []

    async def __aenter__(self) -> Self:
        self._hub = Hub(DeviceRoute, self._pins)
        self._monitor = Monitor(self._hub.radios, self._hub.queue.links)
        self.register_state_callback(self.alarms)
        self.register_allocation_callback(lambda event: self.alarms())
        try:
            # Entry points are read from files, and loading one imports its package.
            for factory in (await asyncio.to_thread(load_backends)).values():
                backend = factory(self._options, self._hub)
                if backend:
                    self._backends.append(backend)
                    await backend.start()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every session; its devices cannot be connected any more.

        Idempotent; if it is cancelled, calling it again finishes the work.
        """
        if self._hub:
            self._hub.close()
        await asyncio.gather(*(backend.aclose() for backend in self._backends))
        self._backends.clear()

    @property
    def _running(self) -> Hub:
        if self._hub is None:
            raise BleakError(NOT_RUNNING)
        return self._hub

    # What there is

    @property
    def radios(self) -> list[Radio]:
        """Every radio, in the order they were found."""
        return list(self._running.radios)

    @property
    def devices(self) -> list[BLEDevice]:
        """Every device that was heard, attributed to the best radio for it."""
        return [sighting.device for sighting in self._running.sightings.values()]

    def paths(self, address: str) -> list[Path]:
        """Return every path to a device, best first; none if no radio has heard it."""
        return self._running.paths(colon_address(address))

    def advertisement(self, address: str) -> AdvertisementData | None:
        """Return the last advertisement of a device, by whichever radio."""
        sighting = self._running.sightings.get(colon_address(address))
        return sighting.last() if sighting else None

    def allocations(self) -> list[Allocations]:
        """Return the connection slots of every radio that reports them."""
        reports = [radio.allocations() for radio in self._running.radios]
        return [report for report in reports if report]

    @property
    def waiting(self) -> list[str]:
        """Addresses of the devices that callers wait to connect to, in the order of the queue."""
        return self._running.queue.waiting

    def alarms(self) -> list[Alarm]:
        """Return what should not be and has been for a while, the oldest first.

        Slots that nobody uses, devices with slots of two radios, and radios that do not work.
        """
        if self._monitor is None:
            raise BleakError(NOT_RUNNING)
        return self._monitor.alarms(asyncio.get_running_loop().time())

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the fleet as JSON-able values, without keys."""
        hub = self._running
        return {
            "alarms": [alarm.diagnostics() for alarm in self.alarms()],
            "radios": [radio.diagnostics() for radio in hub.radios],
            "waiting": hub.queue.waiting,
            "devices": {
                address: [
                    {
                        "source": path.source,
                        "rssi": path.rssi,
                        "age": round(path.age, 3) if isfinite(path.age) else None,
                        "failures": round(path.failures, 2),
                        "score": round(path.score, 1),
                        "usable": path.usable,
                    }
                    for path in hub.paths(address)
                ]
                for address in hub.sightings
            },
        }

    # What happens

    def register_detection_callback(
        self, callback: DetectionCallback, *, changes_only: bool = False
    ) -> Callable[[], None]:
        """Call `callback(device, advertisement)` for every advertisement; returns unsubscribe.

        Args:
            callback: called in the event loop; what it raises is logged.
            changes_only: leave out those that say the same as the one before.
        """
        table = self._running.sightings
        return _register(table.change_callbacks if changes_only else table.callbacks, callback)

    def register_allocation_callback(self, callback: AllocationCallback) -> Callable[[], None]:
        """Call `callback(event)` whenever a slot is taken or freed; returns unsubscribe."""
        return _register(self._running.allocation_callbacks, callback)

    def register_state_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` whenever a radio comes, goes or changes; returns unsubscribe."""
        return _register(self._running.state_callbacks, callback)

    async def advertisements(self) -> AsyncIterator[tuple[BLEDevice, AdvertisementData]]:
        """Yield every advertisement from now on; a slow reader loses the oldest."""
        queue: asyncio.Queue[tuple[BLEDevice, AdvertisementData]] = asyncio.Queue()

        def put(device: BLEDevice, advertisement: AdvertisementData) -> None:
            if queue.qsize() >= ADVERTISEMENTS_KEPT:
                queue.get_nowait()
            queue.put_nowait((device, advertisement))

        remove = self.register_detection_callback(put)
        try:
            while True:
                yield await queue.get()
        finally:
            remove()

    async def ready(self, count: int = 1, timeout: float = 10.0) -> list[Radio]:
        """Wait until `count` radios are ready; return those that are.

        Raises:
            RadioUnavailableError: fewer were ready within `timeout` seconds, or the fleet is
                closed; says why.
        """
        hub = self._running
        if hub.closed:
            raise RadioUnavailableError("the fleet is closed; use it inside `async with`")

        def ready() -> list[Radio]:
            return [radio for radio in hub.radios if radio.state is RadioState.READY]

        try:
            async with asyncio.timeout(timeout):
                await self._until(self.register_state_callback, lambda: len(ready()) >= count)
        except TimeoutError:
            raise RadioUnavailableError(
                f"{len(ready())} of {count} radios ready after {timeout:g} s: "
                f"{hub.describe_radios()}"
            ) from None
        return ready()

    def known_device(self, address: str, address_type: int | None = None) -> BLEDevice:
        """Return the device with this address without waiting for it to be heard.

        Connecting to it takes a radio that heard it, however long ago; if none did, any.

        Args:
            address: the device's address.
            address_type: 0 public, 1 random (Core Specification vol 4 E 7.8.12); None for the type
                it was heard with.

        Raises:
            BleakNotFoundError: it was never heard, and no type is given.
        """
        address = colon_address(address)
        hub = self._running
        if sighting := hub.sightings.get(address):
            return sighting.device
        if address_type is None:
            raise BleakNotFoundError(
                f"{address}: not heard so far, so its address type is not known; "
                "pass `address_type`: 0 for a public address, 1 for a random one",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            )
        return hub.make_device(address, address_type)

    async def find_device(
        self,
        address_or_name: str,
        timeout: float = 10.0,
        *,
        prefer: Names | None = None,
        avoid: Names | None = None,
        require: Names | None = None,
    ) -> BLEDevice:
        """Return the device with this address or name, waiting for it to be heard.

        Case does not matter unless two names differ only in it; the colons of an address may be
        left out or be dashes.

        Args:
            address_or_name: the device's address, or the name it advertises.
            timeout: seconds to wait for it.
            prefer: names of radios to take for it unless another one is better by far.
            avoid: names of radios to take for it only for want of others.
            require: names of the only radios to take for it. Like the other two it holds for this
                fleet from now on, and replaces what was said about the device before.

        Raises:
            BleakNotFoundError: no radio heard it within `timeout` seconds.
        """
        hub = self._running

        pins = Pins(names(prefer), names(avoid), names(require))

        def found() -> BLEDevice | None:
            device = hub.find(address_or_name)
            if device and pins != NO_PINS:
                hub.routing.pins[device.address] = pins
                device = hub.find(device.address)
            return device

        if device := found():
            return device
        try:
            async with asyncio.timeout(timeout):
                await self._until(self.register_detection_callback, lambda: found() is not None)
        except TimeoutError:
            raise BleakNotFoundError(
                f"{address_or_name}: {hub.why_not_found(address_or_name, timeout)}",
                kind=ErrorKind.DEVICE_NOT_FOUND,
            ) from None
        device = found()
        assert device is not None
        await self._settle(device)
        return device

    async def _settle(self, device: BLEDevice) -> None:
        """Give other radios the time to hear a device that has only just been heard by one."""
        hub = self._running

        def all_hear() -> bool:
            sighting = hub.sightings.get(device.address)
            usable = [radio for radio in hub.radios if radio.state in USABLE_STATES]
            return sighting is None or all(radio in sighting.heard for radio in usable)

        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SETTLE_TIME):
                await self._until(self.register_detection_callback, all_hear)

    async def _until(
        self,
        register: Callable[[Callable[..., object]], Callable[[], None]],
        met: Callable[[], bool],
    ) -> None:
        if met():
            return
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def check(*args: object) -> None:
            if not future.done() and met():
                future.set_result(None)

        remove = register(check)
        try:
            await future
        finally:
            remove()

    def client_class(self, base: type[ClientT]) -> type[ClientT]:
        """Return a subclass of `base` whose clients connect through this fleet.

        It takes a device of this fleet, or the address of one that the fleet hears.
        """
        hub = self._running

        class FleetRoutedClient(RoutedClient):
            __init__ = functools.partialmethod(RoutedClient.__init__, hub=hub)

        def initialise(client: ClientT, *args: Any, **kwargs: Any) -> None:
            kwargs.setdefault("backend", FleetRoutedClient)
            base.__init__(client, *args, **kwargs)

        return type(f"Fleet{base.__name__}", (base,), {"__init__": initialise})


def load_backends() -> dict[str, BackendFactory]:
    """Return the installed backends by name."""
    return {point.name: point.load() for point in entry_points(group=BACKEND_GROUP)}


def _register(callbacks: list[Any], callback: Any) -> Callable[[], None]:
    callbacks.append(callback)

    def remove() -> None:
        if callback in callbacks:
            callbacks.remove(callback)

    return remove
