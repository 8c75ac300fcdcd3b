"""The ESPHome proxies of a fleet that shares them out with others: only those that are ours.

Every proxy is asked once who it is, which takes nothing from whoever uses it. From then on only
those are connected that are ours; what is not ours any more is cut off before anything else.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterable, Sequence
from dataclasses import replace
from typing import Any, Final

from aioesphomeapi.model import DeviceInfo
from zeroconf.asyncio import AsyncZeroconf

from proxyconn.callbacks import log_failure
from proxyconn.radio import (
    AbsentRadio,
    Backend,
    Candidate,
    FleetOptions,
    Proxy,
    RadioSink,
    Tenure,
)
from proxyconn_esphome.backend import MOST_FOUND, ESPHomeBackend
from proxyconn_esphome.leased import LeasedBackend, Place
from proxyconn_esphome.wire.connection import Connection, ConnectionOwner
from proxyconn_esphome.wire.identity import mac_digits, stranger
from proxyconn_esphome.wire.mdns import DiscoveryListener, FoundDevice, ProxyBrowser, open_zeroconf
from proxyconn_esphome.wire.native_api import Wire
from proxyconn_esphome.wire.problems import NOT_A_PROXY, Problem, problem_of

NO_CALLS: Final = (
    "nobody listens on port %d: proxies that call by themselves are not shared out in a cluster "
    "yet; name their addresses, or have an owner without a cluster for them"
)

_LOGGER = logging.getLogger(__name__)


def backend(options: FleetOptions, sink: RadioSink) -> Backend:
    """Return what brings the ESPHome proxies into a fleet: all, or those that are ours."""
    if options.tenure is None:
        return ESPHomeBackend(options, sink)
    return SharedOutBackend(options, sink, options.tenure)


class Identification(ConnectionOwner):
    """Asks one device who it is, until it has said so.

    Args:
        backend: told.
        proxy: where it may be, and its key.
        found: what mDNS says of it; None for one that the user named.
        zeroconf: resolves `.local` names.

    Attributes:
        proxy, found: as above.
        mac: 12 lower-case hex digits; None until it has said them.
        place: where it is; None until it has said who it is.
        shown: the radio that stands for it while it cannot be asked.
    """

    def __init__(
        self,
        backend: SharedOutBackend,
        proxy: Proxy,
        found: FoundDevice | None,
        zeroconf: AsyncZeroconf | None,
    ) -> None:
        self.proxy = proxy
        self.found = found
        self.mac: str | None = None
        self.place: Place | None = None
        self.shown: AbsentRadio | None = None
        self._backend = backend
        self.connection = Connection(
            proxy,
            self,
            zeroconf=zeroconf,
            expected_mac=found.mac if found else None,
            others=found.others if found else (),
        )

    def on_up(self, connection: Connection, info: DeviceInfo, wire: Wire) -> None:
        """Take note of who it is."""
        if problem := stranger(info, self.proxy, self.found.mac if self.found else None):
            self._backend.not_identified(self, problem)
        elif connection.features(info):
            self.mac = mac_digits(info.mac_address)
            self.place = self._place(connection.hosts, info.name)
            self._backend.identified(self)
        else:
            self._backend.not_identified(self, NOT_A_PROXY)

    def _place(self, hosts: Sequence[str], name: str) -> Place:
        """Return where it is: where the user says, or first of all where it has answered."""
        if self.found is None:
            return Place(self.proxy, name, named=True)
        answered, *others = hosts
        proxy = replace(self.proxy, host=answered)
        return Place(proxy, name, named=False, others=tuple(others))

    def on_lost(self, connection: Connection, why: str) -> None:
        """Nothing: it has said who it is, or is asked again."""

    def on_failed(self, connection: Connection, error: Exception) -> None:
        """Show why it cannot be asked."""
        mac = self.found.mac if self.found else None
        given = self.proxy.password is not None
        self._backend.not_identified(self, problem_of(error, mac, password_given=given))


class SharedOutBackend(DiscoveryListener):
    """Finds out which proxies there are, and uses those that are ours.

    Args:
        options: which proxies are known, and whether to look for others.
        sink: told of every radio that is ours.
        tenure: says which are.
    """

    def __init__(self, options: FleetOptions, sink: RadioSink, tenure: Tenure) -> None:
        self._options = options
        self._sink = sink
        self._tenure = tenure
        self._zeroconf = options.zeroconf
        self._leased = LeasedBackend(options, sink, tenure)
        self._asked: list[Identification] = []
        self._places: dict[str, Place] = {}
        self._browser: ProxyBrowser | None = None
        self._said_deaf = False
        self._changed = asyncio.Event()
        self._remove = tenure.register(self._tenure_changed)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin to ask who is there; waits for none of them."""
        self._spawn(self._tasks, self._follow())
        await self._look()

    async def _look(self) -> None:
        if self._options.listen is not None and not self._said_deaf:
            self._said_deaf = True
            _LOGGER.warning(NO_CALLS, self._options.listen)
        if self._options.discover and self._browser is None:
            if self._zeroconf is None:
                self._zeroconf = open_zeroconf()
            self._browser = ProxyBrowser(self._zeroconf, self)
            await self._browser.start()
        for proxy in self._options.proxies:
            if not any(one.proxy == proxy and one.found is None for one in self._asked):
                self._ask(proxy, None)

    async def reconfigure(self, options: FleetOptions) -> None:
        """Take other options; proxies that both have stay as they are, links included."""
        self._options = options
        self._leased.take_options(options)
        for one in list(self._asked):
            if not self._stays(one):
                self._forget(one)
        if self._browser and not options.discover:
            await self._browser.aclose()
            self._browser = None
        await self._look()
        self._offer()

    async def aclose(self) -> None:
        """Let every proxy go; idempotent."""
        # First, or what is let go would be taken again.
        self._tenure.offer({})
        self._remove()
        if self._browser:
            await self._browser.aclose()
            self._browser = None
        for task in self._tasks:
            task.cancel()
        # Those that close take 2 s at most, and must not be left half-way.
        await asyncio.gather(*self._tasks, *self._closing, return_exceptions=True)
        await asyncio.gather(*(one.connection.aclose("closed") for one in self._asked))
        used = self._leased.used
        await self._leased.aclose()
        for mac in used:
            self._tenure.let_go(mac)
        if self._zeroconf is not None and self._options.zeroconf is None:
            await self._zeroconf.async_close()
            self._zeroconf = None

    # What mDNS says

    def device_found(self, found: FoundDevice) -> None:
        """Ask a device that appeared, or is somewhere else now."""
        if found.is_shared:
            return
        known = next((one for one in self._asked if one.found and one.found.mac == found.mac), None)
        if known is not None:
            same = known.found is not None and set(known.found.hosts) == set(found.hosts)
            if same and known.proxy.port == found.port:
                return
            # Its links are up where it was for all we know: that place stays until it has another.
            self._leave(known)
        elif sum(one.found is not None for one in self._asked) >= MOST_FOUND:
            return
        self._ask(Proxy(found.host, found.port, noise_psk=self._key(found)), found)

    def device_seen(self, name: str) -> None:
        """Try a device that is on the network again."""
        for one in self._asked:
            if one.mac is None and one.found and one.found.name == name:
                one.connection.wake()

    def device_left(self, name: str) -> None:
        """Nothing: it may be back in a moment."""

    def _key(self, found: FoundDevice) -> str | None:
        return self._options.key_for(found.name, found.mac)

    def _stays(self, one: Identification) -> bool:
        """Whether the options still ask for a device."""
        if one.found is None:
            return one.proxy in self._options.proxies
        return self._options.discover and self._key(one.found) == one.proxy.noise_psk

    # Who is who

    def _ask(self, proxy: Proxy, found: FoundDevice | None) -> None:
        one = Identification(self, proxy, found, self._zeroconf)
        self._asked.append(one)
        self._spawn(self._tasks, one.connection.start())

    def _leave(self, one: Identification) -> None:
        """Ask a device no more; where it was is still where it is."""
        self._asked.remove(one)
        self._hide(one)
        self._close(one, "not asked any more")

    def _forget(self, one: Identification) -> None:
        """Use a device no more, unless it is known by another way as well."""
        self._leave(one)
        mac = one.mac or (one.found.mac if one.found else "")
        place = self._places.get(mac)
        others = [other.place for other in self._asked if other.place and other.mac == mac]
        if place and place not in others and place.named is (one.found is None):
            others.sort(key=lambda other: not other.named)
            self._put(mac, others[0] if others else None)

    def identified(self, one: Identification) -> None:
        """Take note of a proxy that has said who it is."""
        self._hide(one)
        self._close(one, "it has said who it is")
        if one.mac is None or one.place is None:
            return
        known = self._places.get(one.mac)
        if known and known.named and one.found:
            return
        for mac, place in list(self._places.items()):
            if mac != one.mac and not place.named and _is_same(place.proxy, one.place.proxy):
                # Another device has answered there: its address is this one's now.
                self._put(mac, None)
        self._put(one.mac, one.place)

    def _put(self, mac: str, place: Place | None) -> None:
        """Take note of where a proxy is, or that it is nowhere any more."""
        if place is None:
            self._places.pop(mac, None)
        else:
            self._places[mac] = place
        self._offer()

    def not_identified(self, one: Identification, problem: Problem) -> None:
        """Show why a device cannot be asked, unless it is none of those that are meant."""
        if problem is NOT_A_PROXY and one.found:
            self._hide(one)
            self._close(one, problem.text)
            if (known := self._places.get(one.found.mac)) and not known.named:
                self._put(one.found.mac, None)
            return
        if one.shown is None:
            name = one.found.name if one.found else one.proxy.name
            label = name or f"{one.proxy.host}:{one.proxy.port}"
            one.shown = AbsentRadio(
                label, problem.state, problem.text, host=one.proxy.host, port=one.proxy.port
            )
            self._sink.radio_added(one.shown)
        elif one.shown.problem != problem.text:
            one.shown.state, one.shown.problem = problem.state, problem.text
            self._sink.state_changed(one.shown)

    def _hide(self, one: Identification) -> None:
        if one.shown:
            self._sink.radio_removed(one.shown)
            one.shown = None

    def _offer(self) -> None:
        self._tenure.offer(
            {mac: Candidate(place.name, place.named) for mac, place in self._places.items()}
        )
        self._changed.set()

    # What is ours

    def _tenure_changed(self) -> None:
        for mac in self._leased.used:
            if not self._tenure.holds(mac):
                self._leased.cut(mac)
        self._changed.set()

    async def _follow(self) -> None:
        """Use what is ours as that changes, one change after the other."""
        while True:
            await self._changed.wait()
            self._changed.clear()
            used = self._leased.used
            wanted = {mac: self._places[mac] for mac in self._ours()}
            await self._leased.use(wanted)
            for mac in used - wanted.keys():
                self._tenure.let_go(mac)

    def _ours(self) -> Iterable[str]:
        return [mac for mac in self._places if self._tenure.wanted(mac)]

    def _close(self, one: Identification, why: str) -> None:
        self._spawn(self._closing, one.connection.aclose(why))

    def _spawn(self, tasks: set[asyncio.Task[None]], coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(coroutine)
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        task.add_done_callback(log_failure)


def _is_same(one: Proxy, other: Proxy) -> bool:
    return (one.host, one.port) == (other.host, other.port)


_backend_fits: type[Backend] = SharedOutBackend
