"""The ESPHome proxies of a fleet: which there are, and which of them is which device."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

from aioesphomeapi.model import DeviceInfo

from proxyconn.radio import (
    Backend,
    FleetOptions,
    HeldLinks,
    Proxy,
    RadioSink,
    mac_text,
    tell_apart,
)
from proxyconn_esphome.calls import Calls
from proxyconn_esphome.link.services.gatt_cache import GattCache
from proxyconn_esphome.link.services.services_table import recall
from proxyconn_esphome.proxies_by_mac import (
    LOOK_AGAIN,
    NotProxies,
    is_ambiguous,
    is_at,
    is_known,
    is_of,
    is_unidentified,
    is_unproven,
    session_of_mac,
)
from proxyconn_esphome.proxy_radio import ESPHomeRadio as ESPHomeRadio
from proxyconn_esphome.session.listener import SessionListener, SessionView
from proxyconn_esphome.session.session import ProxySession
from proxyconn_esphome.session.subscription.other_clients import TakeoverNotice
from proxyconn_esphome.wire.mdns import DiscoveryListener, FoundDevice, ProxyBrowser, open_zeroconf
from proxyconn_esphome.wire.problems import NOT_A_PROXY
from proxyconn_esphome.wire.raw_connection import MOST_BATCH as MOST_BATCH
from proxyconn_esphome.wire.raw_connection import MOST_DATA as MOST_DATA
from proxyconn_esphome.wire.raw_connection import MOST_REPORTS as MOST_REPORTS

HOLD_TIME = 3.0
"""Seconds for which discovered proxies wait for named ones to say which devices they are."""

TURN_TIME = 30.0
"""Seconds for which one of two addresses of a proxy is tried before it is the other's turn."""

MOST_FOUND = 512
"""ESPHome devices taken from mDNS: any program on the network can announce any number."""

_LOGGER = logging.getLogger(__name__)


