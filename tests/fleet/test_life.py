"""How proxies come, move, change and go, on a controlled clock; what mDNS says is told directly."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from proxyconn import Proxy, RadioState
from proxyconn.radio import AllocationChangeEvent, FleetOptions, Radio
from proxyconn_esphome._discovery import FoundDevice
from proxyconn_esphome.radio import ESPHomeBackend, ESPHomeRadio
from proxyconn_virtual._profiles import FirmwareProfile
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

pytestmark = pytest.mark.looptime

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

    async def start(self, *proxies: Proxy, key: str | None = KEY) -> ESPHomeBackend:
        """Start a backend that does not browse."""
        options = FleetOptions(proxies=proxies, discover=False, noise_psk=key)
        backend = self.backend = ESPHomeBackend(options, self.sink)
        self._stack.push_async_callback(backend.aclose)
        await backend.start()
        return backend

    def announce(self, proxy: VirtualProxy, config_hash: str | None = "1") -> None:
        """Let mDNS say where a proxy is."""
        assert self.backend is not None
        mac = proxy.mac.replace(":", "").lower()
        self.backend.device_found(FoundDevice(proxy.name, mac, proxy.host, proxy.port, config_hash))


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


# Coming and going


async def test_short_loss_is_no_news() -> None:
    """A proxy that is back within seconds was never gone."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        await proxy.kill()
        await settle(8)
        await proxy.start()
        await settle(10)
        assert place.sink.states == [CONNECTING, READY, CONNECTING, READY]
        assert place.sink.added == 1


@pytest.mark.parametrize("farewell", [True, False])
async def test_long_loss_is_told_with_its_reason(farewell: bool) -> None:
    """After 15 s it is gone; it is tried on, and serves again when it is back."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        await (proxy.stop() if farewell else proxy.kill())
        await settle(14)
        assert place.sink.states == [CONNECTING, READY, CONNECTING]
        assert place.sink.radio.problem is None
        await settle(2)
        assert place.sink.radio.state is GONE
        assert "no connection to its port" in str(place.sink.radio.problem)
        await settle(3600)
        assert place.sink.states == [CONNECTING, READY, CONNECTING, GONE]
        await proxy.start()
        await settle(65)
        assert place.sink.radio.state is READY


async def test_unreachable_proxy_is_gone_after_its_first_failure() -> None:
    """A proxy that was never there is not waited for, nor does it hold up another one."""
    with socket.socket() as mute:
        mute.bind(("127.0.0.1", 0))
        mute.listen()
        async with a_place() as place:
            proxy = await place.proxy()
            dead = Proxy("127.0.0.1", free_port(), noise_psk=KEY)
            hung = Proxy("127.0.0.1", mute.getsockname()[1], noise_psk=KEY)
            await place.start(dead, hung, named(proxy))
            await settle()
            states = [radio.state for radio in place.sink.radios]
            assert states == [GONE, CONNECTING, READY]
            await settle(70)
            assert [radio.state for radio in place.sink.radios] == [GONE, GONE, READY]


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


async def test_goodbye_ends_the_wait() -> None:
    """A proxy that has left the network by its own account is gone at once."""
    async with a_place() as place:
        proxy = await place.proxy()
        backend = await place.start(named(proxy))
        await settle()
        await proxy.kill()
        await settle(1)
        backend.device_left("kitchen")
        assert place.sink.states == [CONNECTING, READY, CONNECTING, GONE]


async def test_announcement_wakes_a_proxy_that_was_gone() -> None:
    """It is tried at once, not when its backoff is over."""
    async with a_place() as place:
        proxy = await place.proxy()
        backend = await place.start(named(proxy))
        await settle()
        await proxy.kill()
        await settle(600)
        await proxy.start()
        backend.device_seen("kitchen")
        await settle(1)
        assert place.sink.radio.state is READY


async def test_flapping_proxy_is_tried_less_and_less() -> None:
    """A connection that is lost as soon as it is up is not set up twice a second for ever."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        cure = proxy.inject("flapping", 0.5)
        await settle(600)
        assert proxy.snapshot().received["DeviceInfoRequest"] < 25
        cure()
        await settle(120)
        assert place.sink.radio.state is READY


# Moving


@pytest.mark.parametrize("by_name", [True, False])
async def test_proxy_that_moved_is_followed(by_name: bool) -> None:
    """MDNS announces the same MAC address elsewhere; it stays the same radio.

    Nobody waits for the old address, where something else may take calls and say nothing.
    """
    with socket.socket() as mute:
        await _moved(by_name, mute)


async def _moved(by_name: bool, mute: socket.socket) -> None:
    async with a_place() as place:
        old = await place.proxy()
        backend = await place.start(*([named(old)] if by_name else []))
        if not by_name:
            place.announce(old)
        await settle()
        radio = place.sink.radio
        await old.kill()
        mute.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        mute.bind(("127.0.0.1", old.port))
        mute.listen()
        new = await place.proxy()
        await settle(1)
        place.announce(new)
        await settle()
        assert place.sink.radio is radio
        assert radio.state is READY
        assert place.sink.added == 1
        assert new.snapshot().subscriber == "proxyconn"
        assert backend is place.backend


async def test_announcements_do_not_disturb_a_session() -> None:
    """While the proxy is ready it does not matter where else it is said to be."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        backend = place.backend
        assert backend is not None
        backend.device_found(FoundDevice("kitchen", mac_digits(MAC), "127.0.0.1", 1, "2"))
        await settle(60)
        assert place.sink.states == [CONNECTING, READY]


async def test_named_address_is_tried_again_in_turn() -> None:
    """Where mDNS said it is there is nothing any more: the user's own address has its turn."""
    async with a_place() as place:
        proxy = await place.proxy()
        backend = await place.start(named(proxy))
        await settle()
        await proxy.kill()
        backend.device_found(FoundDevice("kitchen", mac_digits(MAC), "127.0.0.1", free_port(), "2"))
        await settle(5)
        await proxy.start()
        await settle(200)
        assert place.sink.radio.state is READY


