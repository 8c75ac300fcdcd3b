"""A backend on a controlled clock, virtual proxies, and what mDNS says, told directly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from proxyconn import Proxy, RadioState
from proxyconn.radio import AllocationChangeEvent, FleetOptions, Radio
from proxyconn_esphome.backend import ESPHomeBackend, ESPHomeRadio
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

CONNECTING, READY, GONE = RadioState.CONNECTING, RadioState.READY, RadioState.GONE
WRONG_KEY = RadioState.WRONG_KEY
KEY = new_noise_psk()
MAC, OTHER_MAC = "AA:BB:CC:00:00:01", "AA:BB:CC:00:00:02"


@dataclass
class Ledger:
    """Notes what a backend tells; fulfils RadioSink."""

    radios: list[ESPHomeRadio] = field(default_factory=list)
    added: int = 0
    states: list[RadioState] = field(default_factory=list)

    def radio_added(self, radio: Radio) -> None:
        assert isinstance(radio, ESPHomeRadio)
        self.added += 1
        self.radios.append(radio)
        self.states.append(radio.state)

    def radio_removed(self, radio: Radio) -> None:
        assert isinstance(radio, ESPHomeRadio)
        self.radios.remove(radio)

    def state_changed(self, radio: Radio) -> None:
        if self.states[-1] is not radio.state:
            self.states.append(radio.state)

    def heard(self, radio: Radio, reports: Any, parse: Any) -> None:
        """Nothing."""

    def slots_changed(self, radio: Radio, events: Sequence[AllocationChangeEvent]) -> None:
        """Nothing."""

    def link_opened(self, radio: Radio, address: str) -> None:
        """Nothing."""

    @property
    def radio(self) -> ESPHomeRadio:
        """The only radio there is."""
        (radio,) = self.radios
        return radio


class Place:
    """A network with virtual proxies, and a backend that looks after them."""

    def __init__(self, stack: AsyncExitStack) -> None:
        self._stack = stack
        self.sink = Ledger()
        self.backend: ESPHomeBackend | None = None

    async def proxy(self, mac: str = MAC, **spec: object) -> VirtualProxy:
        """Start a virtual proxy, which hears one device."""
        options: dict[str, object] = {"name": "kitchen", "noise_psk": KEY, "mac": mac, **spec}
        near = Peripheral("C4:00:00:00:00:01", "near", rssi={"kitchen": -50}, interval=2.0)
        fleet = VirtualFleet([ProxySpec(**options)], [near], announce=False)  # type: ignore[arg-type]
        await self._stack.enter_async_context(fleet)
        return fleet.proxies[str(options["name"])]

    async def start(
        self,
        *proxies: Proxy,
        key: str | Mapping[str, str] | None = KEY,
        listen: int | None = None,
        direct: bool = False,
    ) -> ESPHomeBackend:
        """Start a backend that does not browse."""
        options = FleetOptions(
            proxies=proxies, discover=False, noise_psk=key, listen=listen, direct=direct
        )
        return await self.run(options)

    async def run(self, options: FleetOptions) -> ESPHomeBackend:
        """Start a backend with these options."""
        backend = self.backend = ESPHomeBackend(options, self.sink)
        self._stack.push_async_callback(backend.aclose)
        await backend.start()
        return backend

    def announce(
        self, proxy: VirtualProxy, config_hash: str | None = "1", *, is_shared: bool = False
    ) -> None:
        """Let mDNS say where a proxy is."""
        assert self.backend is not None
        mac = proxy.mac.replace(":", "").lower()
        self.backend.device_found(
            FoundDevice(
                proxy.announced_as,
                mac,
                proxy.host,
                proxy.port,
                config_hash,
                is_shared=is_shared,
            )
        )


@asynccontextmanager
async def a_place() -> AsyncIterator[Place]:
    """Run a network on the test's own clock."""
    async with AsyncExitStack() as stack:
        yield Place(stack)


def named(proxy: VirtualProxy, host: str = "127.0.0.1", key: str | None = KEY) -> Proxy:
    """Return what a user writes for a proxy."""
    return Proxy(host, proxy.port, noise_psk=key)


async def settle(seconds: float = 2.0) -> None:
    """Let what is under way happen."""
    await asyncio.sleep(seconds)


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


def mac_digits(mac: str) -> str:
    """Return a MAC address as mDNS gives it."""
    return mac.replace(":", "").lower()