class ESPHomeBackend(DiscoveryListener):
    """Finds proxies and keeps them connected.

    Args:
        options: which proxies are known, and whether to look for others.
        sink: told of every radio and what it hears.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink) -> None:
        self._options = options
        self._sink = sink
        self._cache = GattCache(options.state, recall)
        self._links = HeldLinks(options.state)
        self._radios: list[ESPHomeRadio] = []
        self._notice = TakeoverNotice(lambda: [radio.session for radio in self._radios])
        self._zeroconf = options.zeroconf
        self._browser: ProxyBrowser | None = None
        self._calls = Calls(
            sink,
            zeroconf=lambda: self._zeroconf,
            sessions=lambda: [radio.session for radio in self._radios],
            key_for=lambda *who: self._options.key_for(*who),  # noqa: PLW0108 - those of then
            join=lambda proxy, caller: self._join(
                proxy, expected_mac=caller.mac, announced_as=caller.name
            ),
        )
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
            await self._browse()
        await self._calls.listen(self._options.listen)

    async def _browse(self) -> None:
        self._holding = True
        self._later(HOLD_TIME, self._stop_holding)
        if self._zeroconf is None:
            self._zeroconf = open_zeroconf()
        self._browser = ProxyBrowser(self._zeroconf, self)
        await self._browser.start()

    async def reconfigure(self, options: FleetOptions) -> None:
        """Take other options; proxies that both have stay as they are, links included."""
        self._options = options
        wanted = list(options.proxies)
        unwanted = [radio for radio in self._radios if not self._stays(radio, wanted)]
        await asyncio.gather(*(self._remove(radio) for radio in unwanted))
        for proxy in wanted:
            await self._join(proxy, named=proxy).start()
        if options.discover and self._browser is None:
            await self._browse()
        elif self._browser and not options.discover:
            await self._browser.aclose()
            self._browser = None
            self._found.clear()
            self._held.clear()
        for mac in list(self._found):
            self._look_again_at(mac)
        await self._calls.listen(options.listen)

    def _stays(self, radio: ESPHomeRadio, wanted: list[Proxy]) -> bool:
        """Whether the options still ask for a radio; takes it from those that are to be made."""
        if radio.named:
            if radio.named not in wanted:
                return False
            radio.named = wanted.pop(wanted.index(radio.named))
            return True
        session = radio.session
        key = self._options.key_for(session.node_name, session.mac)
        sought = self._options.listen if session.reach.is_called else self._options.discover
        return bool(sought) and key == session.proxy.noise_psk

    async def aclose(self) -> None:
        """End the search and every session; idempotent, and can be finished if cancelled."""
        self._closing = True
        for timer in self._timers:
            timer.cancel()
        await self._calls.aclose()
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
        if found.is_shared and self._options.direct:
            return
        if found.mac not in self._found and len(self._found) >= MOST_FOUND:
            _LOGGER.debug("%s: ignored, for %d devices are known", found.name, MOST_FOUND)
            return
        self._found[found.mac] = found
        self._take(found, news=True)
        if is_ambiguous(found, self._found.values()):
            self._look_again_at_held()

    def _take(self, found: FoundDevice, *, news: bool) -> None:
        if self._closing or self._not_proxies.skips(found, self._now()):
            return
        key = self._options.key_for(found.name, found.mac)
        radio = next((one for one in self._radios if self._is_it(one, found, key)), None)
        if radio is None:
            self._find_place_for(found, key)
        elif not is_known(radio.session):
            # It goes by name or address, and another device may have that by now.
            self._held.add(found.mac)
            if news:
                radio.session.notify_seen()
        elif radio.session.is_up:
            _LOGGER.debug("%s: announced at %s:%d", found.name, found.host, found.port)
            if found.mac == radio.session.mac and found.port == radio.session.proxy.port:
                radio.session.reach.be_at(radio.hosts(found))
        elif found.mac == radio.session.mac and not is_at(radio.session, found):
            self._move(radio, radio.hosts(found), found.port)
        else:
            radio.session.notify_seen()

    def _is_it(self, radio: ESPHomeRadio, found: FoundDevice, key: str | None) -> bool:
        """Whether a radio is a device that mDNS has found, and for which there is this key.

        A device that nobody named, and that cannot prove who it is, keeps out none that can.
        """
        usurper = key is not None and radio.named is None and is_unproven(radio.session)
        ambiguous = is_ambiguous(found, self._found.values())
        return is_of(radio.session, found, by_name=not ambiguous) and not usurper

    def _find_place_for(self, found: FoundDevice, key: str | None) -> None:
        if self._holding and any(is_unidentified(radio.session) for radio in self._radios):
            # It may be one of those: wait until they have said who they are, or failed to.
            self._held.add(found.mac)
            return
        proxy = Proxy(found.host, found.port, noise_psk=key)
        session = self._join(
            proxy, expected_mac=found.mac, others=found.others, announced_as=found.name
        )
        self._spawn(session.start())

    def device_seen(self, name: str) -> None:
        """Try a proxy that is on the network again."""
        for session in self._sessions_named(name):
            session.notify_seen()

    def device_left(self, name: str) -> None:
        """Do not wait for a proxy that has said goodbye."""
        for session in self._sessions_named(name):
            session.unreachable.said_goodbye()

    def _sessions_named(self, name: str) -> list[ProxySession]:
        # A responder that hears its name already announces another one, `cellar-2`.
        macs = {found.mac for found in self._found.values() if found.name == name}
        sessions = (radio.session for radio in self._radios)
        return [
            one
            for one in sessions
            if not one.is_up
            and (one.mac in macs or (one.node_name == name and one.mac not in self._found))
        ]

    # Radios

    def _join(
        self,
        proxy: Proxy,
        *,
        named: Proxy | None = None,
        expected_mac: str | None = None,
        others: Sequence[str] = (),
        announced_as: str | None = None,
    ) -> ProxySession:
        session = ProxySession(
            proxy,
            cache=self._cache,
            zeroconf=self._zeroconf,
            expected_mac=expected_mac,
            others=others,
            announced_as=announced_as,
            admit=self._admit,
            subscribe=self._options.subscribe,
            held=self._links,
        )
        session.other_clients.notice = self._notice if self._options.warns else None
        session.reach.declare_target(self._options.listen is not None)
        radio = ESPHomeRadio(session, self._sink, named)
        session.add_listener(_SessionWatch(self, radio))
        self._radios.append(radio)
        self._tell_apart()
        self._sink.radio_added(radio)
        return session

    async def _remove(self, radio: ESPHomeRadio) -> None:
        await radio.session.aclose()
        if radio in self._radios:
            self._radios.remove(radio)
            self._sink.radio_removed(radio)
            self._tell_apart()

    def _tell_apart(self) -> None:
        """Give every proxy a label of its own: two boards of one YAML have one name.

        The first that the user lists keeps its name, or else the one with the lowest MAC address:
        the order in which they answer is another one each time.
        """
        radios = sorted(self._radios, key=lambda one: "" if one.named else one.identity)
        for radio, label in zip(radios, tell_apart([one.full_name for one in radios]), strict=True):
            if radio.name == label:
                continue
            radio.session.call(label)
            if radio.session.mac and label != radio.session.node_name:
                _LOGGER.warning(
                    "another proxy is called %s too; the one with MAC address %s is shown as %s",
                    radio.session.node_name,
                    mac_text(radio.session.mac),
                    label,
                )
            self._sink.state_changed(radio)

    def _admit(self, session: ProxySession, info: DeviceInfo) -> bool:
        """Let one session alone speak to a device: a second one would take the first one's place.

        Of two the one with a key stays, for without one anybody can say to be any device; else the
        one that is up.
        """
        self._tell_apart()
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
        self._tell_apart()
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
        named, session = radio.named, radio.session
        if found and not is_at(session, found):
            self._move(radio, radio.hosts(found), found.port)
        elif named and (named.port != session.proxy.port or named.host not in session.reach.hosts):
            self._move(radio, [named.host], named.port)

    def _move(self, radio: ESPHomeRadio, hosts: Sequence[str], port: int) -> None:
        _LOGGER.debug("%s: is tried at %s, port %d", radio.name, ", ".join(hosts), port)
        radio.moved_at = self._now()
        self._spawn(radio.session.move(hosts, port))

    # Later

    def _stop_holding(self) -> None:
        self._holding = False
        self._look_again_at_held()

    def _look_again_at_held(self) -> None:
        """Look again at what mDNS found while a named proxy had not said who it is."""
        held, self._held = self._held, set()
        for mac in held:
            self._take(self._found[mac], news=False)

    def _look_again_at(self, mac: str) -> None:
        # Proxies may not be sought any more since it was put off.
        if found := self._found.get(mac):
            self._take(found, news=True)

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

    def session_changed(self, session: SessionView) -> None:
        self._backend.session_changed(self._radio)

    def session_failed(self, session: SessionView) -> None:
        self._backend.session_failed(self._radio)


_backend_fits: type[Backend] = ESPHomeBackend
