"""How proxies come, move and go, on a controlled clock."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from proxyconn import Proxy
from proxyconn.radio import FleetOptions
from proxyconn_esphome import backend as backend_module
from proxyconn_esphome.backend import HOLD_TIME
from proxyconn_esphome.wire.mdns import FoundDevice
from tests.fleet.place import (
    CONNECTING,
    GONE,
    KEY,
    MAC,
    READY,
    a_place,
    free_port,
    mac_digits,
    named,
    settle,
)

pytestmark = pytest.mark.looptime

ZEROCONF: Any = object()
"""Nobody listens by it."""

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


@pytest.fixture
def mute() -> Iterator[Proxy]:
    """Return a place that takes calls and says nothing."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        yield Proxy("127.0.0.1", listening.getsockname()[1], noise_psk=KEY)


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


class SilentBrowser:
    """Stands for what listens to mDNS; the tests say what it finds."""

    def __init__(self, zeroconf: object, listener: object) -> None:
        pass

    async def start(self) -> None:
        """Nothing."""

    async def aclose(self) -> None:
        """Nothing."""


async def test_what_waits_for_a_named_proxy_is_forgotten_with_the_search(
    monkeypatch: pytest.MonkeyPatch, mute: Proxy
) -> None:
    """It waits until that one has said who it is; nobody looks for it any more by then."""
    monkeypatch.setattr(backend_module, "ProxyBrowser", SilentBrowser)
    failures: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda loop, what: failures.append(what))
    async with a_place() as place:
        proxy = await place.proxy()
        options = FleetOptions(proxies=(mute,), noise_psk=KEY, zeroconf=ZEROCONF)
        backend = await place.run(options)
        place.announce(proxy)
        await settle(0.1)
        assert [radio.named for radio in place.sink.radios] == [mute]
        await backend.reconfigure(replace(options, discover=False))
        await settle(HOLD_TIME + 1)
        assert [radio.named for radio in place.sink.radios] == [mute]
    assert failures == []
