"""Writes without response, and what else needs no answer of the device."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack

import pytest
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache, RadioError
from proxyconn_native_api.intake import Intake
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Drop, Passed, Replace
from proxyconn_virtual.peripheral import CharacteristicSpec, Properties
from tests.esphome.clocked import a_house, program
from tests.esphome.conftest import COMMAND, DEADLINE, READ, House, Open, peripheral, until

BUTTON = "0000ffe1-0000-1000-8000-00805f9b34fb"


def commands(house: House) -> int:
    """Return how many writes have arrived at the proxy."""
    return house.proxy.snapshot().received.get("BluetoothGATTWriteRequest", 0)


# How long


@pytest.mark.parametrize("cached", [False, True])
async def test_a_command_that_is_too_long_is_refused(cached: bool, open_house: Open) -> None:
    """The proxy would cut it and call it written; a cached link has the MTU of the last one."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    if cached:
        await client.disconnect()
        await client.connect(dangerous_use_bleak_cache=True)
    characteristic = client.services.get_characteristic(COMMAND)
    assert characteristic
    assert characteristic.max_write_without_response_size == 244
    with pytest.raises(ValueError, match=r"at most 244 bytes on this link \(MTU 247\), not 245"):
        await client.write_gatt_char(COMMAND, bytes(245), response=False)
    assert commands(house) == 0
    await client.write_gatt_char(COMMAND, bytes(244), response=False)
    await client.write_gatt_char(COMMAND, bytes(500), response=True)
    await client.disconnect()
    assert commands(house) == 2


@pytest.mark.parametrize("mtu", [515, 23])
async def test_the_largest_command_is_what_the_link_takes(mtu: int, open_house: Open) -> None:
    """Its MTU, less 3."""
    device = peripheral()
    device.mtu = mtu
    house = await open_house(device)
    async with BleakClientWithServiceCache(house.device()) as client:
        characteristic = client.services.get_characteristic(COMMAND)
        assert characteristic
        most = characteristic.max_write_without_response_size
        assert most == mtu - 3
        await client.write_gatt_char(COMMAND, bytes(most), response=False)
        with pytest.raises(ValueError, match=f"at most {most} bytes"):
            await client.write_gatt_char(COMMAND, bytes(most + 1), response=False)


async def test_a_command_is_not_refused_for_an_mtu_that_nobody_knows(open_house: Open) -> None:
    """What a link is sure to take is told; more may do, and is tried."""
    house = await open_house()

    def untold(message: Message) -> Passed:
        assert isinstance(message, pb.BluetoothDeviceConnectionResponse)
        message.mtu = 0
        return [message]

    house.proxy.injectors.append(Replace(pb.BluetoothDeviceConnectionResponse, by=untold))
    async with BleakClientWithServiceCache(house.device()) as client:
        characteristic = client.services.get_characteristic(COMMAND)
        assert characteristic
        assert characteristic.max_write_without_response_size == 20
        await client.write_gatt_char(COMMAND, bytes(100), response=False)
        assert await client.read_gatt_char(READ) == b"hello"
        assert commands(house) == 1


# To be notified


@pytest.mark.parametrize("description", [None, "Button"])
async def test_device_without_a_cccd_notifies(description: str | None, open_house: Open) -> None:
    """The proxy is told, and the device, which cannot be, is not."""
    device = peripheral()
    device.services[0].characteristics = [
        CharacteristicSpec(
            BUTTON, Properties.NOTIFY, notify_every=0.01, cccd=False, description=description
        )
    ]
    house = await open_house(device)
    received: list[bytes] = []
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.start_notify(BUTTON, lambda _, data: received.append(bytes(data)))
        await until(lambda: len(received) >= 3)
        await client.stop_notify(BUTTON)
        count = len(received)
        if description:
            told = client.services.get_characteristic(BUTTON)
            assert told
            assert await client.read_gatt_descriptor(told.descriptors[0]) == b"Button"
        else:
            await client.start_notify(BUTTON, lambda _, data: received.append(bytes(data)))
            await until(lambda: len(received) > count)
    arrived = house.proxy.snapshot().received
    assert "BluetoothGATTWriteDescriptorRequest" not in arrived
    assert arrived["BluetoothGATTNotifyRequest"] == (2 if description else 3)


