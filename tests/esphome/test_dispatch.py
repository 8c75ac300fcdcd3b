"""Which link a message belongs to, and which links a report ends."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxyconn import Allocations, ErrorKind, LinkError, OutOfSlotsError
from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.codes import ConnectionReason
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.states import LinkEvent
from proxyconn_esphome.wire import messages as wire

from .by_hand import ADDRESS, NUMBER, OTHER, OTHER_ADDRESS, HandProxy, OwnedLink, turns

pytestmark = pytest.mark.looptime

TIMEOUT = ConnectionReason.ESP_GATT_CONN_TIMEOUT
FAILED = ConnectionReason.ESP_GATT_CONN_FAIL_ESTABLISH
STACK_ERROR = 133


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


def opening(proxy: HandProxy) -> OwnedLink:
    """Return a link that was asked for."""
    link = proxy.link()
    proxy.dispatcher.add(link)
    link.move(LinkEvent.CONNECT_SENT)
    link.asked_at = asyncio.get_running_loop().time()
    return link


def error_of(link: OwnedLink) -> BaseException:
    """Return what ended an attempt, or a link."""
    error = link.downs[0] if link.downs else link.opened.exception()
    assert error is not None
    return error


# Replies

REPLIES: list[tuple[Any, int]] = [
    (wire.BluetoothGATTReadResponse, 3),
    (wire.BluetoothGATTWriteResponse, 3),
    (wire.BluetoothGATTNotifyResponse, 3),
    (wire.BluetoothGATTGetServicesDoneResponse, 0),
    (wire.BluetoothDevicePairingResponse, 0),
    (wire.BluetoothDeviceUnpairingResponse, 0),
    (wire.BluetoothDeviceClearCacheResponse, 0),
    (wire.BluetoothSetConnectionParamsResponse, 0),
]


@pytest.mark.parametrize(("kind", "handle"), REPLIES)
async def test_a_reply_answers_the_link_of_its_address(
    proxy: HandProxy, kind: Any, handle: int
) -> None:
    """And of its handle, where it has one; one for an unknown address is nobody's."""
    link, other = proxy.open(), proxy.open(OTHER)
    asked = [
        asyncio.create_task(one.request(wire.BluetoothGATTReadRequest(), kind, handle))
        for one in (other, link)
    ]
    await turns()
    reply = kind(address=NUMBER)
    if handle:
        proxy.say(kind(address=NUMBER, handle=handle + 1))
        reply.handle = handle
    proxy.say(kind(address=NUMBER + 7))
    await turns()
    assert not any(task.done() for task in asked)
    proxy.say(reply)
    await turns()
    assert [task.done() for task in asked] == [False, True]
    assert asked[1].result() is reply
    proxy.dispatcher.end_all(lambda _: LinkError("over"))
    await asyncio.wait(asked)


async def test_an_error_answers_the_link_of_its_address(proxy: HandProxy) -> None:
    """One for an unknown address is nobody's."""
    link = proxy.open()
    reading = asyncio.create_task(
        link.request(wire.BluetoothGATTReadRequest(), wire.BluetoothGATTReadResponse, 3)
    )
    await turns()
    proxy.say(wire.BluetoothGATTErrorResponse(address=OTHER, handle=3, error=STACK_ERROR))
    assert not reading.done()
    proxy.say(wire.BluetoothGATTErrorResponse(address=NUMBER, handle=3, error=STACK_ERROR))
    with pytest.raises(Exception, match="handle 3"):
        await reading
    link.down(LinkError("over"))


async def test_services_come_to_the_link_of_their_address(proxy: HandProxy) -> None:
    """Part by part."""
    link = proxy.open()
    done = wire.BluetoothGATTGetServicesDoneResponse
    asked = wire.BluetoothGATTGetServicesRequest(address=NUMBER)
    collecting = asyncio.create_task(link.collect(asked, done, 5))
    await turns()
    part = wire.BluetoothGATTGetServicesResponse(address=NUMBER)
    proxy.say(wire.BluetoothGATTGetServicesResponse(address=OTHER))
    proxy.say(part)
    proxy.say(done(address=NUMBER))
    assert await collecting == [part]
    link.down(LinkError("over"))


