"""Proxies that want an API password, as firmware up to 2025.12 can be told to."""

from __future__ import annotations

import pytest

from proxyconn import Proxy, RadioState, RadioUnavailableError
from proxyconn_esphome import ProxySession
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.fleet.place import CONNECTING, KEY, READY, a_place, named, settle

pytestmark = pytest.mark.looptime

PASSWORD = "open sesame"
WRONG_PASSWORD = RadioState.WRONG_PASSWORD

OLD = ("2024.11", "2025.5", "2025.9")


def way(proxy: VirtualProxy, password: str | None, key: str | None = None) -> Proxy:
    """Return what a user writes for a proxy."""
    return Proxy("127.0.0.1", proxy.port, key, password=password)


@pytest.mark.parametrize("key", [KEY, None], ids=["noise", "plaintext"])
@pytest.mark.parametrize("profile", OLD)
async def test_password_opens(profile: str, key: str | None) -> None:
    """It is all that such a proxy wants, with or without encryption."""
    async with a_place() as place:
        proxy = await place.proxy(profile=profile, password=PASSWORD, noise_psk=key)
        await place.start(way(proxy, PASSWORD, key))
        await settle()
        assert place.sink.radio.state is READY


@pytest.mark.parametrize("key", [KEY, None], ids=["noise", "plaintext"])
@pytest.mark.parametrize(
    ("password", "what_to_do"), [(None, "give its `password`"), ("sesame", "compare it")]
)
async def test_without_the_password_it_says_so(
    password: str | None, what_to_do: str, key: str | None
) -> None:
    """A lasting state of its own, called once a minute, whatever mDNS says; then it is healed."""
    async with a_place() as place:
        proxy = await place.proxy(profile="2025.9", password=PASSWORD, noise_psk=key)
        await place.start(way(proxy, password, key))
        await settle(10)
        radio = place.sink.radio
        assert radio.state is WRONG_PASSWORD
        assert what_to_do in str(radio.problem)
        assert PASSWORD not in str(radio.diagnostics())
        accepted = proxy.server.accepted
        for _ in range(30):
            place.announce(proxy)
            radio.session.notify_seen()
            await settle(10)
        assert proxy.server.accepted - accepted <= 6
        assert place.sink.states == [CONNECTING, WRONG_PASSWORD]
        proxy.password = password
        await settle(65)
        assert place.sink.states == [CONNECTING, WRONG_PASSWORD, CONNECTING, READY]


async def test_ready_fails_at_once() -> None:
    """Nothing comes of waiting."""
    spec = ProxySpec(name="kitchen", profile="2025.9", password=PASSWORD)
    async with VirtualFleet([spec], [], announce=False) as fleet:
        session = ProxySession(way(fleet.proxies["kitchen"], None))
        await session.start()
        with pytest.raises(RadioUnavailableError, match="wants an API password"):
            await session.ready(1000)
        await session.aclose()


async def test_password_harms_no_newer_firmware() -> None:
    """It is said, and nobody listens."""
    async with a_place() as place:
        proxy = await place.proxy(profile="2026.6.5")
        await place.start(way(proxy, PASSWORD, KEY))
        await settle()
        assert place.sink.radio.state is READY


async def test_password_is_no_news_to_a_proxy_without_one() -> None:
    """Nor to one that could have one."""
    async with a_place() as place:
        proxy = await place.proxy(profile="2025.9")
        await place.start(named(proxy))
        await settle()
        assert place.sink.radio.state is READY


def test_password_is_not_shown() -> None:
    """Neither by what the user wrote, nor by what a virtual proxy is made of."""
    assert PASSWORD not in repr(Proxy("10.0.0.7", password=PASSWORD))
    assert PASSWORD not in repr(ProxySpec(name="kitchen", profile="2025.9", password=PASSWORD))


async def test_newer_virtual_proxy_has_no_password() -> None:
    """ESPHome removed it in 2026.1."""
    with pytest.raises(ValueError, match="knows no password"):
        VirtualFleet([ProxySpec(name="kitchen", password=PASSWORD)], [])
