"""Proxies with several addresses, of which some are dead, mute, or another device's by now."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ifaddr
import pytest

from proxyconn import RadioState
from proxyconn_esphome.wire.mdns import FoundDevice
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.fleet.conftest import DEADLINE, Real, unique, until
from tests.fleet.place import (
    KEY,
    OTHER_MAC,
    READY,
    Place,
    a_place,
    mac_digits,
    named,
    settle,
)

HERE, DEAD, MUTE, WRONG = "127.0.0.1", "127.0.0.2", "127.0.0.3", "127.0.0.4"
UNREACHABLE = "192.0.2.1"
"""Of TEST-NET-1 (RFC 5737): nobody is there."""


@contextmanager
def mute(port: int) -> Iterator[None]:
    """Take calls at MUTE, and say nothing."""
    with socket.socket() as sock:
        sock.bind((MUTE, port))
        sock.listen()
        yield


def announce(place: Place, proxy: VirtualProxy, *hosts: str) -> None:
    """Let mDNS say that a proxy has these addresses."""
    assert place.backend is not None
    first, *others = hosts
    place.backend.device_found(
        FoundDevice(proxy.name, mac_digits(proxy.mac), first, proxy.port, "1", tuple(others))
    )


@pytest.mark.looptime
@pytest.mark.parametrize(
    "hosts", [(DEAD, HERE), (UNREACHABLE, HERE), (HERE, DEAD), ("::1", HERE), (DEAD, "::1", HERE)]
)
async def test_one_that_answers_is_enough(hosts: tuple[str, ...]) -> None:
    """The others are tried beside it, and it is the one that is remembered and shown."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start()
        announce(place, proxy, *hosts)
        # Sooner than a second attempt, which comes after 2 s.
        await settle(1)
        session = place.sink.radio.session
        assert session.state is READY
        assert session.proxy.host == session.reach.hosts[0] == HERE
        assert session.diagnostics()["host"] == HERE
        await proxy.kill()
        await settle(1)
        await proxy.start()
        announce(place, proxy, *hosts)
        await settle(5)
        assert session.state is READY


@pytest.mark.looptime
@pytest.mark.parametrize("key", [KEY, None])
async def test_address_that_is_another_devices_does_not_keep_it_out(key: str | None) -> None:
    """Whoever takes the call first and is not the proxy is called last from then on."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        other = ProxySpec(name="bulb", noise_psk=key, mac=OTHER_MAC, port=proxy.port)
        async with VirtualFleet([other], [], announce=False, host=WRONG):
            await place.start(key=key)
            announce(place, proxy, WRONG, HERE)
            await settle(65)
            assert place.sink.radio.state is READY
            assert place.sink.radio.session.reach.hosts == [HERE, WRONG]


@pytest.mark.looptime
async def test_address_that_takes_calls_and_says_nothing_does_not_keep_it_out() -> None:
    """It costs one handshake that does not end."""
    async with a_place() as place:
        proxy = await place.proxy()
        with mute(proxy.port):
            await place.start()
            announce(place, proxy, MUTE, HERE)
            await settle(90)
            assert place.sink.radio.state is READY


@pytest.mark.looptime
async def test_listed_proxy_is_also_tried_where_it_is_announced() -> None:
    """Once it is known which one it is, at the user's address and at all the others."""
    async with a_place() as place:
        proxy = await place.proxy()
        await place.start(named(proxy))
        await settle()
        announce(place, proxy, DEAD, UNREACHABLE)
        radio = place.sink.radio
        assert radio.session.reach.hosts == [HERE, DEAD, UNREACHABLE]
        await proxy.kill()
        proxy.host = WRONG
        await proxy.start()
        announce(place, proxy, DEAD, WRONG)
        await settle(5)
        assert radio.state is READY
        assert radio.session.proxy.host == WRONG


def link_local() -> str | None:
    """Return a link-local address of this machine, with its interface."""
    for adapter in ifaddr.get_adapters():
        for one in adapter.ips:
            if one.is_IPv6 and one.ip[0].startswith("fe80"):
                return f"{one.ip[0]}%{adapter.name}"
    return None


@pytest.mark.parametrize("host", ["::1", link_local()])
async def test_ipv6_alone(host: str | None) -> None:
    """Where there is nothing else; a link-local address goes with its interface."""
    if host is None:
        pytest.skip("no interface here has a link-local address")
    spec = ProxySpec(name="kitchen", noise_psk=KEY)
    async with VirtualFleet([spec], [], announce=False, host=host) as fleet, a_place() as place:
        await place.start()
        announce(place, fleet.proxies["kitchen"], host)
        await until(lambda: [one.state for one in place.sink.radios] == [READY])


@pytest.mark.parametrize("announced", [("127.0.0.2", "127.0.0.1"), ("::1",), ("::1", "127.0.0.2")])
async def test_every_announced_address_is_taken(real: Real, announced: tuple[str, ...]) -> None:
    """As real mDNS tells them, of both kinds."""
    name = unique("porch")
    spec = ProxySpec(name=name, noise_psk=KEY, announced_at=announced)
    host = "::1" if "::1" in announced else "127.0.0.1"
    async with VirtualFleet([spec], [], host=host):
        fleet = await real(noise_psk={name: KEY})
        await until(
            lambda: (RadioState.READY, name) in [(one.state, one.name) for one in fleet.radios],
            2 * DEADLINE,
        )
