"""ESPHome proxies as the radios of a fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from aioesphomeapi.model import DeviceInfo
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.radio import (
    AllocationChangeEvent,
    Allocations,
    Backend,
    FleetOptions,
    Proxy,
    Radio,
    RadioSink,
    RadioState,
    Report,
)

from ._adverts import advertisement_data
from ._cache import GattCache
from ._discovery import DiscoveryListener, FoundDevice, ProxyBrowser
from ._listener import SessionListener
from ._messages import BluetoothLERawAdvertisementsResponse
from ._roster import LOOK_AGAIN, NotProxies, is_of, is_unidentified, is_unproven, session_of_mac
from ._session import NOT_A_PROXY, ProxySession
from .client import ESPHomeClient

HOLD_TIME = 3.0
"""Seconds for which discovered proxies wait for named ones to say which devices they are."""

TURN_TIME = 30.0
"""Seconds for which one of two addresses of a proxy is tried before it is the other's turn."""

MOST_BATCH = 4096
"""Bytes of a batch whose advertisements are not looked at one by one: ESPHome's largest, 16 of 62
bytes each (bluetooth_proxy.cpp FLUSH_BATCH_SIZE), has a third of them."""

MOST_REPORTS = 512
"""Advertisements taken from such a batch."""

MOST_DATA = 1650
"""Bytes of an advertisement, extended ones included (Core Specification vol 4 E 7.8.54)."""

MOST_FOUND = 512
"""ESPHome devices taken from mDNS: any program on the network can announce any number."""

_LOGGER = logging.getLogger(__name__)


