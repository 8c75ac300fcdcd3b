"""A fleet: every radio an app uses, behind one object."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bleak.backends.device import BLEDevice
from bleak.backends.scanner import AdvertisementData
from bleak.exc import BleakError

from proxyconn.advertisements.device_table import DetectionCallback
from proxyconn.device import colon_address
from proxyconn.fleet import listening
from proxyconn.fleet.alarms import LOOK_WITHIN, OTHERS_SLOTS, Alarm, Monitor
from proxyconn.fleet.alarms import SETTLE_TIME as SETTLE_TIMES
from proxyconn.fleet.backends import Backends, Owner
from proxyconn.fleet.diagnostics import fleet_diagnostics
from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.fleet.lending import Lending
from proxyconn.fleet.listening import LostCallback
from proxyconn.fleet.radio_hub import AllocationCallback, Hub
from proxyconn.fleet.routed_class import ClientT, routed_class
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.models import (
    AllocationChangeEvent,
    Allocations,
    ScanMode,
    Subscribe,
    scan_mode,
    subscription,
)
from proxyconn.ports import listen_port
from proxyconn.radio import FleetOptions, Proxy, Radio, Tenure
from proxyconn.routing.path_score import Path
from proxyconn.routing.pins import Names, Pins, names, pins_by_address
from proxyconn.state.memory import Choice, FileMemory, remembered

if TYPE_CHECKING:
    from zeroconf.asyncio import AsyncZeroconf

NOT_RUNNING = "the fleet is not running; use it in `async with`"


class Fleet:
    """Proxies and adapters as one: what any of them hears, connected through the best of them.

    Args:
        proxies: proxies that are known.
        discover: whether to look for others by mDNS; None to do so unless there is a `cluster`.
        noise_psk: the key of discovered proxies: one for all, or name or MAC address -> key.
        local_adapters: True for every local adapter (Linux, BlueZ), or their names; False for none.
        zeroconf: an instance to share; the fleet makes and closes its own if there is none.
        prefer: device address -> names of radios to take unless another one is better by far.
        avoid: device address -> names of radios to take only for want of others.
        require: device address -> names of the only radios to take.
        state: where to remember bonds, services, address types and failures: True for this user's
            state folder, the path of another one, False or None for nowhere.
        owner: use an owner (`proxyconn serve`) instead of the proxies that it has: True for this
            user's, the path of its socket, None for this user's if one is running. False for none:
            proxies that an owner lends are then used only if `proxies` names them.
        subscribe: whether to ask proxies for their subscription, which another client may hold;
            Subscribe.NEVER for a fleet that only looks at radios and slots, and disturbs nobody.
        take: whether to take proxies over that another client (Home Assistant, say) may use. False
            for only those that are free, as Subscribe.IF_FREE; True for all; None for all unless
            `subscribe` says otherwise, with a warning in the log before it happens.
        listen: take proxies that call by themselves: True on port 6054, or on another one.
        scan: whether radios ask devices for scan responses: active, passive, or auto, which is
            passive but for a while when somebody needs one; None leaves each as it is. A proxy with
            a mode of its own (`Proxy(scan=…)`) keeps to that. They scan as before in the end.
        cluster: URL of the NATS server by which owners share their radios, or a Place; or None.
        tenure: says which proxies are this program's, where several share them out; None for all.

    Raises:
        ValueError: `listen` is no port, `scan` no mode, or `take` and `subscribe` contradict.
        InvalidKeyError: a key is not base64 of 32 bytes.
        UnsupportedError: local adapters were asked for where there can be none, or a cluster where
            what it takes is not installed (on entering).
        RadioUnavailableError: the owner that was asked for does not answer, or the cluster (on
            entering).

    Use it as an async context manager. Leaving it closes every session; the proxies then drop
    whatever links were still held.
    """

    def __init__(
        self,
        proxies: Sequence[Proxy] = (),
        *,
        discover: bool | None = None,
        noise_psk: str | Mapping[str, str] | None = None,
        local_adapters: bool | Sequence[str] = False,
        zeroconf: AsyncZeroconf | None = None,
        prefer: Mapping[str, Names] | None = None,
        avoid: Mapping[str, Names] | None = None,
        require: Mapping[str, Names] | None = None,
        state: Choice = True,
        owner: Owner = None,
        subscribe: Subscribe = Subscribe.ALWAYS,
        take: bool | None = None,
        listen: bool | int = False,
        scan: ScanMode | str | None = None,
        cluster: object | None = None,
        tenure: Tenure | None = None,
    ) -> None:
        self._choice = state
        self._state = FileMemory()
        self._owner = owner
        self._options = FleetOptions(
            proxies=tuple(proxies),
            discover=cluster is None if discover is None else discover,
            noise_psk=noise_psk,
            local_adapters=local_adapters,
            zeroconf=zeroconf,
            subscribe=subscription(subscribe, take),
            warns=take is None and subscribe is Subscribe.ALWAYS,
            listen=listen_port(listen),
            direct=owner is False,
            cluster=cluster,
            tenure=tenure,
        )
        self._pins = pins_by_address(prefer, avoid, require)
        self._scan = scan_mode(scan)
        self._hub: Hub | None = None
        self._monitor: Monitor | None = None
        self._look: asyncio.TimerHandle | None = None
        self._backends: Backends | None = None

    async def __aenter__(self) -> Self:
        self._state = await remembered(self._choice)
        self._options = dataclasses.replace(self._options, state=self._state)
        only_looks = self._options.subscribe is Subscribe.NEVER
        self._hub = Hub(
            DeviceRoute, self._pins, self._state, only_looks=only_looks, scan=self._scan
        )
        self._monitor = Monitor(
            self._hub.radios, self._hub.queue.links, OTHERS_SLOTS if only_looks else SETTLE_TIMES
        )
        self.register_state_callback(self.alarms)
        self.register_allocation_callback(self._slots_changed)
        self._backends = Backends(self._options, self._hub, self._owner)
        try:
            await self._backends.start()
            self._hub.neighbours.met(self._backends.neighbours, Lending(self._hub).end_link)
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

        Idempotent; if it fails or is cancelled, calling it again finishes the work.
        """
        if self._look:
            self._look.cancel()
            self._look = None
        async with AsyncExitStack() as last_first:
            last_first.push_async_callback(self._state.aclose)
            if self._hub and self._backends:
                self._hub.close()
                last_first.push_async_callback(self._hub.dropped.aclose)
                last_first.push_async_callback(self._backends.aclose)

    async def reconfigure(
        self,
        proxies: Sequence[Proxy],
        *,
        discover: bool,
        noise_psk: str | Mapping[str, str] | None = None,
        local_adapters: bool | Sequence[str] = False,
        prefer: Mapping[str, Names] | None = None,
        avoid: Mapping[str, Names] | None = None,
        require: Mapping[str, Names] | None = None,
        listen: bool | int = False,
        scan: ScanMode | str | None = None,
    ) -> None:
        """Take other proxies, keys, adapters, pins and scan modes, as the constructor does.

        What both have stays as it is, links included; what is not named any more is let go.
        """
        hub, mode = self._running, scan_mode(scan)
        hub.routing.pins = dict(pins_by_address(prefer, avoid, require))
        self._options = dataclasses.replace(
            self._options,
            proxies=tuple(proxies),
            discover=discover,
            noise_psk=noise_psk,
            local_adapters=local_adapters,
            listen=listen_port(listen),
        )
        if self._backends:
            await self._backends.reconfigure(self._options)
        hub.scan.mode = mode

    def require_listening(self) -> None:
        """Raise UnsupportedError if the fleet only looks, BleakError if it is not running."""
        self._running.require_listening()

    @property
    def _running(self) -> Hub:
        if self._hub is None:
            raise BleakError(NOT_RUNNING)
        return self._hub

    def scanner_runs(self, *, active: bool) -> Callable[[], None]:
        """Take note of a scanner in one of bleak's two modes; returns what ends that (idempotent).

        Its mode counts for radios of which the user has said nothing; in `auto`, one that is active
        is a reason to ask for scan responses for a while. To be called in the fleet's loop.
        """
        return self._running.scan.scanner_runs(active=active)

    def lending(self) -> Lending:
        """Return what somebody needs who lends this fleet to other programs."""
        return Lending(self._running)

    def inspection(self) -> Inspection:
        """Return what somebody needs who shows this fleet to people, and acts for them."""
        return Inspection(self._running, self.alarms)

    # What there is

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop that the fleet runs in."""
        return self._running.loop

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
        """Return all that a device says, in whatever turns, as the best radio hears it.

        What it has not said for a while, by its own rhythm, is left out. None if no radio hears it.
        """
        sightings = self._running.sightings
        sighting = sightings.get(address) or sightings.get(colon_address(address))
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
        Raises BleakError if the fleet is not running.
        """
        if self._monitor is None:
            raise BleakError(NOT_RUNNING)
        return self._monitor.alarms(asyncio.get_running_loop().time())

    def _slots_changed(self, event: AllocationChangeEvent) -> None:
        """Look soon at what this makes of the alarms, so that each counts from when it began."""
        loop = self._running.loop
        if self._monitor:
            self._monitor.changed(loop.time())
        is_planned = self._look is not None and self._look.when() > loop.time()
        if not (is_planned or self._running.closed):
            self._look = loop.call_later(LOOK_WITHIN, self.alarms)

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the fleet as JSON-able values, without keys."""
        return fleet_diagnostics(self._running, self.alarms())

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
        return (table.change_callbacks if changes_only else table.callbacks).register(callback)

    def register_lost_callback(self, callback: LostCallback) -> Callable[[], None]:
        """Call `callback(device)` when no radio hears a device any more; returns unsubscribe.

        That is after twelve of its advertisements did not come, by the rhythm of each device, but
        not before 60 s, nor after more than 900 s, which it is too until the rhythm is known. A
        device that is connected is not lost. One that is heard again is found anew.
        """
        return self._running.register_lost_callback(callback)

    def register_allocation_callback(self, callback: AllocationCallback) -> Callable[[], None]:
        """Call `callback(event)` whenever a slot is taken or freed; returns unsubscribe."""
        return self._running.allocation_callbacks.register(callback)

    def register_state_callback(self, callback: Callable[[], object]) -> Callable[[], None]:
        """Call `callback()` whenever a radio comes, goes or changes; returns unsubscribe."""
        return self._running.state_callbacks.register(callback)

    def advertisements(
        self, *, on_lost: LostCallback | None = None
    ) -> AsyncIterator[tuple[BLEDevice, AdvertisementData]]:
        """Yield every advertisement from now on; a slow reader loses the oldest.

        Ends when the fleet is closed. Raises UnsupportedError if the fleet only looks.

        Args:
            on_lost: called with each device that is not heard any more, as `register_lost_callback`
                has it, in its turn: after what was heard of it before was read. What it raises ends
                the iteration.
        """
        self._running.require_listening()
        return listening.advertisements(self._running, on_lost)

    async def ready(self, count: int = 1, timeout: float = 10.0) -> list[Radio]:
        """Wait until `count` radios are ready; return those that are.

        Raises:
            RadioUnavailableError: fewer were ready within `timeout` seconds, or the fleet is
                closed; says why.
        """
        return await listening.ready(self._running, count, timeout)

    def known_device(self, address: str, address_type: int | None = None) -> BLEDevice:
        """Return the device with this address without waiting for it to be heard.

        Connecting to it takes a radio that heard it, however long ago; if none did, any.

        Args:
            address: the device's address.
            address_type: 0 public, 1 random (Core Specification vol 4 E 7.8.12); None for the type
                it was heard with, or connected with before.

        Raises:
            BleakNotFoundError: it was never heard, and no type is given.
        """
        return self._running.known_device(colon_address(address), address_type)

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
            address_or_name: the device's address, or a name it advertises, shortened or not.
            timeout: seconds to wait for it.
            prefer: names of radios to take for it unless another one is better by far.
            avoid: names of radios to take for it only for want of others.
            require: names of the only radios to take for it. Like the other two it holds for this
                fleet from now on, and replaces what was said about the device before.

        Raises:
            BleakNotFoundError: no radio heard it within `timeout` seconds.
            RadioUnavailableError: the fleet is closed, or was meanwhile.
            UnsupportedError: the fleet only looks.
        """
        pins = Pins(names(prefer), names(avoid), names(require))
        return await listening.find_device(self._running, address_or_name, timeout, pins)

    def client_class(self, base: type[ClientT]) -> type[ClientT]:
        """Return a subclass of `base` that takes a device of this fleet, or the address of one."""
        return routed_class(base, self._running)