async def test_notifications_come_to_the_subscription_of_their_handle(proxy: HandProxy) -> None:
    """Others are nobody's."""
    link = proxy.open()
    got: list[bytearray] = []
    link.subscriptions[3] = got.append
    for number, handle in ((NUMBER, 5), (OTHER, 3), (NUMBER, 3)):
        proxy.say(
            wire.BluetoothGATTNotifyDataResponse(
                address=number, handle=handle, data=bytes([number % 256, handle])
            )
        )
    assert got == [bytearray([1, 3])]


async def test_an_unpairing_is_answered_by_either_reply(proxy: HandProxy) -> None:
    """Firmware up to 2026.7 answers it with a pairing response; a pairing it answers once."""
    link = proxy.open()
    unpaired = wire.BluetoothDeviceUnpairingResponse
    asked = [
        asyncio.create_task(link.request(wire.BluetoothDeviceRequest(), kind))
        for kind in (wire.BluetoothDevicePairingResponse, unpaired, unpaired)
    ]
    await turns()
    proxy.say(unpaired(address=NUMBER))
    await turns()
    assert not asked[0].done()
    for number in range(2):
        proxy.say(wire.BluetoothDevicePairingResponse(address=NUMBER))
        await turns()
        assert [task.done() for task in asked] == [n <= number for n in range(3)]
    proxy.say(unpaired(address=NUMBER))
    await turns()
    assert asked[2].done()
    link.down(LinkError("over"))


async def test_what_needs_no_link_is_answered_with_and_without_one(proxy: HandProxy) -> None:
    """Whoever asked gets the answer, once."""
    loose, link = proxy.link(), proxy.open()
    proxy.dispatcher.loose[NUMBER] = loose
    cleared = wire.BluetoothDeviceClearCacheResponse
    waiting = asyncio.create_task(
        loose.request(wire.BluetoothDeviceRequest(), cleared, needs_link=False)
    )
    await turns()
    proxy.say(cleared(address=NUMBER, success=True))
    assert (await waiting).success
    proxy.dispatcher.remove_loose(link)
    assert proxy.dispatcher.loose == {NUMBER: loose}
    proxy.dispatcher.remove_loose(loose)
    proxy.dispatcher.remove_loose(loose)
    assert proxy.dispatcher.loose == {}
    loose.stop_timer()


# Connected and not


async def test_a_link_that_comes_up_is_open(proxy: HandProxy) -> None:
    """With the MTU that was told."""
    link = opening(proxy)
    proxy.say_up(mtu=517)
    assert await link.opened == 517
    assert link.is_up
    assert proxy.orphans == []


@pytest.mark.parametrize("ended", [False, True])
async def test_a_link_that_nobody_wants_is_an_orphan(proxy: HandProxy, ended: bool) -> None:
    """Whether its address is unknown, or the link over."""
    if ended:
        proxy.dispatcher.add(proxy.link())
    proxy.say_up()
    assert proxy.orphans == [NUMBER]


async def test_a_link_that_goes_down_is_taken_out_and_told(proxy: HandProxy) -> None:
    """With reason, proxy and slots; the notice is told after the link has ended."""
    link = proxy.open()
    other = proxy.open(OTHER)
    link.asked_at = 0.0
    proxy.report(ADDRESS, OTHER_ADDRESS)
    await asyncio.sleep(3)
    proxy.say_down(error=TIMEOUT)
    error = error_of(link)
    assert isinstance(error, LinkError)
    assert str(error) == f"kitchen [{ADDRESS}]: Disconnected: ESP_GATT_CONN_TIMEOUT (0x08)"
    assert (error.kind, error.code, error.source) == (ErrorKind.LINK_TIMEOUT, TIMEOUT, "kitchen")
    assert error.allocations == Allocations("kitchen", 3, 1, [ADDRESS, OTHER_ADDRESS])
    assert error.elapsed == 3
    assert proxy.dispatcher.links == {OTHER: other}
    assert proxy.notices == [NUMBER]
    assert other.is_up
    proxy.say_down(NUMBER + 7, TIMEOUT)
    assert proxy.notices == [NUMBER, NUMBER + 7]


