"""Advertisements go to whom they are of interest, and to nobody else."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import msgspec
import pytest
from bluetooth_data_tools import mac_to_int

from proxyconn.advertised.reports import PlainReport
from proxyconn_cluster.bus.messages import MessageError, decode
from proxyconn_cluster.exchange.interest import MOST_NAMED, SAY_AGAIN_AFTER, Interest, Sieve
from proxyconn_cluster.exchange.status import Status
from proxyconn_cluster.joined import Place

from .village import Village, VillageOwner, address, until

BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"


def sent(*owners: VillageOwner) -> int:
    """Return how many batches owners have passed on."""
    return sum(owner.serving.relay.sent for owner in owners)


async def test_nothing_is_sent_that_nobody_wants(village: Village) -> None:
    north, south = village.owners["north"], village.owners["south"]
    await asyncio.sleep(0.3)
    assert sent(north, south) == 0
    heard: list[str] = []
    stop = north.fleet.register_detection_callback(lambda device, _: heard.append(device.address))
    await until(lambda: address(3) in heard)
    assert sent(north) == 0, "it is north that wants to hear"
    stop()
    await until(lambda: all(one.interest is None for one in south.members.all.values()))
    before = sent(south)
    await asyncio.sleep(0.3)
    assert sent(south) <= before + 1
    async with AsyncExitStack() as stack:
        fleet = await village.program()
        stack.push_async_callback(fleet.aclose)
        every = {address(1), address(2), address(3)}
        await until(lambda: {device.address for device in fleet.devices} == every)
    await until(lambda: all(one.interest is None for one in south.members.all.values()))
    before = sent(north, south)
    await asyncio.sleep(0.3)
    assert sent(north, south) <= before + 2


async def test_what_is_not_wanted_is_left_out_where_it_is_heard(village: Village) -> None:
    interest = Interest(addresses=(address(2),))
    fleet = await village.program(cluster=Place(village.settings(), interest))
    await until(lambda: [device.address for device in fleet.devices] == [address(2)])
    await asyncio.sleep(0.3)
    assert [device.address for device in fleet.devices] == [address(2)]
    device = await fleet.find_device(address(3))
    assert device.name == "device 3", "asked for by name or address, it is found all the same"


async def test_other_sites_are_left_alone(village: Village) -> None:
    barn = await village.own("barn", site="barn")
    await until(lambda: bool(barn.fleet.paths(address(4))))
    interest = Interest(sites=("barn",))
    fleet = await village.program(cluster=Place(village.settings(), interest))
    await until(lambda: [device.address for device in fleet.devices] == [address(4)])
    await asyncio.sleep(0.3)
    assert sent(village.owners["north"], village.owners["south"]) == 0
    assert [device.address for device in fleet.devices] == [address(4)]


async def test_a_device_is_found_though_nothing_is_passed_on(village: Village) -> None:
    place = Place(village.settings(), always=False)
    fleet = await village.program(cluster=place)
    await until(lambda: len(fleet.radios) == 2)
    assert (await fleet.find_device(address(3))).name == "device 3"
    assert (await fleet.find_device("device 2")).address == address(2)


def report(number: int, rssi: int, data: bytes = b"\x02\x01\x06") -> PlainReport:
    """Return a report of a numbered device."""
    return PlainReport(mac_to_int(address(number)), 0, rssi, data)


@pytest.mark.parametrize(
    ("interest", "wanted"),
    [
        (Interest(), [1, 2]),
        (Interest(addresses=(address(2),)), [2]),
        (Interest(services=(BATTERY.upper(),)), [1]),
        (Interest(addresses=(address(2),), services=(BATTERY,)), []),
    ],
)
def test_a_sieve_knows_addresses_and_services(interest: Interest, wanted: list[int]) -> None:
    reports = [report(1, -50, b"\x03\x03\x0f\x18"), report(2, -50)]
    picked = Sieve([interest]).pick(reports, 0.0)
    assert [one.address for one in picked] == [mac_to_int(address(number)) for number in wanted]


def test_a_sieve_passes_on_what_is_new() -> None:
    sieve = Sieve([Interest(change=6)])
    now = 100.0
    assert sieve.pick([report(1, -50)], now)
    assert not sieve.pick([report(1, -55), report(1, -45)], now + 1)
    assert sieve.pick([report(1, -56)], now + 2), "the signal has changed"
    assert sieve.pick([report(1, -56, b"\x02\x01\x04")], now + 3), "it says something else"
    assert not sieve.pick([report(1, -56, b"\x02\x01\x04")], now + 2 + SAY_AGAIN_AFTER)
    assert sieve.pick([report(1, -56, b"\x02\x01\x04")], now + 3 + SAY_AGAIN_AFTER)


def test_a_sieve_lets_through_what_any_listener_wants() -> None:
    sieve = Sieve([Interest(addresses=(address(1),)), Interest(addresses=(address(2),), change=6)])
    for _ in range(3):
        assert sieve.pick([report(1, -50)], 0.0)
    assert [bool(sieve.pick([report(2, -50)], 0.0)) for _ in range(3)] == [True, False, False]


@pytest.mark.parametrize(
    ("named", "error"),
    [
        ({"addresses": ("kitchen-lamp",)}, "'kitchen-lamp' is no MAC address"),
        ({"services": ("180f",)}, "'180f' is no UUID of a service"),
        ({"services": (BATTERY.replace("-", ""),)}, "is no UUID of a service"),
        ({"addresses": (address(1),) * (MOST_NAMED + 1)}, "at most"),
    ],
)
def test_a_mistyped_interest_is_refused(named: dict[str, tuple[str, ...]], error: str) -> None:
    with pytest.raises(ValueError, match=error):
        Interest(addresses=named.get("addresses"), services=named.get("services"))
    said = {"site": "home", "run": "1", "number": 1, "lease": 10.0, "interest": named}
    with pytest.raises(MessageError, match=error):
        decode(msgspec.json.encode(said), Status)
