"""A link that is dead when it is told to be up, one told twice, one asked for amid a cancel."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest
from google.protobuf.message import Message

from proxyconn import ErrorKind, LinkError
from proxyconn_esphome import ESPHomeClient
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.events import Connecting, ProxyEvent
from proxyconn_virtual.faults import Injector, Passed, RadioEvent
from proxyconn_virtual.peripheral import Outcome
from tests.esphome.by_hand import ADDRESS, HandProxy, begin, is_over, turns
from tests.esphome.clocked import a_house, device, program
from tests.esphome.conftest import READ, address
from tests.esphome.test_left_links import after_a_crash, run

pytestmark = pytest.mark.looptime

BACKENDS = ["2026.8", "2026.10"]
"""Firmware that takes a link for one that is up until its close event."""


@dataclass
class Late(Injector):
    """Lets the proxy notice a radio event late."""

    event: RadioEvent
    seconds: float

    def late(self, event: RadioEvent, address: int) -> float:
        """Return how late."""
        return self.seconds if event is self.event else 0.0


class Twice(Injector):
    """Tells of a link twice, with two MTUs, as when the MTU is known before the open event."""

    def outgoing(self, message: Message) -> Passed:
        """Add a notice to one of connected=true."""
        if not isinstance(message, pb.BluetoothDeviceConnectionResponse) or not message.connected:
            return (message,)
        return (
            pb.BluetoothDeviceConnectionResponse(address=message.address, connected=True, mtu=247),
            pb.BluetoothDeviceConnectionResponse(address=message.address, connected=True, mtu=23),
        )


@pytest.mark.parametrize("profile", BACKENDS)
@pytest.mark.parametrize("after", [0.01, 0.1])
async def test_link_from_before_that_has_just_died(profile: str, after: float) -> None:
    """What is told to be up, and to have ended a moment later, is no link that was lost."""
    lost: list[object] = []
    async with after_a_crash(profile, 1) as (house, notes, opened), run(house, notes) as session:
        await session.ready(5)
        await asyncio.sleep(2)
        assert session.ledger.inherited == {address(1)}
        house.proxy.injectors.append(Late(RadioEvent.CLOSE, after))
        house.drop_link(1, 0x13)
        client = ESPHomeClient(house.device(1), session=session)
        client.set_disconnected_callback(lambda: lost.append(client))
        with pytest.raises(LinkError):
            await client.connect(False, dangerous_use_bleak_cache=True)
        assert not client.is_connected
        assert lost == []
        await client.connect(False, dangerous_use_bleak_cache=True)
        assert opened == [address(1)]
        await asyncio.sleep(5)
        assert client.is_connected
        await client.disconnect()


@pytest.mark.parametrize("with_cache", [False, True])
async def test_loss_in_one_breath_with_the_notice_of_the_link(with_cache: bool) -> None:
    """The attempt has failed, and nothing is left of it."""
    proxy = HandProxy()
    link = proxy.link()
    opening = begin(proxy, link, with_cache=with_cache)
    await turns()
    proxy.report(ADDRESS)
    proxy.say_up()
    proxy.say_down(error=0x13)
    proxy.report()
    with pytest.raises(LinkError, match="ended as soon as it was up") as caught:
        await opening
    assert caught.value.kind is ErrorKind.TRANSIENT
    is_over(proxy)
    assert not proxy.dispatcher.links
    assert len(proxy.sent) == 1


async def test_link_that_was_asked_for_is_had_at_once() -> None:
    """What the proxy has just opened is not waited for."""
    proxy = HandProxy()
    opening = begin(proxy, proxy.link(), with_cache=True)
    await turns()
    proxy.report(ADDRESS)
    proxy.say_up()
    await turns()
    assert opening.done()


@pytest.mark.parametrize("cached", [False, True])
async def test_link_that_is_told_twice(cached: bool) -> None:
    """The smaller MTU, told second, is no news."""
    async with a_house(profile="2026.10") as house:
        client = program(house)
        await client.connect()
        await client.disconnect()
        house.proxy.injectors.append(Twice())
        client = program(house)
        await client.connect(dangerous_use_bleak_cache=cached)
        await asyncio.sleep(1)
        assert client.mtu_size == 247
        assert await client.read_gatt_char(READ) == b"hello"
        await client.disconnect()
        await house.all_free()


@pytest.mark.parametrize("late", [0.0, 0.05, 2.0])
async def test_connect_while_the_cancel_of_the_last_one_is_out(late: float) -> None:
    """The answer to the cancel is waited for; it is not taken for that of the next attempt."""
    began: list[str] = []

    def note(event: ProxyEvent) -> None:
        if isinstance(event, Connecting):
            began.append(event.address)

    async with a_house(device(outcomes=[Outcome(0x85, after=20.0)]), profile="2026.10") as house:
        house.proxy.add_observer(note)
        house.proxy.injectors.append(Late(RadioEvent.CANCEL, late))
        first = asyncio.create_task(house.client().connect(False))
        await asyncio.sleep(1)
        assert began == [address(1)]
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
        started = asyncio.get_running_loop().time()
        client = house.client()
        await client.connect(False)
        assert asyncio.get_running_loop().time() - started < late + 1.0
        assert began == [address(1)] * 2
        assert house.proxy.snapshot().received["BluetoothDeviceRequest"] == 3
        await client.disconnect()
