"""What goes wrong around a link: rivals, lost notices, doubts, requests left in flight."""

from __future__ import annotations

import asyncio
import math

import pytest
from bleak.exc import BleakError
from google.protobuf.message import Message

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    establish_connection,
)
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delay, Delayed, Drop, Injector, Passed, Replace
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.conftest import DEADLINE, NOTIFY, READ, Open, peripheral, until

NUMBER = 0xC40000000001


async def test_a_second_client_does_not_disturb_the_first(open_house: Open) -> None:
    """While one client connects, another of the same address is refused at once, and for good."""
    house = await open_house(peripheral(outcomes=[Outcome(after=0.2)]))
    first = house.client()
    connecting = asyncio.ensure_future(first.connect(False))
    await until(lambda: house.proxy.snapshot().free == 2)
    with pytest.raises(BleakConnectionError) as caught:
        await establish_connection(BleakClientWithServiceCache, house.device(), "device 1")
    assert caught.value.kind is ErrorKind.IN_USE
    assert caught.value.attempts == 1
    await connecting
    assert first.is_connected
    await first.disconnect()
    await house.all_free()


async def test_disconnect_ends_an_attempt(open_house: Open) -> None:
    """disconnect() while connecting ends the attempt, whatever it waits for."""
    never = Outcome(after=math.inf)
    house = await open_house(peripheral(1, [never]), peripheral(2), slots=1, establish_limit=0.5)
    opening, queued = house.client(1), house.client(2)
    tasks = [asyncio.ensure_future(client.connect(False)) for client in (opening, queued)]
    await until(lambda: house.session.queue.waiting == 1)
    await queued.disconnect()
    await opening.disconnect()
    for task in tasks:
        with pytest.raises(BleakError, match="Disconnected"):
            await task
    await house.all_free()


async def test_disconnect_ends_the_requests_in_flight(open_house: Open) -> None:
    """A read that waits when its client disconnects fails then, not after 30 s."""
    house = await open_house()
    client = house.client()
    await client.connect(False)
    services = client.services
    assert services is not None
    characteristic = services.get_characteristic(READ)
    assert characteristic is not None
    house.proxy.injectors.append(Drop(pb.BluetoothGATTReadRequest))
    read = asyncio.ensure_future(client.read_gatt_char(characteristic))
    await asyncio.sleep(0.05)
    house.proxy.injectors.append(Drop(pb.BluetoothDeviceRequest))
    leaving = asyncio.ensure_future(client.disconnect())
    await asyncio.sleep(0.05)
    leaving.cancel()
    with pytest.raises(NotConnectedError):
        async with asyncio.timeout(DEADLINE):
            await read
    await asyncio.wait([leaving])
    house.proxy.injectors.clear()
    house.session.send_disconnect(NUMBER)
    await house.all_free()


async def test_an_error_that_doubts_the_link_is_followed_up(open_house: Open) -> None:
    """With every notice of a lost link lost, error -1 leads to the truth in the slot report."""
    house = await open_house()
    dropped: list[object] = []
    client = BleakClientWithServiceCache(house.device(), disconnected_callback=dropped.append)
    await client.connect()
    notices = [
        Drop(pb.BluetoothDeviceConnectionResponse),
        Drop(pb.BluetoothConnectionsFreeResponse),
    ]
    house.proxy.injectors.extend(notices)
    house.drop_link(1, 0x08)
    await until(lambda: house.proxy.snapshot().free == 3)
    house.proxy.injectors.clear()
    assert client.is_connected
    with pytest.raises(LinkError, match=r"PROXY_NOT_CONNECTED \(-1\); the link is gone") as caught:
        await client.read_gatt_char(READ)
    assert caught.value.kind is ErrorKind.DISCONNECTED
    assert not client.is_connected
    await asyncio.sleep(0)
    assert dropped == [client]


async def test_clearing_the_cache_does_not_mind_a_connect(open_house: Open) -> None:
    """A request that needs no link is answered although a link is opened meanwhile."""
    house = await open_house()
    house.proxy.injectors.append(Delay(pb.BluetoothDeviceClearCacheResponse, seconds=0.1))
    clearing = asyncio.ensure_future(house.client().clear_cache())
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    async with asyncio.timeout(DEADLINE):
        assert await clearing is True
    await client.disconnect()