# How many


SLOW = Intake(rate=45.0)
"""What an ESP32 takes that writes to devices."""


class Noted:
    """A device that notes what is written to it."""

    def __init__(self, number: int) -> None:
        self.written: list[int] = []
        self.device = peripheral(number)
        self.device.services[0].characteristics[-1].on_write = self._on_write

    def _on_write(self, data: bytes) -> None:
        self.written.append(int.from_bytes(data, "little"))


@pytest.fixture
async def slow_house(open_house: Open) -> tuple[House, list[Noted]]:
    """Return a house whose proxy takes its time, and its three devices."""
    noted = [Noted(number) for number in (1, 2, 3)]
    house = await open_house(*(one.device for one in noted), intake=SLOW)
    return house, noted


async def write(client: BleakClientWithServiceCache, number: int) -> None:
    """Write a number without response."""
    await client.write_gatt_char(COMMAND, number.to_bytes(2, "little"), response=False)


async def test_a_flood_of_commands_waits_for_the_proxy(
    slow_house: tuple[House, list[Noted]],
) -> None:
    """No more than a few are on their way, all arrive in order, and a neighbour is not held up."""
    house, (first, _, _) = slow_house
    loop = asyncio.get_running_loop()
    async with (
        BleakClientWithServiceCache(house.device(1)) as client,
        BleakClientWithServiceCache(house.device(2)) as neighbour,
    ):
        most, sent = 0, 0

        async def one(number: int) -> None:
            nonlocal most, sent
            await write(client, number)
            sent += 1
            most = max(most, sent - len(first.written))

        begun = loop.time()
        flood = asyncio.gather(*(one(number) for number in range(150)))
        await asyncio.sleep(0.5)
        assert await neighbour.read_gatt_char(READ) == b"hello"
        assert not flood.done()
        await flood
        assert loop.time() - begun > 150 / 45 - 0.5
        await until(lambda: len(first.written) == 150)
        assert first.written == list(range(150))
        assert most <= 10


async def test_links_of_one_proxy_take_turns(slow_house: tuple[House, list[Noted]]) -> None:
    """Whoever floods has no more of the proxy than who comes later with a few."""
    house, (first, second, third) = slow_house
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(BleakClientWithServiceCache(house.device(number)))
            for number in (1, 2, 3)
        ]
        flood = asyncio.gather(*(write(clients[0], number) for number in range(120)))
        await asyncio.sleep(0.1)
        for number in range(10):
            await asyncio.gather(write(clients[1], number), write(clients[2], number))
        assert 10 <= len(first.written) <= 50
        assert not flood.done()
        await flood
        await until(lambda: len(first.written) == 120 and len(second.written) == 10)
        assert third.written == second.written == list(range(10))


async def test_a_request_stays_behind_the_commands_before_it(
    slow_house: tuple[House, list[Noted]],
) -> None:
    """What is asked for after a flood is asked for when it is through."""
    house, (first, _, _) = slow_house
    async with BleakClientWithServiceCache(house.device(1)) as client:
        flood = asyncio.gather(*(write(client, number) for number in range(40)))
        await asyncio.sleep(0)
        await client.write_gatt_char(COMMAND, b"\xff\xff", response=True)
        assert flood.done()
        assert first.written == [*range(40), 0xFFFF]


async def test_commands_that_wait_are_taken_back(slow_house: tuple[House, list[Noted]]) -> None:
    """One that is cancelled is not sent; the others keep their order."""
    house, (first, _, _) = slow_house
    async with BleakClientWithServiceCache(house.device(1)) as client:
        flood = [asyncio.create_task(write(client, number)) for number in range(60)]
        await asyncio.sleep(0.1)
        for task in flood[30:50]:
            task.cancel()
        await asyncio.gather(*flood, return_exceptions=True)
        await until(lambda: len(first.written) == 40)
        assert first.written == [*range(30), *range(50, 60)]


