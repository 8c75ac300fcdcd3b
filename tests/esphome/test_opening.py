"""Opening a link: what is sent, what becomes of the last link, and what a failure leaves."""

from __future__ import annotations

import asyncio
import logging

import pytest

from proxyconn import ErrorKind, LinkError, NotConnectedError
from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.codes import ConnectionReason
from proxyconn_esphome.link.opening import (
    SETTLE_TIMEOUT,
    abandon,
)
from proxyconn_esphome.link.states import LinkEvent, LinkState
from proxyconn_esphome.wire import messages as wire

from .by_hand import ADDRESS, NUMBER, OTHER, OTHER_ADDRESS, HandProxy, begin, is_over, now, turns

pytestmark = pytest.mark.looptime

LABEL = rf"kitchen \[{ADDRESS}\]: "
FAILED = ConnectionReason.ESP_GATT_CONN_FAIL_ESTABLISH
Types = wire.BluetoothDeviceRequestType


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


@pytest.mark.parametrize("with_cache", [False, True])
async def test_what_is_asked_for(proxy: HandProxy, with_cache: bool) -> None:
    """A link to the address, of its type, with or without services that are known."""
    link = proxy.link()
    opening = begin(proxy, link, address_type=0, with_cache=with_cache)
    await asyncio.sleep(1)
    assert proxy.sent == [
        wire.BluetoothDeviceRequest(
            address=NUMBER,
            request_type=(
                Types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
                if with_cache
                else Types.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
            ),
            has_address_type=True,
            address_type=0,
        )
    ]
    assert proxy.attempts.opening == {ADDRESS}
    assert proxy.ledger.claims == {ADDRESS}
    assert proxy.turn.locked()
    assert proxy.told
    assert link.state is LinkState.OPENING
    assert link.elapsed() == 1
    proxy.say_up(mtu=247)
    assert await opening == 247
    assert link.is_up
    assert proxy.dispatcher.links == {NUMBER: link}
    assert proxy.slots_asked == 0
    is_over(proxy)


async def test_the_address_type_is_told(proxy: HandProxy) -> None:
    """A random address is not a public one."""
    opening = begin(proxy, address_type=1)
    await turns()
    assert proxy.sent[0].address_type == 1
    proxy.say_up()
    await opening


async def test_an_attempt_that_fails_leaves_nothing(proxy: HandProxy) -> None:
    """Neither claim nor turn, and the proxy is not asked to drop what it does not have."""
    opening = begin(proxy)
    await turns()
    proxy.say_down(error=FAILED)
    with pytest.raises(LinkError, match="did not open"):
        await opening
    is_over(proxy)
    assert proxy.asked_to_drop() == []
    assert not proxy.attempts.abandoned
    assert proxy.dispatcher.links == {}


async def test_an_attempt_that_is_not_answered_is_given_up(proxy: HandProxy) -> None:
    """In its time, counted from the request; the proxy is asked to end it, and has it still."""
    link = proxy.link()
    with pytest.raises(TimeoutError) as caught:
        await begin(proxy, link, timeout=5)
    assert str(caught.value) == f"kitchen [{ADDRESS}]: no link within 5 s"
    assert now() == pytest.approx(5)
    assert proxy.asked_to_drop() == [NUMBER]
    assert list(proxy.attempts.abandoned) == [ADDRESS]
    assert proxy.dispatcher.links == {}
    assert link.closed.is_set()
    is_over(proxy)


async def test_an_attempt_that_is_cancelled_is_given_up(proxy: HandProxy) -> None:
    """As one that is not answered."""
    opening = begin(proxy)
    await turns()
    opening.cancel()
    with pytest.raises(asyncio.CancelledError):
        await opening
    assert proxy.asked_to_drop() == [NUMBER]
    assert list(proxy.attempts.abandoned) == [ADDRESS]
    is_over(proxy)


async def test_an_attempt_that_cannot_be_sent_leaves_nothing(proxy: HandProxy) -> None:
    """A proxy that goes meanwhile drops it by itself."""
    await proxy.turn.acquire()
    opening = begin(proxy)
    await turns()
    proxy.turn.release()
    proxy.gone = True
    with pytest.raises(RadioUnavailableError):
        await opening
    assert proxy.sent == []
    is_over(proxy)
    proxy.gone = True
    with pytest.raises(RadioUnavailableError):
        await begin(proxy)
    assert not proxy.attempts.opening


# Other clients


