"""One link: its states, and its request in flight."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn import Allocations, ErrorKind, LinkError, NotConnectedError
from proxyconn.radio import RadioUnavailableError
from proxyconn_esphome.link.link import (
    REQUEST_TIMEOUT,
)
from proxyconn_esphome.link.states import LinkEvent, LinkMoveError, LinkState, next_state
from proxyconn_esphome.wire import messages as wire

from .by_hand import ADDRESS, DISCONNECT, NUMBER, HandProxy, answer, ask, now, turns

pytestmark = pytest.mark.looptime

Read = wire.BluetoothGATTReadRequest
GONE = LinkError("gone", kind=ErrorKind.DISCONNECTED)
ERROR = wire.BluetoothGATTErrorResponse


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


# States


@pytest.mark.parametrize(
    ("state", "moves"),
    [
        ("IDLE", {"CONNECT_SENT": "OPENING", "DOWN": "IDLE"}),
        ("OPENING", {"UP": "OPEN", "DISCONNECT_SENT": "CLOSING", "DOWN": "IDLE"}),
        (
            "OPEN",
            {"UP": "OPEN", "SET_UP": "READY", "DISCONNECT_SENT": "CLOSING", "DOWN": "IDLE"},
        ),
        ("READY", {"UP": "READY", "DISCONNECT_SENT": "CLOSING", "DOWN": "IDLE"}),
        ("CLOSING", {"UP": "CLOSING", "DISCONNECT_SENT": "CLOSING", "DOWN": "IDLE"}),
    ],
)
def test_moves(state: str, moves: dict[str, str]) -> None:
    """Each state has these moves, and any other is refused by name."""
    before = LinkState[state]
    for event in LinkEvent:
        if event.name in moves:
            assert next_state(before, event) is LinkState[moves[event.name]]
        else:
            with pytest.raises(LinkMoveError, match=f"is {state} cannot take {event.name}") as e:
                next_state(before, event)
            assert (e.value.state, e.value.event) == (before, event)


async def test_a_new_link_is_not_up(proxy: HandProxy) -> None:
    """Nothing was asked, and nothing can be asked over it; it is known by proxy and address."""
    link = proxy.link()
    assert not link.is_up
    assert not link.is_waited_for
    assert link.elapsed() is None
    assert link.mtu is None
    assert link.listed is False
    assert (link.source, link.label) == ("kitchen", f"kitchen [{ADDRESS}]")
    assert repr(link) == f"<Link {ADDRESS} via kitchen: IDLE>"
    assert link.allocations() == Allocations("kitchen", 3, 3, [])
    with pytest.raises(NotConnectedError, match=r"kitchen \[C4.*not connected") as caught:
        link.require_up()
    assert caught.value.source == "kitchen"
    with pytest.raises(NotConnectedError):
        await ask(link)
    assert proxy.sent == []


async def test_a_link_is_up_from_connected_to_the_disconnect_request(proxy: HandProxy) -> None:
    """Before and after its services are known."""
    link = proxy.open(ready=False)
    assert await link.opened == 23
    assert link.is_up
    proxy.say_up(mtu=247)
    link.move(LinkEvent.SET_UP)
    assert link.is_up
    await asyncio.sleep(1)
    link.asked_at = now()
    await asyncio.sleep(2)
    assert link.elapsed() == 2
    link.send_disconnect()
    assert not link.is_up
    assert proxy.sent == [wire.BluetoothDeviceRequest(address=NUMBER, request_type=DISCONNECT)]


async def test_a_link_that_comes_up_late_is_dropped(proxy: HandProxy) -> None:
    """Its opener has given it up, and the first request to drop it may have come too early."""
    link = proxy.link()
    link.move(LinkEvent.CONNECT_SENT)
    link.send_disconnect()
    link.on_up(23)
    assert proxy.asked_to_drop() == [NUMBER, NUMBER]
    assert link.state is LinkState.CLOSING
    assert not link.opened.done()


async def test_a_disconnect_request_may_go_out_for_no_link(proxy: HandProxy) -> None:
    """The proxy may have one that nobody here knows of."""
    link = proxy.link()
    link.send_disconnect()
    assert link.state is LinkState.IDLE
    assert proxy.asked_to_drop() == [NUMBER]


# Requests


async def test_only_the_reply_that_is_waited_for_answers(proxy: HandProxy) -> None:
    """By its type and its handle."""
    link = proxy.open()
    reading = ask(link)
    await turns()
    assert proxy.sent == [Read(address=NUMBER, handle=3)]
    assert proxy.outstanding == 1
    assert not answer(link, 5, b"other handle")
    assert not link.on_reply(
        wire.BluetoothGATTWriteResponse(handle=3), wire.BluetoothGATTWriteResponse, 3
    )
    await turns()
    assert not reading.done()
    assert answer(link, data=b"mine")
    assert (await reading).data == b"mine"
    assert proxy.outstanding == 0
    assert not answer(link, data=b"twice")
    link.down(GONE)


async def test_requests_wait_for_each_other(proxy: HandProxy) -> None:
    """Also for one whose caller has gone, until its reply is there: it would answer the next."""
    link = proxy.open()
    first, second = ask(link), ask(link)
    await turns()
    assert len(proxy.sent) == 1
    first.cancel()
    await turns()
    assert len(proxy.sent) == 1
    assert link.is_waited_for
    assert answer(link, data=b"first")
    await turns()
    assert len(proxy.sent) == 2
    assert answer(link, data=b"second")
    assert (await second).data == b"second"
    assert proxy.outstanding == 0
    assert not link.is_waited_for
    link.down(GONE)


async def test_a_request_that_cannot_be_sent_holds_up_nobody(proxy: HandProxy) -> None:
    """The next one has its turn, and no reply is waited for."""
    link = proxy.open()
    proxy.gone = True
    with pytest.raises(RadioUnavailableError):
        await ask(link)
    assert proxy.outstanding == 0
    assert not link.is_waited_for


async def test_what_needs_no_link_is_sent_without(proxy: HandProxy) -> None:
    """A proxy clears its cache for a device that it is not connected to."""
    link = proxy.link()
    clearing = ask(link, needs_link=False)
    await turns()
    assert len(proxy.sent) == 1
    assert answer(link)
    await clearing
    link.stop_timer()


async def test_each_request_has_its_own_time(proxy: HandProxy) -> None:
    """Counted from when it was sent; one timer for all of them is early or late for none."""
    link = proxy.open()
    quick = ask(link, timeout=5)
    await asyncio.sleep(4)
    assert answer(link)
    await quick
    slow = ask(link, 7, timeout=6)
    await asyncio.sleep(5)
    assert not slow.done()
    with pytest.raises(TimeoutError) as caught:
        await slow
    assert now() == pytest.approx(10)
    assert str(caught.value) == (
        f"kitchen [{ADDRESS}]: no answer to BluetoothGATTReadRequest within 6 s"
    )
    assert proxy.outstanding == 0
    with pytest.raises(TimeoutError):
        await ask(link)
    assert now() == pytest.approx(10 + REQUEST_TIMEOUT)
    long = ask(link)
    await turns()
    assert answer(link)
    await long
    begun = now()
    with pytest.raises(TimeoutError):
        await ask(link, timeout=1)
    assert now() == pytest.approx(begun + 1)
    link.down(GONE)


async def test_a_request_that_is_never_answered_holds_up_the_next_so_long(
    proxy: HandProxy,
) -> None:
    """Though its caller has gone."""
    link = proxy.open()
    ask(link, timeout=5).cancel()
    first, second = ask(link, timeout=5), ask(link, timeout=5)
    await turns()
    first.cancel()
    await asyncio.sleep(4)
    assert len(proxy.sent) == 1
    await asyncio.sleep(2)
    assert len(proxy.sent) == 2
    assert answer(link)
    await second
    link.down(GONE)


async def test_what_waits_on_a_link_that_is_closed_is_told_so(proxy: HandProxy) -> None:
    """Whatever reason the proxy gives: it is its client that does not want it."""
    link = proxy.open()
    asked = ask(link)
    await turns()
    link.send_disconnect()
    proxy.say_down(error=8)
    with pytest.raises(NotConnectedError, match="Disconnected by its client") as caught:
        await asked
    assert caught.value.source == "kitchen"