class ESPHomeRadio(SessionListener):
    """One proxy.

    Args:
        session: the session with it.
        sink: told what it hears, and how it fares.
        named: how the user named it; None for a proxy that mDNS found.
    """

    def __init__(self, session: ProxySession, sink: RadioSink, named: Proxy | None = None) -> None:
        self.session = session
        self.named = named
        self.moved_at = float("-inf")
        self._sink = sink
        session.add_listener(self)

    def __repr__(self) -> str:
        return f"<ESPHomeRadio {self.name}: {self.state}>"

    @property
    def name(self) -> str:
        """The proxy's node name; host and port until it is known."""
        return self.session.name

    @property
    def state(self) -> RadioState:
        """How the session is doing."""
        return self.session.state

    @property
    def problem(self) -> str | None:
        """Why the proxy is not ready, in one sentence; None if it is."""
        return self.session.problem.text if self.session.problem else None

    @property
    def connectable(self) -> bool:
        """Whether the proxy opens links."""
        return self.session.connectable

    def allocations(self) -> Allocations | None:
        """The proxy's slots; None until it has reported them."""
        return self.session.ledger.allocations()

    def free_slots(self) -> int | None:
        """Slots that are neither taken nor claimed; None until the proxy has reported them."""
        ledger = self.session.ledger
        return ledger.available if ledger.reported else None

    @property
    def connecting(self) -> int:
        """Attempts that the proxy works on, has been promised, or has not ended yet."""
        return len(self.session.attempts.under_way)

    def claim(self, address: str) -> bool:
        """Promise a slot to the next client for `address`, if one is free."""
        return self.session.ledger.claim(address)

    def release(self, address: str) -> None:
        """Give up a claim; harmless if there is none."""
        self.session.queue.release(address)

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client for `device` behind this proxy."""
        return ESPHomeClient(device, session=self.session, **kwargs)

    def diagnostics(self) -> dict[str, Any]:
        """Return the state of the session, without its key."""
        return self.session.diagnostics()

    def session_changed(self, session: ProxySession) -> None:
        """Pass a change of state on."""
        self._sink.state_changed(self)

    def session_slots(self, session: ProxySession, events: Sequence[AllocationChangeEvent]) -> None:
        """Pass a slot report on."""
        self._sink.slots_changed(self, events)

    def session_heard(
        self, session: ProxySession, message: BluetoothLERawAdvertisementsResponse
    ) -> None:
        """Pass a batch of advertisements on."""
        reports: Sequence[Report[bytes]] = message.advertisements
        if message.ByteSize() > MOST_BATCH:
            first = reports[:MOST_REPORTS]
            reports = [report for report in first if len(report.data) <= MOST_DATA]
        self._sink.heard(self, reports, advertisement_data)


class ESPHomeBackend(DiscoveryListener):
    """Finds proxies and keeps them connected.

    Args:
        options: which proxies are known, and whether to look for others.
        sink: told of every radio and what it hears.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink) -> None:
        self._options = options
        self._sink = sink
        self._cache = GattCache()
        self._radios: list[ESPHomeRadio] = []
        self._zeroconf = options.zeroconf
        self._browser: ProxyBrowser | None = None
        self._found: dict[str, FoundDevice] = {}
        self._held: set[str] = set()
        self._not_proxies = NotProxies()
        self._timers: set[asyncio.TimerHandle] = set()
        self._holding = False
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect to the known proxies and begin to look for others; waits for none of them."""
        for proxy in self._options.proxies:
            await self._join(proxy, named=proxy).start()
        if self._options.discover:
            self._holding = True
            self._later(HOLD_TIME, self._stop_holding)
            if self._zeroconf is None:
                self._zeroconf = AsyncZeroconf()
            self._browser = ProxyBrowser(self._zeroconf, self)
            await self._browser.start()

    async def aclose(self) -> None:
        """End the search and every session; idempotent, and can be finished if cancelled."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        if self._browser:
            await self._browser.aclose()
            self._browser = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._remove(radio) for radio in list(self._radios)))
        if self._zeroconf is not None and self._options.zeroconf is None:
            await self._zeroconf.async_close()
            self._zeroconf = None

    # What mDNS says

    def device_found(self, found: FoundDevice) -> None:
        """Take a device that appeared, or has other records now."""
        if found.mac not in self._found and len(self._found) >= MOST_FOUND:
            _LOGGER.debug("%s: ignored, for %d devices are known", found.name, MOST_FOUND)
            return
        self._found[found.mac] = found
        if self._closing or self._not_proxies.skips(found, self._now()):
            return
        key = self._options.key_for(found.name)
        radio = next((one for one in self._radios if self._is_it(one, found, key)), None)
        if radio is None:
            self._find_place_for(found, key)
        elif radio.session.is_up:
            _LOGGER.debug("%s: announced at %s:%d", found.name, found.host, found.port)
        elif found.mac == radio.session.mac and self._address(radio) != found.address:
            self._move(radio, found.address)
        else:
            radio.session.notify_seen()

    def _is_it(self, radio: ESPHomeRadio, found: FoundDevice, key: str | None) -> bool:
        """Whether a radio is a device that mDNS has found, and for which there is this key.

        A device that nobody named, and that cannot prove who it is, keeps out none that can.
        """
        usurper = key is not None and radio.named is None and is_unproven(radio.session)
        return is_of(radio.session, found) and not usurper

    def _find_place_for(self, found: FoundDevice, key: str | None) -> None:
        if self._holding and any(is_unidentified(radio.session) for radio in self._radios):
            # It may be one of those: wait until they have said who they are, or failed to.
            self._held.add(found.mac)
            return
        proxy = Proxy(found.host, found.port, noise_psk=key, name=found.name)
        self._spawn(self._join(proxy, expected_mac=found.mac).start())

    def device_seen(self, name: str) -> None:
        """Try a proxy that is on the network again."""
        for session in self._sessions_named(name):
            session.notify_seen()

    def device_left(self, name: str) -> None:
        """Do not wait for a proxy that has said goodbye."""
        for session in self._sessions_named(name):
            session.absence.said_goodbye()

    def _sessions_named(self, name: str) -> list[ProxySession]:
        sessions = (radio.session for radio in self._radios)
        return [one for one in sessions if one.name == name and not one.is_up]

    # Radios

    def _join(
        self, proxy: Proxy, *, named: Proxy | None = None, expected_mac: str | None = None
    ) -> ProxySession:
        session = ProxySession(
            proxy,
            cache=self._cache,
            zeroconf=self._zeroconf,
            expected_mac=expected_mac,
            admit=self._admit,
        )
        radio = ESPHomeRadio(session, self._sink, named)
        session.add_listener(_SessionWatch(self, radio))
        self._radios.append(radio)
        self._sink.radio_added(radio)
        return session

    async def _remove(self, radio: ESPHomeRadio) -> None:
        await radio.session.aclose()
        if radio in self._radios:
            self._radios.remove(radio)
            self._sink.radio_removed(radio)

    def _admit(self, session: ProxySession, info: DeviceInfo) -> bool:
        """Let one session alone speak to a device: a second one would take the first one's place.

        Of two the one with a key stays, for without one anybody can say to be any device; else the
        one that is up.
        """
        sessions = [radio.session for radio in self._radios]
        other = session_of_mac(sessions, session.mac or "", but=session)
        if other is None:
            return True
        if is_unproven(session) != is_unproven(other):
            loser = session if is_unproven(session) else other
        else:
            loser = session if other.is_up else other
        _LOGGER.info(
            "%s: %s:%d is the same proxy as %s:%d, and is left alone",
            info.name,
            loser.proxy.host,
            loser.proxy.port,
            (session if loser is other else other).proxy.host,
            (session if loser is other else other).proxy.port,
        )
        for radio in [radio for radio in self._radios if radio.session is loser]:
            self._spawn(self._remove(radio))
        return loser is other

    def session_changed(self, radio: ESPHomeRadio) -> None:
        """Take note of what a session knows of its device."""
        session = radio.session
        if session.problem is NOT_A_PROXY and radio.named is None and session.mac:
            self._drop(radio, session.mac)
        self._look_again_at_held()

    def _drop(self, radio: ESPHomeRadio, mac: str) -> None:
        """Let a radio go that turned out to be no proxy and that nobody named."""
        if found := self._found.get(mac):
            self._not_proxies.add(found, self._now())
            if not found.config_hash:
                self._later(LOOK_AGAIN, partial(self._look_again_at, mac))
        self._spawn(self._remove(radio))

    def session_failed(self, radio: ESPHomeRadio) -> None:
        """Try a proxy in turn where the user and where mDNS say it is."""
        found = self._found.get(radio.session.mac or "")
        if self._now() - radio.moved_at < TURN_TIME:
            return
        if found and self._address(radio) != found.address:
            self._move(radio, found.address)
        elif radio.named and self._address(radio) != (radio.named.host, radio.named.port):
            self._move(radio, (radio.named.host, radio.named.port))

    def _move(self, radio: ESPHomeRadio, address: tuple[str, int]) -> None:
        _LOGGER.debug("%s: is tried at %s:%d", radio.name, *address)
        radio.moved_at = self._now()
        self._spawn(radio.session.move(*address))

    def _address(self, radio: ESPHomeRadio) -> tuple[str, int]:
        return radio.session.proxy.host, radio.session.proxy.port

    # Later

    def _stop_holding(self) -> None:
        self._holding = False
        self._look_again_at_held()

    def _look_again_at_held(self) -> None:
        """Look again at what mDNS found while a named proxy had not said who it is."""
        held, self._held = self._held, set()
        for mac in held:
            self._look_again_at(mac)

    def _look_again_at(self, mac: str) -> None:
        self.device_found(self._found[mac])

    def _now(self) -> float:
        return asyncio.get_running_loop().time()

    def _later(self, seconds: float, action: Callable[[], None]) -> None:
        """Do something later, unless the backend is closed before."""

        def act() -> None:
            self._timers.discard(timer)
            action()

        timer = asyncio.get_running_loop().call_later(seconds, act)
        self._timers.add(timer)

    def _spawn(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _SessionWatch(SessionListener):
    """Tells the backend what a session finds out."""

    def __init__(self, backend: ESPHomeBackend, radio: ESPHomeRadio) -> None:
        self._backend = backend
        self._radio = radio

    def session_changed(self, session: ProxySession) -> None:
        self._backend.session_changed(self._radio)

    def session_failed(self, session: ProxySession) -> None:
        self._backend.session_failed(self._radio)


_radio_fits: type[Radio] = ESPHomeRadio
_backend_fits: type[Backend] = ESPHomeBackend
