"""Radios served one by one: their names in mDNS, and those that cannot be served at the moment."""

from __future__ import annotations

import asyncio
import os
import socket
from pathlib import Path

import pytest
from zeroconf import IPVersion
from zeroconf.asyncio import AsyncServiceInfo, AsyncZeroconf

from proxyconn.radio import Radio
from proxyconn.state.file import StateError
from proxyconn_native_api.mdns import SERVICE_TYPE, Announcer, addresses_at
from proxyconn_owner import announcing
from proxyconn_owner.announcing import MAX_NAME, instance_of
from proxyconn_owner.identity import Identity, load_identity, with_places
from proxyconn_owner.mirroring import Mirror
from proxyconn_owner.service import PortTakenError
from proxyconn_owner.settings import Listen

from .conftest import DEADLINE, OWNER_KEY, House, MakeHouse, until

MAC = "86:6D:19:A1:B2:C3"
READY_MADE = ("esp32-bluetooth-proxy-a1b2c3", "esp32-bluetooth-proxy-d4e5f6")
"""What ESPHome calls its ready-made proxies."""


def has_ipv6() -> bool:
    """Whether this machine has an IPv6 address to listen at."""
    try:
        with socket.socket(socket.AF_INET6) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


with_ipv6 = pytest.mark.skipif(not has_ipv6(), reason="needs IPv6 on loopback")

MIRRORED = {"one": False, "mirrored": True}


@pytest.mark.parametrize(
    ("name", "instance"),
    [
        ("proxyconn-kitchen", "proxyconn-kitchen"),
        ("a" * 31, "a" * 31),
        ("a" * 32, "a" * 24 + "-a1b2c3"),
        ("proxyconn-cellar (c0:01)", "proxyconn-cellar--c0-01-a1b2c3"),
        ("proxyconn-Küche", "proxyconn-k-che-a1b2c3"),
        ("proxyconn.hci0", "proxyconn-hci0-a1b2c3"),
        ("...", "a1b2c3"),
    ],
)
def test_names_in_mdns(name: str, instance: str) -> None:
    """A node name stays; anything else becomes one that two radios do not share."""
    assert instance_of(name, MAC) == instance
    assert len(instance) <= MAX_NAME


async def announced(instance: str) -> AsyncServiceInfo | None:
    """Return what is announced of an instance on loopback; None if nothing is."""
    info = AsyncServiceInfo(SERVICE_TYPE, f"{instance}.{SERVICE_TYPE}")
    async with AsyncZeroconf(interfaces=["127.0.0.1"], ip_version=IPVersion.V4Only) as zeroconf:
        found = await info.async_request(zeroconf.zeroconf, DEADLINE * 1000)
    return info if found else None


async def test_ready_made_proxies_are_announced(make_house: MakeHouse) -> None:
    """Radios whose names differ at the end only are served, and announced, one beside the other."""
    name = f"proxyconn{os.getpid()}"
    house: House = await make_house(
        names=READY_MADE, serve=MIRRORED | {"name": name, "announce": True}
    )
    proxies = list(house.owner.proxies.values())
    assert {proxy.name for proxy in proxies} == set(READY_MADE)
    for proxy in proxies:
        info = await announced(instance_of(f"{name}-{proxy.name}", proxy.mac))
        assert info
        assert info.port == proxy.port


