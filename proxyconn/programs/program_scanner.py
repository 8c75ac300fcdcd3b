"""The bleak scanner backend of programs that know nothing of the fleet they use."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Literal

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData, AdvertisementDataCallback
from bleak.uuids import normalize_uuid_str

from proxyconn.advertised.scanner import FairScanner
from proxyconn.fleet.listening import ADVERTISEMENTS_KEPT
from proxyconn.models import Allocations
from proxyconn.programs.loop_crossing import FleetAccess
from proxyconn.radio import ROUTE, Route, SharedRoute, route_of

RECENT = 30.0
"""Seconds within which a device was heard that a new scan reports at once: BlueZ forgets a device
that was silent for longer (main.conf, TemporaryTimeout)."""

MOST_SEEN = 20_000
"""Devices that a scan remembers; the one that was seen first is forgotten first."""


class CrossingRoute(SharedRoute):
    """Reaches a device of a fleet from another loop than the fleet's.

    Attributes:
        access: the fleet.
        inner: the route there.
        backend: the client class that crosses over.
        strength: signal strength in dBm when it was last heard.
    """

    __slots__ = ("access", "backend", "inner", "strength")

    def __init__(
        self, access: FleetAccess, inner: Route, backend: type[BaseBleakClient], strength: int
    ) -> None:
        self.access = access
        self.inner = inner
        self.backend = backend
        self.strength = strength

    @property
    def client_backend(self) -> type[BaseBleakClient]:
        """The class to pass as `BleakClient(..., backend=)`."""
        return self.backend

    def rssi(self) -> int:
        """Signal strength in dBm when the device was last heard."""
        return self.strength

    def allocations(self) -> Allocations | None:
        """None: slots are looked at in the fleet's own loop only."""
        return None

    async def wait_for_slot(self, timeout: float) -> bool:
        """Wait until a radio that reaches the device has a free slot; False after `timeout` s."""
        return await self.access.call(lambda: self.inner.wait_for_slot(timeout))


class ProgramScanner(FairScanner):
    """Hears what the whole fleet hears, in the loop of the program.

    Radios scan whenever they can, so starting and stopping only begins and ends the listening, and
    the wish for a mode.

    Args:
        detection_callback: as bleak documents it.
        service_uuids: as bleak documents it; 16-bit and 32-bit ones may be short.
        scanning_mode: how radios are to scan until this stops, unless the fleet's user has said it;
            the most demanding of all scanners counts.
        kwargs: taken for bleak's sake: those for its platforms.
    """

    access: FleetAccess
    """How to reach the fleet."""

    clients: type[BaseBleakClient]
    """The class of clients for the devices that are found."""

    def __init__(
        self,
        detection_callback: AdvertisementDataCallback | None = None,
        service_uuids: list[str] | None = None,
        scanning_mode: Literal["active", "passive"] = "active",
        **kwargs: Any,
    ) -> None:
        wanted = None if service_uuids is None else [*map(normalize_uuid_str, service_uuids)]
        super().__init__(detection_callback, wanted)
        self._asks = scanning_mode == "active"
        self._listening: _Listening | None = None

    async def start(self) -> None:
        """Begin to listen; forgets what was seen before. What was heard lately is reported first.

        Raises:
            BleakBluetoothNotAvailableError: no radio can be used.
        """
        if self._listening:
            return
        self.seen_devices = {}
        listening = _Listening(self.access, self._report, asks=self._asks)
        try:
            await self.access.call(listening.begin)
        except BaseException:
            listening.end()
            raise
        self._listening = listening
        listening.open()

    async def stop(self) -> None:
        """Stop listening; idempotent."""
        if self._listening:
            self._listening.end()
            self._listening = None

    def _report(
        self,
        device: BLEDevice,
        advertisement: AdvertisementData,
        together: AdvertisementData | None = None,
    ) -> None:
        """Tell what was heard just now; what the device says in turns is what was seen of it."""
        together = together or advertisement
        if not self.is_allowed_uuid(advertisement.service_uuids):
            return
        if device.address not in self.seen_devices and len(self.seen_devices) >= MOST_SEEN:
            del self.seen_devices[next(iter(self.seen_devices))]
        if asyncio.get_running_loop() is self.access.loop:
            self.seen_devices[device.address] = (device, together)
        else:
            device = self._crossing_device(device, together)
        self.call_detection_callbacks(device, advertisement)

    def _crossing_device(self, device: BLEDevice, advertisement: AdvertisementData) -> BLEDevice:
        """Return a device of the program's own, whose route leads over to the fleet's loop."""
        details = dict(device.details)
        if route := route_of(device):
            details[ROUTE] = CrossingRoute(self.access, route, self.clients, advertisement.rssi)
        mine = self.create_or_update_device(
            device.address, device.address, device.name, details, advertisement
        )
        mine.details.update(details)
        return mine


class _Listening:
    """What is heard between start and stop, on its way from the fleet's loop to the program's."""

    def __init__(
        self,
        access: FleetAccess,
        report: Callable[[BLEDevice, AdvertisementData, AdvertisementData], None],
        *,
        asks: bool,
    ) -> None:
        self._access = access
        self._report = report
        self._asks = asks
        self._loop = asyncio.get_running_loop()
        self._heard: deque[tuple[BLEDevice, AdvertisementData, AdvertisementData]] = deque(
            maxlen=ADVERTISEMENTS_KEPT
        )
        # Until the program listens, what is heard waits.
        self._called = True
        self._ended = False
        self._hearing: ExitStack | None = None

    async def begin(self) -> None:
        """Begin to hear. In the fleet's loop."""
        await self._access.ready()
        if self._ended:
            # The start was cancelled, and cancelled again while this was being cancelled.
            return
        fleet = self._access.fleet
        for device in fleet.devices:
            advertisement = fleet.advertisement(device.address)
            age = min((path.age for path in fleet.paths(device.address)), default=RECENT)
            if advertisement and age < RECENT:
                self._heard.append((device, advertisement, advertisement))
        self._hearing = ExitStack()
        self._hearing.callback(fleet.register_detection_callback(self._take))
        self._hearing.callback(fleet.scanner_runs(active=self._asks))

    def open(self) -> None:
        """Begin to report, soon: a program iterates only once the start has returned."""
        self._loop.call_soon(self._deliver)

    def _take(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        together = self._access.fleet.advertisement(device.address) or advertisement
        self._heard.append((device, advertisement, together))
        if self._called:
            return
        self._called = True
        try:
            self._loop.call_soon_threadsafe(self._deliver)
        except RuntimeError:
            # The program's loop was closed without a stop.
            self._stop_hearing()

    def _deliver(self) -> None:
        self._called = False
        try:
            while self._heard and not self._ended:
                self._report(*self._heard.popleft())
        finally:
            if self._heard and not self._ended:
                # A callback of the program has ended it; the others are to hear.
                self._called = True
                self._loop.call_soon(self._deliver)

    def end(self) -> None:
        """Hear and report no more."""
        self._ended = True
        self._access.ask(self._stop_hearing)

    def _stop_hearing(self) -> None:
        if self._hearing:
            self._hearing.close()
            self._hearing = None
