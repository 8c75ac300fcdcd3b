"""One local adapter as a radio."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any

from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bluetooth_data_tools import mac_to_int

from proxyconn.advertised.fields import once_each, plain_name
from proxyconn.radio import (
    NO_RSSI_VALUE,
    Allocations,
    Radio,
    RadioSink,
    RadioState,
    RadioUnavailableError,
    ScanMode,
    ScanModeRadio,
    SlotLedger,
    SlotQueue,
    adapter_path,
    device_object_path,
    split_device_path,
)
from proxyconn_bluez.adapter.scanning import Scanning
from proxyconn_bluez.adapter.slot_keeping_client import RadioClient
from proxyconn_bluez.bus.devices import address_type_of, is_connected
from proxyconn_bluez.bus.watch import BlueZWatch
from proxyconn_bluez.kernel.management import Management

SLOTS = 5
"""Links that an adapter is taken to hold. BlueZ does not say; controllers by CSR, the smallest that
are widely sold, hold five."""

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class _Report:
    address: int
    address_type: int
    rssi: int
    data: AdvertisementData


def _parsed(payload: AdvertisementData) -> AdvertisementData:
    return payload._replace(
        local_name=plain_name(payload.local_name), service_uuids=once_each(payload.service_uuids)
    )


class BlueZRadio:
    """One adapter: scans as long as it is powered, and counts its links.

    Args:
        name: name of the adapter (`hciN`).
        watch: follows BlueZ; shared.
        management: the kernel's management interface; shared.
        sink: told of what happens.
        scan: whether to scan; without, the adapter is ready as soon as it is on.
    """

    def __init__(
        self,
        name: str,
        watch: BlueZWatch,
        management: Management,
        sink: RadioSink,
        *,
        scan: bool = True,
    ) -> None:
        self._name = name
        self._path = adapter_path(name)
        self._watch = watch
        self._management = management
        self._sink = sink
        self._scan = scan
        self._ledger = SlotLedger(name)
        self.queue = SlotQueue(self._ledger)
        self._scanning = Scanning(name, self._heard, self._tell_state, lambda: watch.generation)
        self._told: tuple[RadioState, str | None] | None = None
        self._awaited: dict[str, asyncio.Event] = {}
        self._attempts: set[asyncio.Timeout] = set()
        self._always_active_is_said = False

    def __repr__(self) -> str:
        return f"<BlueZRadio {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        """The adapter's name (`hciN`)."""
        return self._name

    @property
    def state(self) -> RadioState:
        """GONE if there is no such adapter or it is off; READY while it scans, if it is to."""
        if self._fault():
            return RadioState.GONE
        ready = self._scanning.running or not self._scan
        return RadioState.READY if ready else RadioState.CONNECTING

    @property
    def problem(self) -> str | None:
        """Why the adapter is not ready, in one sentence; None if it is."""
        if fault := self._fault():
            return fault
        return None if self._scanning.running else self._scanning.problem

    def _fault(self) -> str | None:
        if not self._watch.present:
            return self._watch.problem or "bluetoothd is not running"
        adapter = self._watch.adapter(self._path)
        if adapter is None:
            return f"there is no adapter {self.name}; it may be unplugged"
        if adapter.get("Powered") is not True:
            return f"{self.name} is powered off; `bluetoothctl power on` turns it on"
        return None

    @property
    def connectable(self) -> bool:
        """True: every adapter of BlueZ opens links."""
        return True

    def allocations(self) -> Allocations | None:
        """The adapter's links; None while it is gone."""
        return self._ledger.allocations()

    def free_slots(self) -> int | None:
        """Links that it can still open; None while it is gone."""
        return self._ledger.available if self._ledger.reported else None

    @property
    def connecting(self) -> int:
        """Links that are being opened, or are promised to somebody."""
        return len(self._ledger.claims)

    def claim(self, address: str) -> bool:
        """Promise a slot to the next client for `address`; a link BlueZ holds already will do."""
        return self.is_connected(address) or self._ledger.claim(address)

    def release(self, address: str) -> None:
        """Give up a claim; harmless if there is none."""
        if address in self._ledger.claims:
            self.queue.release(address)
            self._sink.slots_changed(self, ())

    def has_claim(self, address: str) -> bool:
        """Whether a slot is promised to the next client for `address`."""
        return address in self._ledger.claims

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for `device` on this adapter."""
        path = device_object_path(self.name, device.address)
        props = dict(self._watch.device(path) or {})
        local = BLEDevice(device.address, device.name, {"path": path, "props": props})
        return RadioClient(local, radio=self, management=self._management, **kwargs)

    def diagnostics(self) -> dict[str, Any]:
        """Return the state as JSON-able values."""
        adapter = self._watch.adapter(self._path) or {}
        slots = self.allocations()
        return {
            "name": self.name,
            "kind": "bluez",
            "state": str(self.state),
            "problem": self.problem,
            "address": adapter.get("Address"),
            "slots": slots
            and {"limit": slots.slots, "free": slots.free, "allocated": slots.allocated},
            "waiting": self.queue.waiting,
            "health": {"scanner": {"mode": "active"} if self._scanning.running else None},
        }

    @property
    def own_scan_mode(self) -> ScanMode | None:
        """None: nothing can be said of one adapter."""
        return None

    @property
    def scans_actively(self) -> bool | None:
        """True while it scans: BlueZ asks every device for its scan response."""
        return True if self._scanning.running else None

    def set_scan_mode(self, active: bool | None) -> None:
        """Say, once, that it goes on as it is: BlueZ listens passively for given patterns only.

        (BlueZ doc/org.bluez.AdvertisementMonitorManager.rst.)
        """
        if active is False and not self._always_active_is_said:
            self._always_active_is_said = True
            _LOGGER.info(
                "%s: BlueZ has no passive scan for all devices; it scans actively",
                self.name,
            )

    # For its clients

    def require_ready(self) -> None:
        """Raise RadioUnavailableError if no link can be opened now."""
        if fault := self._fault():
            raise RadioUnavailableError(f"{self.name}: {fault}", source=self.name)

    def is_connected(self, address: str) -> bool:
        """Whether the adapter holds a link to the device already."""
        return is_connected(self._watch.device(device_object_path(self.name, address)))

    def knows(self, path: str) -> bool:
        """Whether BlueZ has an object at this path."""
        return self._watch.knows(path)

    async def until_heard(self, address: str, timeout: float) -> None:
        """Wait until the adapter hears a device, at most `timeout` seconds."""
        heard = self._awaited.setdefault(address, asyncio.Event())
        try:
            async with asyncio.timeout(timeout):
                await heard.wait()
        except TimeoutError:
            return
        finally:
            self._awaited.pop(address, None)

    @asynccontextmanager
    async def attempt(self) -> AsyncIterator[None]:
        """Give up what is done inside as soon as the adapter goes: BlueZ may never answer then.

        Raises:
            RadioUnavailableError: it is not there, or has gone.
        """
        self.require_ready()
        try:
            async with asyncio.timeout(None) as scope:
                self._attempts.add(scope)
                try:
                    yield
                finally:
                    self._attempts.discard(scope)
        except TimeoutError:
            if not scope.expired():
                raise
            fault = self._fault() or "the adapter was gone for a moment"
            raise RadioUnavailableError(f"{self.name}: {fault}", source=self.name) from None

    # What happens

    def refresh(self) -> None:
        """Look at the adapter again: something about it has changed."""
        self._scanning.set_wanted(self._scan and self._fault() is None)
        if self._fault():
            self.queue.fail(f"{self.name}: {self._fault()}")
            while self._attempts:
                self._attempts.pop().reschedule(asyncio.get_running_loop().time())
        self._tell_state()

    def refresh_slots(self) -> None:
        """Look at the links again."""
        if self._fault():
            events = self._ledger.clear()
        else:
            held = [
                parts[1]
                for path in self._watch.connected()
                if (parts := split_device_path(path)) and parts[0] == self.name
            ]
            limit = max(SLOTS, len(held))
            events = self._ledger.update(limit - len(held), limit, held)
        events = [
            replace(event, path=device_object_path(self.name, event.address)) for event in events
        ]
        self.queue.notify()
        if events or not self._ledger.reported:
            self._sink.slots_changed(self, events)

    def _tell_state(self) -> None:
        now = (self.state, self.problem)
        if now != self._told:
            self._told = now
            self._sink.state_changed(self)

    def _heard(self, device: BLEDevice, advertisement: AdvertisementData) -> None:
        # Those in the device itself are of the moment when the scan first saw it.
        _, props = advertisement.platform_data
        # Without an RSSI BlueZ only remembers the device, unless it is connected.
        if advertisement.rssi == NO_RSSI_VALUE and not is_connected(props):
            return
        report = _Report(
            mac_to_int(device.address), address_type_of(props), advertisement.rssi, advertisement
        )
        self._sink.heard(self, (report,), _parsed)
        if awaited := self._awaited.get(device.address):
            awaited.set()

    async def aclose(self) -> None:
        """Stop scanning; idempotent."""
        self.queue.fail(f"{self.name}: the fleet is closed")
        await self._scanning.aclose()


_radio_fits: type[Radio] = BlueZRadio
_scan_mode_fits: type[ScanModeRadio] = BlueZRadio
