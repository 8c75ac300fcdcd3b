"""Scanning on one adapter for as long as it can be used."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

from bleak import BleakScanner
from bleak.args.bluez import BlueZDiscoveryFilters
from bleak.backends.bluezdbus.scanner import BleakScannerBlueZDBus
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from proxyconn_bluez.bleak_private import BleakBus, bleak_bus

START_TIMEOUT = 10.0
"""Seconds for BlueZ to start a scan: power and discovery are asked of the controller."""

STOP_TIMEOUT = 5.0
"""Seconds for BlueZ to stop one."""

RETRY_WAIT = 5.0
"""Seconds between attempts to start a scan."""

FILTERS: BlueZDiscoveryFilters = {"DuplicateData": True}
"""Without duplicates BlueZ tells of a device that stays the same only once, and it would seem gone
after a while (BlueZ doc/org.bluez.Adapter.rst, SetDiscoveryFilter)."""

_LOGGER = logging.getLogger(__name__)


class Scanning:
    """Starts a scan when it is wanted and stops it when it is not; owns the task that does so.

    Args:
        adapter: name of the adapter (`hciN`).
        heard: called with each device and its advertisement.
        changed: called when a scan has started, ended or failed.
        generation: returns another value for another bluetoothd.
    """

    def __init__(
        self,
        adapter: str,
        heard: Callable[[BLEDevice, AdvertisementData], None],
        changed: Callable[[], None],
        generation: Callable[[], object],
    ) -> None:
        self.running = False
        self.problem: str | None = None
        self._adapter = adapter
        self._heard = heard
        self._changed = changed
        self._generation = generation
        self._wanted = asyncio.Event()
        self._unwanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def set_wanted(self, wanted: bool) -> None:
        """Scan, or do not."""
        if wanted:
            self._unwanted.clear()
            self._wanted.set()
            if self._task is None:
                self._task = asyncio.get_running_loop().create_task(self._run())
        else:
            self._wanted.clear()
            self._unwanted.set()

    async def aclose(self) -> None:
        """Stop the scan and wait for its end; idempotent, also after it was cancelled."""
        if task := self._task:
            if not task.cancelling():
                task.cancel()
            await asyncio.wait({task})
            self._task = None

    async def _run(self) -> None:
        while True:
            await self._wanted.wait()
            try:
                await self._scan()
            except (BleakError, OSError, EOFError) as exc:
                # TimeoutError is an OSError.
                _LOGGER.debug("%s: scan failed: %r", self._adapter, exc)
                await self._failed(exc)
            except Exception as exc:
                # bleak asserts where its bus has gone; a scan must survive that.
                _LOGGER.warning("%s: scan failed", self._adapter, exc_info=True)
                await self._failed(exc)

    async def _failed(self, exc: Exception) -> None:
        self._set(False, f"the scan on {self._adapter} failed: {exc or type(exc).__name__}")
        await asyncio.sleep(RETRY_WAIT)

    async def _scan(self) -> None:
        scanner = BleakScanner(
            self._heard,
            bluez={"adapter": self._adapter, "filters": FILTERS},
            backend=BleakScannerBlueZDBus,
        )
        bus, generation = await self._start(scanner)
        try:
            self._set(True, None)
            await self._unwanted.wait()
        finally:
            self._set(False, None)
            await self._stop(scanner, bus)
            if self._generation() != generation:
                # bleak does not notice a new bluetoothd, and takes the old one's devices for real.
                bus.drop()

    async def _start(self, scanner: BleakScanner) -> tuple[BleakBus, object]:
        """Start a scan; return bus and generation of bluetoothd. Leaves no scan if it fails."""
        async with asyncio.timeout(START_TIMEOUT):
            bus = await bleak_bus()
            try:
                await scanner.start()
            except asyncio.CancelledError:
                # bleak forgets a scan that BlueZ has not confirmed, though it may well begin.
                bus.stop_discovery(self._adapter)
                raise
            try:
                # bleak may have had to connect anew.
                bus = await bleak_bus()
            except BaseException:
                await self._stop(scanner, bus)
                raise
        return bus, self._generation()

    async def _stop(self, scanner: BleakScanner, bus: BleakBus) -> None:
        try:
            # Without a bus no answer comes, but bleak lets go of the callback before it waits.
            async with asyncio.timeout(STOP_TIMEOUT if bus.alive else 0):
                await scanner.stop()
        except Exception as exc:
            # The adapter, bluetoothd or the bus has gone, and the scan with it.
            _LOGGER.debug("%s: scan could not be stopped: %r", self._adapter, exc, exc_info=True)

    def _set(self, running: bool, problem: str | None) -> None:
        self.running, self.problem = running, problem
        self._changed()
