"""What the doctor finds out about proxies, each fault made for real on a virtual one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.models import Level
from proxyconn_esphome.session.subscription import subscription
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from tests.doctor.conftest import KEY, NEAR, SUBSCRIBE, WRONG_KEY, Findings, Look, near, way
from tests.fleet.place import free_port

OK, NOTE, WARNING, PROBLEM = Level.OK, Level.NOTE, Level.WARNING, Level.PROBLEM


@asynccontextmanager
async def kitchen(**spec: Any) -> AsyncIterator[VirtualProxy]:
    """Run one proxy, and a device that it hears."""
    made = ProxySpec(**{"name": "kitchen", "noise_psk": KEY, **spec})
    async with VirtualFleet([made], [near("kitchen")], announce=False) as fleet:
        yield fleet.proxies["kitchen"]


def levels(found: Findings, subject: str | None = "kitchen") -> dict[str, Level]:
    """Return the levels of the findings about a radio."""
    return {check: one.level for (about, check), one in found.items() if about == subject}


async def test_all_is_well_and_nobody_is_disturbed(look: Look) -> None:
    """A proxy in order is found so, and its subscription is not asked for."""
    async with kitchen() as proxy:
        found = await look(way(proxy))
        assert levels(found) == {"session": OK, "slots": OK}
        assert "2026.10.0" in found["kitchen", "session"].seen
        assert SUBSCRIBE not in proxy.snapshot().received


async def test_taken_proxy_is_listened_to(look: Look) -> None:
    """With --take it is told whether the proxy hears anything."""
    async with kitchen() as proxy:
        found = await look(way(proxy), take=True)
        assert levels(found) == {"session": OK, "slots": OK, "scanner": OK}
        assert proxy.snapshot().received[SUBSCRIBE] == 1


@pytest.mark.parametrize(
    ("spec", "known", "check", "seen"),
    [
        ({}, {"key": WRONG_KEY}, "key", "refused the encryption key"),
        ({}, {"key": None}, "key", "none was given"),
        ({"noise_psk": None}, {}, "encryption", "it does not encrypt"),
        ({}, {"name": "garage"}, "name", "another device answers at its address"),
        (
            {"noise_psk": None, "profile": "2025.9", "password": "one"},
            {"key": None, "password": "another"},
            "password",
            "refused the password",
        ),
        (
            {"noise_psk": None, "profile": "2025.9", "password": "one"},
            {"key": None},
            "password",
            "wants an API password",
        ),
    ],
    ids=["wrong-key", "no-key", "encryption", "name", "wrong-password", "no-password"],
)
async def test_refusals(
    look: Look, spec: dict[str, Any], known: dict[str, Any], check: str, seen: str
) -> None:
    """Whoever refuses, we or the proxy, the reason is told, and no secret with it."""
    async with kitchen(**spec) as proxy:
        found = await look(way(proxy, **known))
        [one] = [one for (subject, _), one in found.items() if subject is not None]
        assert (one.check, one.level) == (check, PROBLEM)
        assert seen in one.seen
        assert one.advice
        assert KEY not in str(found)
        assert WRONG_KEY not in str(found)


async def test_port_and_host_name(look: Look) -> None:
    """A closed port and a name that nobody knows are told apart."""
    port = free_port()
    found = await look(Proxy("127.0.0.1", port), Proxy("nowhere.invalid"))
    assert levels(found, f"127.0.0.1:{port}") == {"port": PROBLEM}
    assert levels(found, "nowhere.invalid:6053") == {"host-name": PROBLEM}


async def test_refused_client_is_no_wrong_key(look: Look) -> None:
    """A proxy with as many API clients as it can serve hangs up without a word."""
    async with kitchen() as proxy:
        proxy.inject("slot_limit_tcp")
        found = await look(way(proxy))
        assert levels(found) | levels(found, f"{proxy.host}:{proxy.port}") == {
            "encryption": PROBLEM
        }


async def test_encryption_is_recommended(look: Look) -> None:
    """A proxy in the clear works; it is said what that means."""
    async with kitchen(noise_psk=None) as proxy:
        assert levels(await look(way(proxy, None)))["encryption"] is NOTE


@pytest.mark.parametrize("spec", [{"active": False}, {"profile": "bk72xx"}], ids=str)
async def test_proxy_that_only_listens(look: Look, spec: dict[str, Any]) -> None:
    """`active: false` keeps devices from being connected, and so do some chips."""
    async with kitchen(**spec) as proxy:
        found = await look(way(proxy))
        assert levels(found) == {"session": OK, "active": WARNING}


async def test_old_firmware(look: Look) -> None:
    """It is said what a firmware is too old for."""
    async with kitchen(profile="2024.11") as proxy:
        one = (await look(way(proxy)))["kitchen", "firmware"]
        assert one.level is NOTE
        assert "scan mode (2025.5)" in one.seen
        assert "connection parameters (2026.3)" in one.seen
        assert "pairing" not in one.seen


@pytest.mark.parametrize(
    ("profile", "means"), [("2026.6.5", "refused to us"), ("2026.8", "takes it over")]
)
async def test_held_by_another_client(look: Look, profile: str, means: str) -> None:
    """Links of somebody else are seen, and what asking would do; they stay as they are."""
    async with kitchen(profile=profile) as proxy, Fleet([way(proxy)], discover=False) as other:
        device = await other.find_device(NEAR)
        client = await establish_connection(BleakClientWithServiceCache, device, "near")
        one = (await look(way(proxy)))["kitchen", "subscription"]
        assert one.level is PROBLEM
        assert NEAR in one.seen
        assert means in (one.advice or "")
        assert client.is_connected
        assert proxy.snapshot().received[SUBSCRIBE] == 1
        await client.disconnect()


async def test_denied(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """With --take, a firmware that does not let us is told from one that has nobody."""
    monkeypatch.setattr(subscription, "RETRY_AFTER", (0.3,))
    denies = kitchen(profile="2026.6.5")
    async with denies as proxy, Fleet([way(proxy)], discover=False) as other:
        await other.ready()
        found = await look(way(proxy), take=True)
        assert levels(found) == {"session": OK, "subscription": PROBLEM, "slots": OK}


async def test_leaked_slots(look: Look) -> None:
    """Slots that no device has, and those of devices that nobody uses."""
    async with kitchen() as proxy:
        proxy.inject("slot_leak")
        proxy.inject("slot_mismatch", "short")
        one = (await look(way(proxy)))["kitchen", "slots"]
        assert one.level is WARNING
        assert "by no device" in one.seen
    async with kitchen() as proxy:
        proxy.inject("slot_leak")
        one = (await look(way(proxy), take=True))["kitchen", "slots"]
        assert one.level is WARNING
        assert "nobody is connected" in one.seen


async def test_device_that_two_proxies_hold(look: Look) -> None:
    """A device with a slot on each of two proxies is told."""
    specs = [ProxySpec(name=name, noise_psk=KEY) for name in ("kitchen", "cellar")]
    async with VirtualFleet(specs, [], announce=False) as fleet:
        for proxy in fleet.proxies.values():
            proxy.inject("slot_leak")
        found = await look(*map(way, fleet.proxies.values()))
        assert found[None, "slots"].seen.startswith("cellar and kitchen hold a slot each for ")


@pytest.mark.parametrize(("signal", "level"), [(-60.0, OK), (-82.0, WARNING)])
async def test_weak_wifi(look: Look, signal: float, level: Level) -> None:
    """A proxy with a sensor of its Wi-Fi is told to be too far from the access point."""
    async with kitchen(wifi_signal=signal) as proxy:
        one = (await look(way(proxy)))["kitchen", "wifi"]
        assert one.level is level
        assert f"{signal:.0f} dBm" in one.seen


async def test_silent_scanner(look: Look) -> None:
    """A proxy that hears nothing is told when it was listened to."""
    async with kitchen() as proxy:
        proxy.inject("silent_scanner")
        found = await look(way(proxy), take=True)
        assert levels(found) == {"session": OK, "slots": OK, "scanner": WARNING}
