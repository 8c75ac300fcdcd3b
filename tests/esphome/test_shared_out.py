"""Proxies that several owners share out: who goes, and who moves.

What mDNS says is said here without it: a cache that forgets records in its own time is no clock.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass

import pytest
from zeroconf.asyncio import AsyncZeroconf

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.radio import Candidate
from proxyconn_esphome import shared_out
from proxyconn_esphome.wire.mdns import DiscoveryListener, FoundDevice
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .conftest import READ, address, peripheral, until

KEY = new_noise_psk()
FIRST, SECOND = "127.0.0.1", "127.0.0.2"
PATIENCE = 20.0


class Ours:
    """A tenure by which the proxies of a test are ours, as soon as they are known.

    Attributes:
        known: what was offered last.
        offers: how often something was.
        gone: what was let go.
    """

    def __init__(self, *ours: str) -> None:
        self.ours = frozenset(ours)
        self.known: dict[str, Candidate] = {}
        self.offers = 0
        self.gone: list[str] = []
        self._callbacks: list[Callable[[], None]] = []

    def offer(self, candidates: Mapping[str, Candidate]) -> None:
        self.known = {mac: one for mac, one in candidates.items() if mac in self.ours}
        self.offers += 1
        for callback in self._callbacks:
            callback()

    def wanted(self, mac: str) -> bool:
        return mac in self.known

    def holds(self, mac: str) -> bool:
        return mac in self.ours

    def had_owner(self, mac: str) -> bool:
        return False

    def let_go(self, mac: str) -> None:
        self.gone.append(mac)

    def register(self, callback: Callable[[], None]) -> Callable[[], None]:
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)


class Listening:
    """Stands for what listens to mDNS."""

    def __init__(self, zeroconf: object, listener: DiscoveryListener) -> None:
        self.listener = listener

    async def aclose(self) -> None:
        pass


@dataclass
class Street:
    """What announces devices at any address, and hears of them."""

    stack: AsyncExitStack
    browsers: list[Listening]
    hearing: AsyncZeroconf

    def announce(self, proxy: VirtualProxy, hosts: Sequence[str]) -> None:
        """Say that a proxy is at these addresses."""
        host, *others = hosts
        found = FoundDevice(proxy.name, digits(proxy), host, proxy.port, others=tuple(others))
        for browser in self.browsers:
            browser.listener.device_found(found)

    async def proxy(self, name: str, port: int = 0) -> VirtualProxy:
        """Start a proxy that answers at every address of this machine."""
        node = f"{name}-{os.getpid():x}"
        spec = ProxySpec(name=node, place="kitchen", mac=mac_of(name), noise_psk=KEY, port=port)
        fleet = VirtualFleet([spec], [peripheral()], announce=False, host="0.0.0.0")
        await self.stack.enter_async_context(fleet)
        return fleet.proxies["kitchen"]

    async def fleet(self, tenure: Ours, proxies: Sequence[Proxy] = ()) -> Fleet:
        """Start a fleet that finds proxies, and uses those that are ours."""
        fleet = Fleet(
            proxies,
            discover=True,
            noise_psk=KEY,
            zeroconf=self.hearing,
            state=None,
            owner=False,
            tenure=tenure,
        )
        return await self.stack.enter_async_context(fleet)


def mac_of(name: str) -> str:
    """Return a MAC address that no other test has at the same time."""
    return bytes((0xAA, *os.getpid().to_bytes(3), *name.encode()[:2])).hex(":")


def digits(proxy: VirtualProxy) -> str:
    """Return the MAC address of a proxy as mDNS has it."""
    return proxy.mac.replace(":", "").lower()


@pytest.fixture
async def street(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Street]:
    """Yield a street."""
    browsers: list[Listening] = []

    class Browser(Listening):
        async def start(self) -> None:
            browsers.append(self)

    monkeypatch.setattr(shared_out, "ProxyBrowser", Browser)
    hearing = AsyncZeroconf(interfaces=[FIRST])
    async with AsyncExitStack() as stack:
        stack.push_async_callback(hearing.async_close)
        yield Street(stack, browsers, hearing)


async def connected(fleet: Fleet) -> BleakClientWithServiceCache:
    """Return a client of the one device."""
    device = await fleet.find_device(address(1), PATIENCE)
    return await establish_connection(
        BleakClientWithServiceCache, device, "device", deadline=PATIENCE
    )


async def test_addresses_that_change_end_no_link(street: Street) -> None:
    """A proxy that is announced elsewhere stays where it is used, and is found there afterwards."""
    proxy = await street.proxy("attic")
    tenure = Ours(digits(proxy))
    fleet = await street.fleet(tenure)
    street.announce(proxy, [FIRST])
    client = await connected(fleet)
    (radio,) = [one for one in fleet.radios if one.name == proxy.name]
    for hosts in ([SECOND], [FIRST, SECOND], [SECOND]):
        offers = tenure.offers
        street.announce(proxy, hosts)
        await until(lambda before=offers: tenure.offers > before, PATIENCE)  # type: ignore[misc]
        assert await client.read_gatt_char(READ) == b"hello"
    assert client.is_connected
    assert tenure.gone == []
    assert [one for one in fleet.radios if one.name == proxy.name] == [radio]
    proxy.reboot(0.1)
    await until(lambda: not client.is_connected, PATIENCE)
    await until(lambda: radio.state == "ready", PATIENCE)
    assert radio.diagnostics()["host"] == SECOND
    await client.disconnect()


async def test_an_announcement_that_is_false_ends_nothing(street: Street) -> None:
    """Where nobody answers with its key a proxy is not, and it is used where it was."""
    proxy = await street.proxy("attic")
    tenure = Ours(digits(proxy))
    fleet = await street.fleet(tenure)
    street.announce(proxy, [FIRST])
    client = await connected(fleet)
    proxy.port, port = 9, proxy.port
    street.announce(proxy, [SECOND])
    await until(lambda: any(one.problem for one in fleet.radios), PATIENCE)
    proxy.port = port
    await fleet.reconfigure([], discover=True, noise_psk=KEY)
    assert await client.read_gatt_char(READ) == b"hello"
    assert set(tenure.known) == {digits(proxy)}
    assert tenure.gone == []
    await client.disconnect()


async def test_an_address_that_another_proxy_has_by_now(street: Street) -> None:
    """A proxy of which another one has the address is offered no more, and the other one is."""
    first = await street.proxy("attic")
    tenure = Ours(digits(first), mac_of("hall").replace(":", ""))
    fleet = await street.fleet(tenure)
    street.announce(first, [FIRST])
    await until(lambda: set(tenure.known) == {digits(first)}, PATIENCE)
    await first.stop()
    second = await street.proxy("hall", first.port)
    street.announce(second, [FIRST])
    await until(lambda: set(tenure.known) == {digits(second)}, PATIENCE)
    await until(
        lambda: [one.name for one in fleet.radios if one.state == "ready"] == [second.name],
        PATIENCE,
    )
    assert digits(first) in tenure.gone


async def test_a_proxy_that_is_not_named_any_more_is_still_found(street: Street) -> None:
    """What the configuration names no more stays where mDNS has found it, and goes with mDNS."""
    proxy = await street.proxy("attic")
    tenure = Ours(digits(proxy))
    named = Proxy(FIRST, proxy.port, noise_psk=KEY)
    fleet = await street.fleet(tenure, [named])
    street.announce(proxy, [FIRST])
    await until(lambda: digits(proxy) in tenure.known, PATIENCE)
    assert tenure.known[digits(proxy)].named
    # By name, by mDNS, and to be used.
    await until(lambda: proxy.snapshot().received["DeviceInfoRequest"] >= 3, PATIENCE)
    await fleet.reconfigure([], discover=True, noise_psk=KEY)
    await until(lambda: any(not one.named for one in tenure.known.values()), PATIENCE)
    await fleet.reconfigure([], discover=False, noise_psk=KEY)
    assert tenure.known == {}
    await until(lambda: digits(proxy) in tenure.gone, PATIENCE)


async def test_who_listens_in_vain_is_told_once(
    street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    """Proxies that call are not shared out: the log says so, and what to do."""
    fleet = await street.fleet(Ours())
    for port in (6054, 6054, 6055):
        await fleet.reconfigure([], discover=True, noise_psk=KEY, listen=port)
    assert len([one for one in caplog.messages if "nobody listens on port 6054" in one]) == 1
    assert not [one for one in caplog.messages if "6055" in one]