@pytest.mark.parametrize("end", ["disconnect", "loss", "kill"])
async def test_commands_that_wait_end_with_the_link(
    end: str, slow_house: tuple[House, list[Noted]]
) -> None:
    """Each of them says so; the neighbour's go on, if there is still a proxy."""
    house, (_, second, _) = slow_house
    client = BleakClientWithServiceCache(house.device(1))
    await client.connect()
    async with BleakClientWithServiceCache(house.device(2)) as neighbour:
        flood = asyncio.gather(
            *(write(client, number) for number in range(60)), return_exceptions=True
        )
        others = asyncio.gather(
            *(write(neighbour, number) for number in range(20)), return_exceptions=True
        )
        await asyncio.sleep(0.3)
        match end:
            case "disconnect":
                await client.disconnect()
            case "loss":
                house.drop_link(1, 8)
            case "kill":
                await house.proxy.kill()
        async with asyncio.timeout(DEADLINE):
            results = await flood
            went = await others
        errors = [result for result in results if result is not None]
        assert len(errors) > 20
        assert all(isinstance(error, RadioError) for error in errors)
        if end != "kill":
            assert went == [None] * 20
            await until(lambda: second.written == list(range(20)))


@pytest.mark.looptime
async def test_a_proxy_that_reads_nothing_fails_those_who_wait() -> None:
    """A command has a deadline as a request has; what the proxy lost is asked for again."""
    async with a_house() as house, program(house) as client:
        lost = Drop(pb.PingResponse, count=2)
        house.proxy.injectors.append(lost)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        await asyncio.gather(*(write(client, number) for number in range(20)))
        assert loop.time() - begun == pytest.approx(5, abs=1)
        house.proxy.injectors.append(Drop(pb.PingResponse))
        begun = loop.time()
        results = await asyncio.gather(
            *(write(client, number) for number in range(20)), return_exceptions=True
        )
        assert 30 <= loop.time() - begun < 40
        failed = [result for result in results if result is not None]
        assert len(failed) >= 12
        assert all(isinstance(error, TimeoutError) for error in failed)
        house.proxy.injectors.clear()
        await asyncio.sleep(10)
        await write(client, 1)


# What is not meant for others


async def test_a_stray_reply_settles_no_write_behind_it(open_house: Open) -> None:
    """Not the first of two writes, not the second, and they stay in order."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.write_gatt_char(COMMAND, b"1", response=False)
        house.proxy.injectors.append(Drop(pb.BluetoothGATTWriteRequest))
        writes = [
            asyncio.create_task(client.write_gatt_char(COMMAND, data, response=True))
            for data in (b"2", b"3")
        ]
        await asyncio.sleep(0.05)
        house.proxy.send_subscriber(
            pb.BluetoothGATTWriteResponse(address=0xC40000000001, handle=handle(client))
        )
        done, _ = await asyncio.wait(writes, timeout=0.5)
        assert not done
        for write in writes:
            write.cancel()
        await asyncio.wait(writes)


async def test_a_command_waits_for_the_write_before_it(open_house: Open) -> None:
    """Its stray reply would come first, and be taken for that to the write."""
    slow = Noted(1)
    slow.device.att_latency = 0.1
    house = await open_house(slow.device)
    async with BleakClientWithServiceCache(house.device()) as client:
        writing = asyncio.create_task(client.write_gatt_char(COMMAND, b"\1", response=True))
        await asyncio.sleep(0.05)
        await client.write_gatt_char(COMMAND, b"\2", response=False)
        assert slow.written == [1]
        await writing
        await client.write_gatt_char(COMMAND, b"\3", response=True)
        assert slow.written == [1, 2, 3]


async def test_a_cancelled_wait_for_stray_replies_does_not_end_it(open_house: Open) -> None:
    """The next one waits for what is left."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.write_gatt_char(COMMAND, b"1", response=False)
        loop = asyncio.get_running_loop()
        begun = loop.time()
        for _ in range(2):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await client.write_gatt_char(COMMAND, b"2", response=True)
        await client.write_gatt_char(COMMAND, b"3", response=True)
        assert loop.time() - begun > 0.19


def handle(client: BleakClientWithServiceCache) -> int:
    """Return the handle of the characteristic that takes commands."""
    characteristic = client.services.get_characteristic(COMMAND)
    assert characteristic
    return characteristic.handle
