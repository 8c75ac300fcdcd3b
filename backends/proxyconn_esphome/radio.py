"""ESPHome proxies as the radios of a fleet."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import Any

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
)

from ._adverts import advertisement_data
from ._cache import GattCache
from ._discovery import FoundDevice, ProxyBrowser
from ._listener import SessionListener
from ._messages import BluetoothLERawAdvertisementsResponse
from ._session import NOT_A_PROXY, ProxySession
from .client import ESPHomeClient

HOLD_TIME = 3.0
"""Seconds for which discovered proxies wait for named ones to say which devices they are."""

_LOGGER = logging.getLogger(__name__)


class ESPHomeRadio(SessionListener):
    """One proxy."""

    def __init__(self, session: ProxySession, sink: RadioSink) -> None:
        self.session = session
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
        session = self.session
        return len(session.ledger.claims | session.opening | session.abandoned.keys())

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
        self._sink.heard(self, message.advertisements, advertisement_data)


class ESPHomeBackend:
    """Finds proxies and keeps them connected.

    Args:
        options: which proxies are known, and whether to look for others.
        sink: told of every radio and what it hears.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink) -> None:
        self._options = options
        self._sink = sink
        self._cache = GattCache()
        self._radios: dict[str, ESPHomeRadio] = {}
        self._zeroconf = options.zeroconf
        self._browser: ProxyBrowser | None = None
        self._not_proxies: set[str] = set()
        self._held: dict[str, FoundDevice] = {}
        self._holding: asyncio.TimerHandle | None = None
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Connect to the known proxies and begin to look for others; waits for none of them."""
        for proxy in self._options.proxies:
            await self._join(f"{proxy.host}:{proxy.port}", proxy).start()
        if self._options.discover:
            self._holding = asyncio.get_running_loop().call_later(HOLD_TIME, self._stop_holding)
            if self._zeroconf is None:
                self._zeroconf = AsyncZeroconf()
            self._browser = ProxyBrowser(self._zeroconf, self._found)
            await self._browser.start()

    async def aclose(self) -> None:
        """End the search and every session; idempotent, and can be finished if cancelled."""
        self._closing = True
        if self._holding:
            self._holding.cancel()
        if self._browser:
            await self._browser.aclose()
            self._browser = None
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(self._remove(radio) for radio in list(self._radios.values())))
        if self._zeroconf is not None and self._options.zeroconf is None:
            await self._zeroconf.async_close()
            self._zeroconf = None

    def _found(self, found: FoundDevice) -> None:
        if self._closing or found.mac in self._not_proxies:
            return
        known = self._radios.get(found.mac) or self._configured(found)
        if known is None and self._holding and any(map(_unidentified, self._radios.values())):
            # It may be one of those: wait until they have said who they are, or failed to.
            self._held[found.mac] = found
        elif known is None:
            key = self._options.key_for(found.name)
            proxy = Proxy(found.host, found.port, noise_psk=key, name=found.name)
            self._spawn(self._join(found.mac, proxy, expected_mac=found.mac).start())
        elif known.state is not RadioState.READY:
            moved = (known.session.proxy.host, known.session.proxy.port) != (found.host, found.port)
            if moved and found.mac in self._radios:
                self._spawn(self._move(found, known))
            else:
                known.session.notify_seen()

    def _configured(self, found: FoundDevice) -> ESPHomeRadio | None:
        """Return the radio of a configured proxy that mDNS has now found as well."""
        for radio in self._radios.values():
            session, proxy = radio.session, radio.session.proxy
            mac = session.info.mac_address.replace(":", "").lower() if session.info else None
            if (
                mac == found.mac
                or session.name == found.name
                or ((proxy.host, proxy.port) == (found.host, found.port))
            ):
                return radio
        return None

    async def _move(self, found: FoundDevice, radio: ESPHomeRadio) -> None:
        _LOGGER.debug("%s: moved to %s:%d", found.name, found.host, found.port)
        await self._remove(radio)
        self._found(found)

    def _join(self, key: str, proxy: Proxy, expected_mac: str | None = None) -> ProxySession:
        session = ProxySession(
            proxy, cache=self._cache, zeroconf=self._zeroconf, expected_mac=expected_mac
        )
        radio = ESPHomeRadio(session, self._sink)
        session.add_listener(_IdentityWatch(self, radio))
        self._radios[key] = radio
        self._sink.radio_added(radio)
        return session

    async def _remove(self, radio: ESPHomeRadio) -> None:
        await radio.session.aclose()
        for key in [key for key, value in self._radios.items() if value is radio]:
            del self._radios[key]
        self._sink.radio_removed(radio)

    def drop_other_device(self, radio: ESPHomeRadio) -> None:
        """Let a radio go that turned out to be no proxy, unless somebody named it."""
        if radio.session.proxy not in self._options.proxies:
            self._not_proxies |= {key for key, value in self._radios.items() if value is radio}
            self._spawn(self._remove(radio))

    def _stop_holding(self) -> None:
        self._holding = None
        self.identified()

    def identified(self) -> None:
        """Look again at what mDNS found while a named proxy had not said who it is."""
        held, self._held = self._held, {}
        for found in held.values():
            self._found(found)

    def _spawn(self, coroutine: Any) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


class _IdentityWatch(SessionListener):
    """Tells the backend once a session knows what it is connected to."""

    def __init__(self, backend: ESPHomeBackend, radio: ESPHomeRadio) -> None:
        self._backend = backend
        self._radio = radio

    def session_changed(self, session: ProxySession) -> None:
        if session.problem is NOT_A_PROXY:
            self._backend.drop_other_device(self._radio)
        self._backend.identified()


def _unidentified(radio: ESPHomeRadio) -> bool:
    """Whether nobody knows yet which device a named proxy is."""
    session = radio.session
    return session.info is None and session.proxy.name is None and session.problem is None


_radio_fits: type[Radio] = ESPHomeRadio
_backend_fits: type[Backend] = ESPHomeBackend