async def test_the_end_of_a_link_is_known_before_its_notice(proxy: HandProxy) -> None:
    """What is done about an attempt that was given up sees the link gone."""
    seen: list[list[int]] = []
    link = Link(proxy, ADDRESS, NUMBER, lambda _: seen.append(list(proxy.notices)))
    proxy.dispatcher.add(link)
    for event in (LinkEvent.CONNECT_SENT, LinkEvent.UP, LinkEvent.SET_UP):
        link.move(event)
    proxy.say_down()
    assert seen == [[]]
    assert proxy.notices == [NUMBER]


async def test_an_attempt_that_fails_says_why(proxy: HandProxy) -> None:
    """A link that did not open was never connected."""
    link = opening(proxy)
    await asyncio.sleep(2)
    proxy.say_down(error=FAILED)
    error = error_of(link)
    assert isinstance(error, LinkError)
    assert str(error).startswith(f"kitchen [{ADDRESS}]: the link did not open: ESP_GATT_CONN_FAIL")
    assert (error.kind, error.code) == (ErrorKind.ESTABLISH_FAILED, FAILED)
    assert (error.source, error.elapsed) == ("kitchen", 2)


@pytest.mark.parametrize("listed", [False, True])
async def test_reason_zero_is_a_full_proxy_unless_a_slot_was_listed(
    proxy: HandProxy, listed: bool
) -> None:
    """A proxy without a slot refuses with no reason; with one, the attempt itself has failed."""
    link = opening(proxy)
    if listed:
        proxy.report(ADDRESS)
    proxy.say_down()
    error = error_of(link)
    assert isinstance(error, LinkError if listed else OutOfSlotsError)
    if isinstance(error, OutOfSlotsError):
        assert str(error) == (f"kitchen [{ADDRESS}]: the proxy has no free connection slot for it")
        assert error.source == "kitchen"
        assert error.allocations == Allocations("kitchen", 3, 3, [])


async def test_an_attempt_with_a_reason_is_not_out_of_slots(proxy: HandProxy) -> None:
    """Though no report has listed it yet."""
    link = opening(proxy)
    proxy.say_down(error=TIMEOUT)
    assert not isinstance(error_of(link), OutOfSlotsError)


@pytest.mark.parametrize("second", [FAILED, STACK_ERROR])
async def test_the_second_notice_of_a_failure_is_none_of_the_next(
    proxy: HandProxy, second: int
) -> None:
    """Whether it repeats the reason or says 133; a third is the next one's own."""
    opening(proxy)
    proxy.say_down(error=FAILED)
    link = opening(proxy)
    proxy.say_down(error=second)
    assert link.state.name == "OPENING"
    assert proxy.notices == [NUMBER, NUMBER]
    proxy.say_down(error=second)
    assert link.state.name == "IDLE"


async def test_another_reason_is_no_second_notice(proxy: HandProxy) -> None:
    """Nor is one that comes when the next link is up, nor one for another address."""
    opening(proxy)
    proxy.say_down(error=FAILED)
    link = opening(proxy)
    proxy.say_down(error=TIMEOUT)
    assert link.state.name == "IDLE"
    up = opening(proxy)
    proxy.say_up()
    proxy.say_down(error=TIMEOUT)
    assert up.state.name == "IDLE"


