"""The tests of the integration, without hardware and without waiting; see pytest.ini beside it."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest
from thermometer import COMPANY, TEMPERATURE, listen, read, readings

from proxyconn import Fleet
from proxyconn_virtual.advertising import Advertisement, payload
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, ServiceSpec
from proxyconn_virtual.pytest_plugin.houses import Faults

ADDRESS = "C4:00:00:00:00:42"


@pytest.fixture
def virtual_peripherals() -> list[Peripheral]:
    """A thermometer of our own, instead of the household."""
    temperature = CharacteristicSpec(TEMPERATURE, value=b"\x34\x08")  # 21.00 °C
    return [
        Peripheral(
            address=ADDRESS,
            name="Outside",
            services=[ServiceSpec(0x181A, [temperature])],
            interval=2.0,  # what is not said need not be skipped
            manufacturer_data={COMPANY: b"\x34\x08"},
        )
    ]


async def test_reads(proxyconn_fleet: Fleet) -> None:
    """What the characteristic says is read."""
    assert await read(proxyconn_fleet, "Outside") == 21.0


async def test_survives_failed_connections(proxyconn_fleet: Fleet, virtual_fault: Faults) -> None:
    """Two connections that break at once cost nothing but time."""
    virtual_fault("true_then_false", 1)
    assert await read(proxyconn_fleet, "Outside") == 21.0


@pytest.mark.skip_waiting
async def test_reads_every_ten_minutes(proxyconn_fleet: Fleet) -> None:
    """Three readings take twenty minutes, of which the test waits none."""
    began = asyncio.get_running_loop().time()
    taken = []
    async with aclosing(readings(proxyconn_fleet, "Outside")) as temperatures:
        async for temperature in temperatures:
            taken.append(temperature)
            if len(taken) == 3:
                break
    assert taken == [21.0, 21.0, 21.0]
    assert 1200 <= asyncio.get_running_loop().time() - began < 1260


@pytest.mark.usefixtures("bleak_through_proxies")
async def test_hears(virtual_fleet: VirtualFleet) -> None:
    """A new packet is heard by a plain BleakScanner."""
    colder = payload(flags=6, name="Outside", manufacturer_data={COMPANY: b"\x0c\xfe"})
    virtual_fleet.air.advertise(ADDRESS, Advertisement(data=colder))
    assert await listen("Outside") == -5.0