async def test_what_cannot_be_announced_is_served(
    make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """Two radios of one name in mDNS: both are served, and the log says which is not announced."""
    name = f"proxyconn{os.getpid()}"
    house: House = await make_house(serve={"name": name, "announce": True})
    again: House = await make_house(serve={"announce": False})
    await house.owner.announcements.add(again.owner.proxies[None], name)
    assert f"{name} is not announced" in caplog.text
    info = await announced(name)
    assert info
    assert info.port == house.port()


@with_ipv6
async def test_owner_at_ipv6_addresses_is_announced(make_house: MakeHouse) -> None:
    """Clients that ask by IPv4 hear of it, too."""
    name = f"proxyconn{os.getpid()}"
    serve = {"name": name, "announce": True, "api": Listen("::1", 0)}
    house: House = await make_house(serve=serve)
    info = await announced(name)
    assert info
    assert info.parsed_addresses() == ["::1"]
    assert info.port == house.port()


@with_ipv6
async def test_every_ipv6_address_is_one_to_announce_at() -> None:
    """Whoever listens at all of them is announced at those of the interfaces."""
    announcements = announcing.Announcements("::")
    await announcements.start()
    await announcements.aclose()
    addresses = addresses_at("::")
    assert addresses
    assert all(":" in one and one != "::" for one in addresses)


async def test_goodbye_that_does_not_end(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """mDNS that hangs does not keep an owner from closing links."""

    class Hanging(Announcer):
        async def stop(self) -> None:
            try:
                await asyncio.Event().wait()
            finally:
                await super().stop()

    monkeypatch.setattr(announcing, "Announcer", Hanging)
    monkeypatch.setattr(announcing, "GOODBYE", 0.01)
    announcements = announcing.Announcements("127.0.0.1")
    await announcements.start()
    async with asyncio.timeout(DEADLINE):
        await announcements.aclose()
    assert "was not told goodbye" in caplog.text


def ports(count: int) -> int:
    """Return a port behind which `count` more are free, all of them at this moment."""
    while True:
        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            first = int(sock.getsockname()[1])
        try:
            for port in range(first, first + count + 1):
                with socket.socket() as sock:
                    sock.bind(("127.0.0.1", port))
        except (OSError, OverflowError):
            continue
        return first


async def test_radio_whose_port_is_taken_holds_up_no_other(
    make_house: MakeHouse, caplog: pytest.LogCaptureFixture
) -> None:
    """The others are served from the start; it is, once its port is free."""
    first = ports(3)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first + 1))
        taken.listen()
        names = ("kitchen", "cellar", "attic")
        serve = MIRRORED | {"api": Listen("127.0.0.1", first)}
        house: House = await make_house(names=names, serve=serve)
        assert sorted(proxy.port for proxy in house.owner.proxies.values()) == [
            first + 2,
            first + 3,
        ]
        assert f"127.0.0.1:{first + 1} is not to be had" in caplog.text
    await house.real("kitchen").kill()
    await house.real("kitchen").start()
    await until(lambda: len(house.owner.proxies) == 3, 20)


async def test_no_radio_can_be_served(make_house: MakeHouse) -> None:
    """The start fails, and says what to do, if there is nothing to go on with."""
    with pytest.raises(PortTakenError, match=r"no port 65536.*--api"):
        await make_house(names=("kitchen",), serve=MIRRORED | {"api": Listen("127.0.0.1", 65535)})


async def test_full_disk_ends_nothing(
    make_house: MakeHouse, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Radios with a place are served though no new one can be kept; new ones once it can."""
    house: House = await make_house()
    identity = Identity(OWNER_KEY, MAC)
    folder = tmp_path / "away"
    served: list[str] = []

    async def serve(radio: Radio, place: int) -> None:
        served.append(f"{radio.name} {place}")

    radios = sorted(house.fleet.lending().radios(), key=lambda radio: radio.name)
    known: list[Radio] = []
    looks = 0

    def look() -> list[Radio]:
        nonlocal looks
        looks += 1
        return known

    mirror = Mirror(look, (), identity, folder, serve, retry_after=0.02)
    following = asyncio.create_task(mirror.follow())
    known += radios
    mirror.radios_changed()
    await until(lambda: caplog.text.count("is not served") == 2)
    so_far = looks
    await until(lambda: looks > so_far + 3)
    assert caplog.text.count("is not served") == 2, "once for each, however often it is tried"
    assert served == []
    await asyncio.to_thread(folder.mkdir)
    await until(lambda: len(served) == 2)
    assert served == ["cellar 1", "kitchen 2"]
    following.cancel()
    await asyncio.gather(following, return_exceptions=True)


def test_places_that_cannot_be_kept_are_given_to_nobody(tmp_path: Path) -> None:
    """A place that would be forgotten is tried to be kept again the next time."""
    identity, _ = load_identity(tmp_path)
    away = tmp_path / "away"
    for _ in range(2):
        with pytest.raises(StateError, match="cannot be written"):
            with_places(away, identity, ["cellar"])
    with_places(tmp_path, identity, ["cellar"])
    again, _ = load_identity(tmp_path)
    assert again.places == {"cellar": 1}
