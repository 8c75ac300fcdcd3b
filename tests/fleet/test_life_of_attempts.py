"""Attempts while the only proxy is away."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ErrorKind,
    RadioState,
    device_source,
    establish_connection,
)

from .conftest import KITCHEN, Real, Virtual, address, peripheral, until


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