def mac_digits(mac: str) -> str:
    """Return a MAC address as mDNS gives it."""
    return mac.replace(":", "").lower()


# Identity


@pytest.mark.parametrize("key", [KEY, None])
async def test_other_device_at_the_address_is_refused(key: str | None) -> None:
    """Both addresses are named, and it is asked for nothing; the right one is taken back."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        await place.start(named(proxy, key=key))
        await settle()
        await proxy.kill()
        other = await place.proxy(OTHER_MAC, name="bedroom", noise_psk=key, port=proxy.port)
        await settle(60)
        assert place.sink.radio.state is GONE
        problem = str(place.sink.radio.problem)
        assert MAC in problem
        assert OTHER_MAC in problem
        bluetooth = [name for name in other.snapshot().received if "Bluetooth" in name]
        assert bluetooth == []
        # Encryption shows who it is before anything is said.
        assert other.snapshot().received.get("DeviceInfoRequest", 0) <= (0 if key else 3)
        await other.kill()
        await proxy.start()
        await settle(130)
        assert place.sink.radio.state is READY


async def test_other_device_at_the_address_is_a_radio_of_its_own() -> None:
    """The address was the old proxy's; the MAC address tells that this is not it."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start()
        place.announce(proxy)
        await settle()
        await proxy.kill()
        other = await place.proxy(OTHER_MAC, name="bedroom", port=proxy.port)
        place.announce(other)
        await settle(30)
        assert {radio.name: radio.state for radio in place.sink.radios} == {
            "kitchen": GONE,
            "bedroom": READY,
        }


async def test_two_addresses_of_one_proxy_are_one_radio() -> None:
    """The second session leaves before it takes the first one's subscription."""
    async with a_place() as place:
        proxy = await place.proxy(profile="2026.7.0")
        await place.start(named(proxy), named(proxy, "localhost"))
        place.announce(proxy)
        await settle()
        assert place.sink.radio.state is READY
        assert proxy.snapshot().clients == ("proxyconn",)
        assert proxy.snapshot().received["SubscribeBluetoothLEAdvertisementsRequest"] == 1


async def test_right_key_wins_over_wrong_key() -> None:
    """Found with one key and named with another, a proxy is the radio that can speak to it."""
    async with a_place() as place:
        proxy = await place.proxy()
        backend = await place.start(named(proxy, "localhost"), key=new_noise_psk())
        backend.device_found(FoundDevice("kitchen", mac_digits(MAC), "127.0.0.1", proxy.port))
        await settle()
        assert place.sink.radio.state is READY
        assert place.sink.radio.named is not None


async def test_wrong_key_is_tried_slowly_and_recovers() -> None:
    """Once a minute, and it is ready when the key is right again."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        cure = proxy.inject("wrong_key")
        await settle(400)
        assert place.sink.radio.state is WRONG_KEY
        assert place.sink.states == [CONNECTING, READY, CONNECTING, WRONG_KEY]
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


@pytest.mark.parametrize("key", [KEY, None])
async def test_proxy_in_the_wrong_mode_is_not_spoken_to(key: str | None) -> None:
    """Encryption that comes or goes is a matter of the key; nothing is ever said in the clear."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        await place.start(named(proxy, key=key))
        await settle()
        cure = proxy.inject("wrong_mode")
        await settle()
        before = proxy.snapshot().received
        await settle(100)
        assert place.sink.radio.state is WRONG_KEY
        assert proxy.snapshot().received == before
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


async def test_full_proxy_is_not_a_wrong_key() -> None:
    """A proxy with five clients closes without a word, which says nothing about the key."""
    async with a_place() as place:
        proxy = await place.proxy()
        cure = proxy.inject("slot_limit_tcp")
        await place.start(named(proxy))
        await settle(30)
        assert place.sink.radio.state is GONE
        cure()
        await settle(65)
        assert place.sink.radio.state is READY


# Devices that are no proxies


class NoProxy(FirmwareProfile):
    """Firmware without the component."""

    def features(self, *, active: bool) -> Any:
        """None at all."""
        return 0


@pytest.mark.parametrize("hashes", [("1", "2"), (None, None)])
async def test_device_that_becomes_a_proxy_is_found(hashes: tuple[str | None, ...]) -> None:
    """It is asked again when its configuration has changed, or after ten minutes."""
    async with a_place() as place:
        bulb = await place.proxy(profile=NoProxy())
        await place.start()
        place.announce(bulb, hashes[0])
        await settle()
        assert place.sink.radios == []
        place.announce(bulb, hashes[0])
        await settle()
        assert place.sink.added == 1
        await bulb.kill()
        await place.proxy(port=bulb.port)
        if hashes[1]:
            place.announce(bulb, hashes[1])
        else:
            await settle(600)
        await settle()
        assert place.sink.radio.state is READY


async def test_named_device_that_becomes_a_proxy_is_found() -> None:
    """One that the user named is kept, and says what it is."""
    async with a_place() as place:
        bulb = await place.proxy(profile=NoProxy())
        await place.start(named(bulb))
        await settle()
        assert "no Bluetooth proxy" in str(place.sink.radio.problem)
        await bulb.kill()
        await place.proxy(port=bulb.port)
        await settle(30)
        assert place.sink.radio.state is READY