async def test_failed_stop_notify_still_ends_the_registration(open_house: Open) -> None:
    """When the CCCD cannot be written the proxy is told all the same."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.start_notify(NOTIFY, lambda *_: None)
        refuse_writes(house.proxy.injectors)
        before = house.proxy.snapshot().received["BluetoothGATTNotifyRequest"]
        with pytest.raises(GATTError):
            await client.stop_notify(NOTIFY)
        await until(
            lambda: house.proxy.snapshot().received["BluetoothGATTNotifyRequest"] == before + 1
        )


def refuse_writes(injectors: list[Injector]) -> None:
    """Make the proxy answer every descriptor write with ESP_GATT_BUSY."""

    def refuse(message: Message) -> Passed:
        assert isinstance(message, pb.BluetoothGATTWriteResponse)
        return [
            pb.BluetoothGATTErrorResponse(
                address=message.address, handle=message.handle, error=0x84
            )
        ]

    injectors.append(Replace(pb.BluetoothGATTWriteResponse, by=refuse))


async def test_the_end_of_one_registration_does_not_answer_the_next(open_house: Open) -> None:
    """After a failed subscription the answer to its end is not taken for the next one's."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        refuse_writes(house.proxy.injectors)
        answers = iter(["at once", "late", "never"])

        def answer(message: Message) -> Passed:
            match next(answers):
                case "at once":
                    return (message,)
                case "late":
                    return (Delayed(message, 0.1),)
            return ()

        house.proxy.injectors.append(Replace(pb.BluetoothGATTNotifyResponse, by=answer))
        with pytest.raises(GATTError):
            await client.start_notify(NOTIFY, lambda *_: None)
        second = asyncio.ensure_future(client.start_notify(NOTIFY, lambda *_: None))
        done, _ = await asyncio.wait({second}, timeout=0.5)
        assert not done
        second.cancel()
        await asyncio.wait([second])


async def test_a_stale_table_is_cleared_on_the_proxy_too(open_house: Open) -> None:
    """After 'invalid handle' the next connect clears the proxy's cache before it asks anew."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()

    def invalid(message: Message) -> Passed:
        assert isinstance(message, pb.BluetoothGATTReadResponse)
        return [
            pb.BluetoothGATTErrorResponse(address=message.address, handle=message.handle, error=1)
        ]

    house.proxy.injectors.append(Replace(pb.BluetoothGATTReadResponse, by=invalid))
    with pytest.raises(GATTError):
        await client.read_gatt_char(READ)
    house.proxy.injectors.clear()
    await client.disconnect()
    before = house.proxy.snapshot().received
    await client.connect(dangerous_use_bleak_cache=True)
    after = house.proxy.snapshot().received
    assert after["BluetoothDeviceRequest"] - before["BluetoothDeviceRequest"] == 2
    assert after["BluetoothGATTGetServicesRequest"] == 2
    await client.disconnect()


async def test_an_abandoned_attempt_is_waited_out_before_the_next(open_house: Open) -> None:
    """The proxy works on one attempt at a time; the next one's clock starts when it is over."""
    never = Outcome(after=math.inf)
    house = await open_house(peripheral(1, [never]), peripheral(2), establish_limit=0.8)
    first = asyncio.ensure_future(house.client(1).connect(False))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.wait([first])
    second = house.client(2)
    await second.connect(False, timeout=0.4)
    await second.disconnect()
    await house.all_free()


async def test_a_lost_first_slot_report_is_asked_for_again(
    open_house: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session becomes ready although the proxy's only slot report was lost."""
    monkeypatch.setattr("proxyconn_esphome.session.subscription.subscription.RETRY_AFTER", (0.1,))
    house = await open_house(ready=False)
    lost = Drop(pb.BluetoothConnectionsFreeResponse, count=1)
    house.proxy.injectors.append(lost)
    await house.session.ready(DEADLINE)
    assert lost.count == 0


async def test_closing_a_session_does_not_wait_for_a_silent_proxy(open_house: Open) -> None:
    """A proxy that does not answer the goodbye is left all the same, cancelled or not."""
    house = await open_house()
    house.proxy.injectors.append(Drop(pb.DisconnectRequest))
    closing = asyncio.ensure_future(house.session.aclose())
    await asyncio.sleep(0.05)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    await until(lambda: house.proxy.snapshot().clients == ())