async def test_a_second_notice_in_time_is_not_waited_for_again(proxy: HandProxy) -> None:
    """It came while there was no link; and a failure without a reason has none."""
    opening(proxy)
    proxy.say_down(error=FAILED)
    proxy.say_down(error=FAILED)
    link = opening(proxy)
    proxy.say_down(error=FAILED)
    assert link.state.name == "IDLE"
    proxy.say_down(error=FAILED)
    opening(proxy)
    proxy.say_down()
    link = opening(proxy)
    proxy.say_down(error=STACK_ERROR)
    assert link.state.name == "IDLE"


@pytest.mark.parametrize("how", ["slot freed", "session over"])
async def test_a_second_notice_is_not_waited_for_for_ever(proxy: HandProxy, how: str) -> None:
    """Once the proxy has freed the slot, or begun anew, a failure is the next one's own."""
    opening(proxy)
    proxy.say_down(error=FAILED)
    if how == "slot freed":
        proxy.dispatcher.second_notices.forget(NUMBER)
        proxy.dispatcher.second_notices.forget(NUMBER)
    else:
        proxy.dispatcher.end_all(lambda _: LinkError("over"))
    link = opening(proxy)
    proxy.say_down(error=FAILED)
    assert link.state.name == "IDLE"


# Ends


async def test_a_newer_link_keeps_its_messages(proxy: HandProxy) -> None:
    """When the older one to its address is taken out."""
    older = proxy.open()
    newer = proxy.open()
    proxy.dispatcher.remove(older)
    assert proxy.dispatcher.links == {NUMBER: newer}
    proxy.dispatcher.remove(newer)
    proxy.dispatcher.remove(newer)
    assert proxy.dispatcher.links == {}


async def test_the_end_of_a_session_ends_every_link(proxy: HandProxy) -> None:
    """Each with an error of its own, and those that stood in for one."""
    links = [proxy.open(), proxy.open(OTHER)]
    loose = proxy.link(OTHER)
    proxy.dispatcher.loose[OTHER] = loose
    proxy.dispatcher.end_all(lambda link: RadioUnavailableError(link.address))
    assert [str(link.downs[0]) for link in links] == [ADDRESS, OTHER_ADDRESS]
    assert loose.closed.is_set()
    assert proxy.dispatcher.links == proxy.dispatcher.loose == {}


@pytest.mark.parametrize("state", ["OPEN", "READY", "CLOSING"])
async def test_a_link_that_has_left_the_list_is_over(proxy: HandProxy, state: str) -> None:
    """Whether it was used, or asked to end."""
    link = proxy.open(ready=state == "READY")
    if state == "CLOSING":
        link.send_disconnect()
    proxy.report(ADDRESS)
    assert link.state.name == state
    assert link.listed
    proxy.report(free=2)
    assert link.state.name == state
    proxy.report()
    assert link.state.name == "IDLE"
    assert proxy.dispatcher.links == {}


async def test_a_link_that_has_left_the_list_says_so(proxy: HandProxy) -> None:
    """The others stay."""
    link, other = proxy.open(), proxy.open(OTHER)
    proxy.report(OTHER_ADDRESS)
    (error,) = link.downs
    assert isinstance(error, LinkError)
    assert str(error) == (
        f"kitchen [{ADDRESS}]: Disconnected: it has left the proxy's list of links"
    )
    assert (error.kind, error.source) == (ErrorKind.DISCONNECTED, "kitchen")
    assert other.is_up
    assert other.listed


async def test_an_attempt_is_over_once_it_was_listed_and_is_no_more(proxy: HandProxy) -> None:
    """A report that was on its way when it was asked for says nothing."""
    link = opening(proxy)
    proxy.report()
    assert link.state.name == "OPENING"
    proxy.report(ADDRESS)
    proxy.report()
    assert link.state.name == "IDLE"
    assert isinstance(error_of(link), LinkError)


async def test_a_link_that_was_not_asked_for_is_left_alone(proxy: HandProxy) -> None:
    """Whatever is listed."""
    link = proxy.link()
    proxy.dispatcher.add(link)
    proxy.report(ADDRESS)
    proxy.report()
    assert proxy.dispatcher.links == {NUMBER: link}
