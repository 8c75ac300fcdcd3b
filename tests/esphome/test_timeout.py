"""`timeout=` is the limit of all that a connect does."""

from __future__ import annotations

import asyncio

import pytest
from bleak import BleakClient
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delayed, Drop, Passed, Replace
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.conftest import READ, Open, peripheral

LIMIT = 0.4
"""Seconds that a connect gets."""


async def refused(client: BleakClient) -> float:
    """Connect in vain; return the seconds that took."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    with pytest.raises(TimeoutError, match=r"no services within 0\.4 s"):
        await client.connect(timeout=LIMIT)
    return loop.time() - started


@pytest.mark.parametrize(
    "missing", [pb.BluetoothGATTGetServicesDoneResponse, pb.BluetoothDevicePairingResponse]
)
async def test_an_answer_that_does_not_come(open_house: Open, missing: type[Message]) -> None:
    """Neither pairing nor discovery has a limit of its own; the slot comes back."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device(), pair=True)
    house.proxy.injectors.append(Drop(missing))
    assert await refused(client) == pytest.approx(LIMIT, abs=0.3)
    await house.all_free()
    house.proxy.injectors.clear()
    await client.connect()
    assert await client.read_gatt_char(READ) == b"hello"
    await client.disconnect()


async def test_all_steps_share_it(open_house: Open) -> None:
    """Each of them is fast enough for itself, and together they are not."""
    house = await open_house(peripheral(outcomes=[Outcome(after=0.6 * LIMIT)]))
    client = BleakClientWithServiceCache(house.device())

    def late(message: Message) -> Passed:
        return (Delayed(message, 0.6 * LIMIT),)

    house.proxy.injectors.append(Replace(pb.BluetoothGATTGetServicesDoneResponse, by=late))
    assert await refused(client) == pytest.approx(LIMIT, abs=0.3)
    await house.all_free()
