"""Proxies whose names coincide or change: a proxy is its MAC address."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    establish_connection,
)
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome, Peripheral
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from tests.fleet.conftest import address, until
from tests.fleet.place import GONE, KEY, MAC, OTHER_MAC, READY, a_place, mac_digits, settle

NEAR, FAR = MAC, OTHER_MAC


def twin(place: str, mac: str) -> ProxySpec:
    """Return one of two boards that were made of one YAML."""
    return ProxySpec(name="proxy", place=place, noise_psk=KEY, mac=mac)


def device(outcomes: list[Outcome] | None = None, **rssi: int) -> Peripheral:
    """Return a device among them."""
    return Peripheral(
        address(1), "device", rssi=rssi, interval=0.02, latency=0.005, outcomes=outcomes or []
    )


@asynccontextmanager
async def twins(*peripherals: Peripheral, **options: object) -> AsyncIterator[Fleet]:
    """Run two proxies of one name, the far one listed first, and a fleet that knows them."""
    async with AsyncExitStack() as stack:
        specs = [twin("far", FAR), twin("near", NEAR)]
        house = VirtualFleet(specs, peripherals, announce=False)
        await stack.enter_async_context(house)
        proxies = [Proxy("127.0.0.1", one.port, noise_psk=KEY) for one in house.proxies.values()]
        fleet = Fleet(proxies, discover=False, **options)  # type: ignore[arg-type]
        await stack.enter_async_context(fleet)
        await fleet.ready(2)
        await until(lambda: len(fleet.paths(address(1))) == 2)
        yield fleet


async def test_twins_are_told_apart_in_everything(caplog: pytest.LogCaptureFixture) -> None:
    """Labels, slots, paths, sources and diagnostics; a warning says which is which."""
    async with twins(device(near=-50, far=-70)) as fleet:
        assert [radio.name for radio in fleet.radios] == ["proxy", "proxy (00:01)"]
        assert [one.adapter for one in fleet.allocations()] == ["proxy", "proxy (00:01)"]
        assert [path.source for path in fleet.paths(address(1))] == ["proxy (00:01)", "proxy"]
        told = fleet.diagnostics()
        assert {one["name"]: one["mac"] for one in told["radios"]} == {
            "proxy": FAR,
            "proxy (00:01)": NEAR,
        }
        found = await fleet.find_device(address(1))
        client = await establish_connection(BleakClientWithServiceCache, found, "device")
        sources = {slots.adapter: slots.allocated for slots in fleet.allocations()}
        assert sources == {"proxy": [], "proxy (00:01)": [address(1)]}
        await client.disconnect()
        warnings = [one.message for one in caplog.records if one.levelno == logging.WARNING]
        assert sum(NEAR in text and "proxy (00:01)" in text for text in warnings) == 1


async def test_failure_of_one_twin_is_not_held_against_the_other() -> None:
    """The next attempt takes the far one, though both have one name."""
    failures = [Outcome(0x3E, 0.01, "near")] * 9
    async with twins(device(failures, near=-50, far=-60)) as fleet:
        found = await fleet.find_device(address(1))
        client = await establish_connection(BleakClientWithServiceCache, found, "device")
        assert found.details["source"] == "proxy"
        near, far = sorted(fleet.paths(address(1)), key=lambda path: -path.rssi)
        assert near.failures > 0.5
        assert far.failures == 0.0
        await client.disconnect()


@pytest.mark.parametrize("text", ["proxy", "proxy (00:02)", FAR, "aa-bb-cc-00-00-02"])
async def test_pins_take_label_long_form_and_mac(text: str) -> None:
    """Each means one of the twins."""
    async with twins(device(near=-40, far=-80), require={address(1): text}) as fleet:
        usable = [path.source for path in fleet.paths(address(1)) if path.usable]
        assert usable == ["proxy"]
        found = await fleet.find_device(address(1))
        client = await establish_connection(BleakClientWithServiceCache, found, "device")
        assert {one.adapter for one in fleet.allocations() if one.allocated} == {"proxy"}
        await client.disconnect()


async def test_bond_belongs_to_one_twin() -> None:
    """The other one, though nearer by now, does not have the keys."""
    async with twins(device(near=-80, far=-50)) as fleet:
        found = await fleet.find_device(address(1), require=FAR)
        client = await establish_connection(BleakClientWithServiceCache, found, "device", pair=True)
        await client.disconnect()
        found = await fleet.find_device(address(1), avoid="nobody")
        paths = {path.source: path.bonded_elsewhere for path in fleet.paths(address(1))}
        assert paths == {"proxy": False, "proxy (00:01)": True}


@pytest.mark.looptime
async def test_second_responder_of_a_name_is_the_proxy_it_announces() -> None:
    """The ESP-IDF announces `cellar-2` where the API says `cellar`; the key is that of `cellar`."""
    async with a_place() as place:
        first = await place.proxy(name="cellar")
        second = await place.proxy(OTHER_MAC, name="cellar", announced_as="cellar-2")
        await place.start(key={"cellar": KEY})
        place.announce(first)
        place.announce(second)
        await settle()
        assert {radio.name: radio.state for radio in place.sink.radios} == {
            "cellar": READY,
            "cellar (00:02)": READY,
        }
        assert place.backend is not None
        await second.kill()
        await settle(1)
        place.backend.device_left("cellar-2")
        assert [radio.state for radio in place.sink.radios] == [READY, GONE]


@pytest.mark.looptime
async def test_each_twin_has_the_key_of_its_mac() -> None:
    """An entry by MAC address or long form goes before that of the name."""
    async with a_place() as place:
        key = new_noise_psk()
        first = await place.proxy(name="cellar")
        second = await place.proxy(OTHER_MAC, name="cellar", noise_psk=key)
        await place.start(key={"cellar": KEY, OTHER_MAC.lower(): key})
        place.announce(first)
        place.announce(second)
        await settle()
        assert [radio.state for radio in place.sink.radios] == [READY, READY]


@pytest.mark.looptime
@pytest.mark.parametrize("by_user", [False, True])
@pytest.mark.parametrize("key", [KEY, None])
async def test_reflashed_proxy_has_another_name(by_user: bool, key: str | None) -> None:
    """Same MAC address and key; it is shown by the new name, and what is known of it stays."""
    async with a_place() as place:
        proxy = await place.proxy(noise_psk=key)
        known = [Proxy("127.0.0.1", proxy.port, key, name="kitchen")] if by_user else []
        await place.start(*known, key=key)
        place.announce(proxy)
        await settle()
        radio = place.sink.radio
        assert (radio.name, radio.state) == ("kitchen", READY)
        await proxy.kill()
        proxy.name = "scullery"
        await proxy.start()
        place.announce(proxy, "2")
        await settle(130)
        assert place.sink.radio is radio
        assert (radio.name, radio.state) == ("scullery", READY)
        assert radio.identity == MAC
        slots = radio.allocations()
        assert slots is not None
        assert slots.adapter == "scullery"


@pytest.mark.looptime
async def test_name_of_an_unreached_proxy_keeps_no_twin_out() -> None:
    """Two are announced by the name of one that the user listed and that cannot be reached."""
    async with a_place() as place:
        first, second = await place.proxy(), await place.proxy(OTHER_MAC)
        await place.start(Proxy("127.0.0.1", 9, KEY, name="kitchen"))
        place.announce(first)
        place.announce(second)
        await settle(20)
        states = {radio.session.mac: radio.state for radio in place.sink.radios}
        assert states == {None: GONE, mac_digits(MAC): READY, mac_digits(OTHER_MAC): READY}
        assert len({radio.name for radio in place.sink.radios}) == 3


@pytest.mark.looptime
async def test_listed_proxy_keeps_no_namesake_out() -> None:
    """Once it has said who it is, the other one that has its name is a radio of its own."""
    async with a_place() as place:
        first, second = await place.proxy(), await place.proxy(OTHER_MAC)
        cure = first.inject("slot_limit_tcp")
        await place.start(Proxy("127.0.0.1", first.port, KEY, name="kitchen"))
        place.announce(second)
        await settle(5)
        cure()
        await settle(70)
        assert [radio.state for radio in place.sink.radios] == [READY, READY]


@pytest.mark.parametrize("near_type", [0, 1])
async def test_each_proxy_connects_with_the_address_type_it_reports(near_type: int) -> None:
    """The one that calls the address random would wait for ever for a public one."""
    peripheral = device(near=-50, far=-60)
    peripheral.address_types = {"near": near_type, "far": 1 - near_type}
    async with twins(peripheral) as fleet:
        for label in ("proxy", "proxy (00:01)"):
            found = await fleet.find_device(address(1), require=label)
            client = await establish_connection(
                BleakClientWithServiceCache, found, "device", max_attempts=1, deadline=3
            )
            await client.disconnect()
