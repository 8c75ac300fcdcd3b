"""Attempts while the only proxy is away."""

from __future__ import annotations

import asyncio
import contextlib
import gc

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ErrorKind,
    RadioState,
    device_source,
    establish_connection,
)
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.simulated import SimulatedAir

from .conftest import BEDROOM, KITCHEN, VALUE, Real, Virtual, address, peripheral, until


async def test_a_proxy_that_restarts_is_waited_for(virtual: Virtual, real: Real) -> None:
    """Before its deadline a connect survives the absence of every radio; it costs no attempt."""
    house = await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(address(1))
    await house.proxies[KITCHEN].kill()
    await until(lambda: fleet.radios[0].state is not RadioState.READY)
    connecting = asyncio.create_task(
        establish_connection(
            BleakClientWithServiceCache, device, "kettle", max_attempts=1, deadline=20
        )
    )
    await asyncio.sleep(0.5)
    await house.proxies[KITCHEN].start()
    client = await connecting
    assert client.is_connected
    await client.disconnect()


async def test_a_proxy_that_stays_away_is_named(virtual: Virtual, real: Real) -> None:
    """The error at the deadline says what was waited for."""
    house = await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(address(1))
    await house.proxies[KITCHEN].kill()
    await until(lambda: fleet.radios[0].state is not RadioState.READY)
    with pytest.raises(BleakConnectionError, match=KITCHEN) as caught:
        await establish_connection(BleakClientWithServiceCache, device, "kettle", deadline=1)
    assert caught.value.kind is ErrorKind.RADIO_UNAVAILABLE


async def test_the_nearest_radio_need_not_be_the_first(virtual: Virtual, real: Real) -> None:
    """A device is found once the others have had a moment to hear it as well."""
    quiet = peripheral(1, kitchen=-50, bedroom=-80)
    quiet.interval = 0.25
    await virtual("kitchen bedroom", quiet)
    fleet = await real()
    await fleet.ready(2)
    device = await fleet.find_device(address(1))
    assert len(fleet.paths(device.address)) == 2
    assert device_source(device) == KITCHEN


async def test_who_waits_for_a_proxy_that_dies_is_told_at_once(
    virtual: Virtual, real: Real
) -> None:
    """With no other path and no deadline, neither the first attempt waits nor the others."""
    house = await virtual(
        "kitchen", peripheral(1, kitchen=-50), peripheral(2, kitchen=-50), slots=1
    )
    fleet = await real()
    devices = [await fleet.find_device(address(number)) for number in (1, 2)]
    async with BleakClientWithServiceCache(devices[0]):
        waiting = asyncio.create_task(
            establish_connection(BleakClientWithServiceCache, devices[1], "kettle")
        )
        await until(lambda: fleet.waiting == [address(2)])
        await house.proxies[KITCHEN].kill()
        async with asyncio.timeout(2):
            with pytest.raises(BleakConnectionError, match=KITCHEN) as caught:
                await waiting
    assert caught.value.kind is ErrorKind.RADIO_UNAVAILABLE


async def test_a_connect_fails_over(virtual: Virtual, real: Real) -> None:
    """One plain connect() of bleak's takes the far proxy when the near one fails."""
    device = peripheral(1, [Outcome(reason=0x3E)], kitchen=-50, bedroom=-80)
    house = await virtual("kitchen bedroom", device)
    fleet = await real()
    await fleet.ready(2)
    await until(lambda: len(fleet.paths(address(1))) == 2)
    async with fleet.client_class(BleakClient)(address(1)):
        assert house.proxies[BEDROOM].snapshot().free == 2
    assert device.outcomes == []


async def test_a_fleet_that_closes_has_closed_what_was_dropped(
    virtual: Virtual, real: Real, caplog: pytest.LogCaptureFixture
) -> None:
    """No task is left, though a client was dropped just before."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(address(1))
    await BleakClientWithServiceCache(device).connect()
    gc.collect()
    await fleet.aclose()
    assert "dropped without disconnect()" in caplog.text


@pytest.mark.parametrize("by", ["the program", "the device"])
async def test_the_end_of_a_client_that_is_garbage_at_once_is_told(
    virtual: Virtual, real: Real, by: str
) -> None:
    """Whoever lets a client go with its link still hears that the link has ended."""
    house = await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(address(1))
    ended: list[str] = []

    async def use() -> None:
        client = await establish_connection(
            BleakClientWithServiceCache,
            device,
            "kettle",
            lambda client: ended.append(client.address),
        )
        if by == "the program":
            await client.disconnect()
            return
        assert isinstance(house.air, SimulatedAir)
        assert house.air.drop_link(address(1), 0x13)
        with contextlib.suppress(BleakError):
            while True:
                await client.read_gatt_char(VALUE)

    await use()
    gc.collect()
    await asyncio.sleep(0.05)
    assert ended == [address(1)]