async def test_a_second_attempt_is_refused_at_once(proxy: HandProxy) -> None:
    """While a client opens a link to the address, or has one; the first is not disturbed."""
    first = begin(proxy)
    await turns()
    expected = LABEL + "another client of this program is connected to it, or connecting"
    for _ in ("opening", "open"):
        with pytest.raises(LinkError, match=f"^{expected}$") as caught:
            await begin(proxy)
        assert (caught.value.kind, caught.value.source) == (ErrorKind.IN_USE, "kitchen")
        assert now() == 0
        if not first.done():
            assert proxy.attempts.opening == {ADDRESS}
            proxy.say_up()
            await first
            proxy.report(ADDRESS)
    assert len(proxy.sent) == 1
    assert proxy.dispatcher.links[NUMBER].is_up


async def test_another_device_is_no_rival(proxy: HandProxy) -> None:
    """Its link is opened when it is its turn."""
    first, second = begin(proxy), begin(proxy, proxy.link(OTHER))
    await turns()
    assert [message.address for message in proxy.sent] == [NUMBER]
    proxy.say_up()
    await first
    await turns()
    assert [message.address for message in proxy.sent] == [NUMBER, OTHER]
    proxy.say_up(OTHER)
    await second


# The last link


async def test_the_last_link_is_waited_for(proxy: HandProxy) -> None:
    """Until the report no longer lists it, and without a word while that may take so long."""
    proxy.report(ADDRESS)
    opening = begin(proxy)
    await asyncio.sleep(SETTLE_TIMEOUT - 0.1)
    assert proxy.sent == []
    proxy.report()
    await turns()
    assert len(proxy.sent) == 1
    assert proxy.asked_to_drop() == []
    proxy.say_up()
    await opening


async def test_a_slot_that_nobody_uses_is_freed(
    proxy: HandProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """The proxy is asked to drop it, and to say when it has."""
    caplog.set_level(logging.DEBUG)
    proxy.report(ADDRESS)
    opening = begin(proxy, timeout=10)
    await asyncio.sleep(SETTLE_TIMEOUT + 5)
    assert proxy.asked_to_drop() == [NUMBER]
    assert proxy.slots_asked == 1
    proxy.report()
    await turns()
    proxy.say_up()
    await opening


async def test_a_slot_that_stays_is_told(proxy: HandProxy) -> None:
    """After the time of one attempt."""
    proxy.report(ADDRESS)
    with pytest.raises(LinkError, match=f"^{LABEL}the proxy still holds the last link") as e:
        await begin(proxy, timeout=10)
    assert str(e.value).endswith("link to it")
    assert now() == pytest.approx(SETTLE_TIMEOUT + 10)
    assert (e.value.kind, e.value.source) == (ErrorKind.TRANSIENT, "kitchen")
    is_over(proxy)


@pytest.mark.parametrize("complete", [True, False])
async def test_a_second_notice_is_expected_while_the_slot_may_be_held(
    proxy: HandProxy, complete: bool
) -> None:
    """Once a report shows that it is not, a failure is this attempt's own."""
    first = begin(proxy)
    await turns()
    proxy.say_down(error=FAILED)
    with pytest.raises(LinkError):
        await first
    if not complete:
        proxy.report(free=2)
    opening = begin(proxy)
    await turns()
    proxy.say_down(error=FAILED)
    await turns()
    assert opening.done() == complete
    if not complete:
        proxy.say_down(error=FAILED)
    with pytest.raises(LinkError, match="did not open"):
        await opening


# Letting go


async def test_a_link_that_is_let_go_of_is_over_here(
    proxy: HandProxy, caplog: pytest.LogCaptureFixture
) -> None:
    """At once, and without a word to its owner; the proxy is occupied until it is over."""
    caplog.set_level(logging.DEBUG)
    link = proxy.open()
    abandon(proxy, link)
    assert proxy.asked_to_drop() == [NUMBER]
    assert list(proxy.attempts.abandoned) == [ADDRESS]
    assert link.downs == []
    assert link.state is LinkState.IDLE
    assert proxy.dispatcher.links == {}
    other = proxy.link(OTHER)
    proxy.dispatcher.add(other)
    other.move(LinkEvent.CONNECT_SENT)
    proxy.gone = True
    abandon(proxy, other)
    ended = other.opened.exception()
    assert isinstance(ended, NotConnectedError)
    assert str(ended) == f"kitchen [{OTHER_ADDRESS}]: Disconnected by its client"
    assert ended.source == "kitchen"
    assert proxy.asked_to_drop() == [NUMBER]


async def test_a_link_that_is_over_is_only_taken_out(proxy: HandProxy) -> None:
    """There is nothing to ask for."""
    link = proxy.link()
    proxy.dispatcher.add(link)
    abandon(proxy, link)
    assert proxy.dispatcher.links == {}
    assert proxy.sent == []
    assert not proxy.attempts.abandoned
