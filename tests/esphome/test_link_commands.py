"""One link: what is sent without waiting for a reply, between requests that wait for one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from proxyconn import LinkError, NotConnectedError
from proxyconn_esphome.link.command_flow import WINDOW, CommandFlow
from proxyconn_esphome.link.commands import STRAY_REPLY_TIME
from proxyconn_esphome.link.link import Link
from proxyconn_esphome.link.states import LinkEvent
from proxyconn_esphome.wire import messages as wire

from .by_hand import ADDRESS, NUMBER, HandProxy, answer, ask, now, turns

pytestmark = pytest.mark.looptime

GONE = LinkError("gone")


@pytest.fixture
async def proxy() -> HandProxy:
    """Return a proxy that is written by hand."""
    return HandProxy()


def command(handle: int = 3) -> wire.BluetoothGATTWriteRequest:
    """Return a write without response."""
    return wire.BluetoothGATTWriteRequest(address=NUMBER, handle=handle)


def write(link: Link, handle: int = 3) -> asyncio.Task[Any]:
    """Begin to write with a response."""
    message = wire.BluetoothGATTWriteRequest(address=NUMBER, handle=handle, response=True)
    return asyncio.create_task(link.request(message, wire.BluetoothGATTWriteResponse, handle))


def written(link: Link, handle: int = 3) -> bool:
    """Say that a write is done."""
    reply = wire.BluetoothGATTWriteResponse(handle=handle)
    return link.on_reply(reply, wire.BluetoothGATTWriteResponse, handle)


async def test_a_command_needs_a_link(proxy: HandProxy) -> None:
    """At once or in turn."""
    link = proxy.link()
    with pytest.raises(NotConnectedError):
        link.command(command(), 3)
    with pytest.raises(NotConnectedError):
        await link.command_in_turn(command(), 3)
    assert proxy.sent == []


async def test_a_command_is_sent_at_once(proxy: HandProxy) -> None:
    """Though a request about another handle is in flight; no reply is waited for."""
    link = proxy.open()
    reading = ask(link, 7)
    await turns()
    link.command(command(), 3)
    await link.command_in_turn(command(5), 5)
    assert proxy.sent[1:] == [command(), command(5)]
    assert proxy.outstanding == 1
    assert answer(link, 7)
    await reading
    link.down(GONE)


@pytest.mark.parametrize("in_turn", [False, True])
async def test_a_write_waits_for_stray_replies_of_a_command(
    proxy: HandProxy, in_turn: bool
) -> None:
    """To the same handle, and once; a read, or another handle, has no need to."""
    link = proxy.open()
    await asyncio.sleep(1)
    if in_turn:
        await link.command_in_turn(command(), 3)
    else:
        link.command(command(), 3)
    reading = ask(link)
    await turns()
    assert len(proxy.sent) == 2
    assert answer(link)
    await reading
    other = write(link, 7)
    await turns()
    assert len(proxy.sent) == 3
    assert written(link, 7)
    await other
    writing = write(link)
    await asyncio.sleep(STRAY_REPLY_TIME - 0.05)
    assert len(proxy.sent) == 3
    assert not written(link)
    await asyncio.sleep(0.1)
    assert len(proxy.sent) == 4
    assert written(link)
    await writing
    again = write(link)
    await turns()
    assert len(proxy.sent) == 5
    assert written(link)
    await again
    link.down(GONE)


async def test_a_command_waits_for_the_request_about_its_handle(proxy: HandProxy) -> None:
    """Its stray reply would answer it; what comes later on the link stays behind it."""
    link = proxy.open()
    reading = ask(link)
    await turns()
    first = asyncio.create_task(link.command_in_turn(command(3), 3))
    await turns()
    second = asyncio.create_task(link.command_in_turn(command(5), 5))
    await turns()
    assert len(proxy.sent) == 1
    assert answer(link)
    await reading
    await asyncio.gather(first, second)
    assert proxy.sent[1:] == [command(3), command(5)]
    link.down(GONE)


async def test_a_command_waits_for_a_request_that_waits_for_its_turn(proxy: HandProxy) -> None:
    """If it is about its handle, and no longer than that."""
    link = proxy.open()
    reading, next_one = ask(link, 7), ask(link, 3)
    await turns()
    sending = asyncio.create_task(link.command_in_turn(command(3), 3))
    await turns()
    assert len(proxy.sent) == 1
    assert answer(link, 7)
    await turns()
    assert len(proxy.sent) == 2
    assert not sending.done()
    assert answer(link, 3)
    await sending
    await asyncio.gather(reading, next_one)
    third = ask(link, 7)
    await turns()
    await asyncio.wait_for(link.command_in_turn(command(3), 3), 1)
    assert answer(link, 7)
    await third
    link.down(GONE)


async def test_a_request_comes_after_the_commands_before_it(proxy: HandProxy) -> None:
    """Also those that wait for the proxy to read; what waits at the end of the link fails."""
    flow = CommandFlow(proxy.send, lambda: proxy.name)
    link = Link(proxy, ADDRESS, NUMBER, lambda _: None, flow)
    for event in (LinkEvent.CONNECT_SENT, LinkEvent.UP, LinkEvent.SET_UP):
        link.move(event)
    sending = [asyncio.create_task(link.command_in_turn(command(), 3)) for _ in range(WINDOW + 2)]
    await turns()
    reading = ask(link, 7)
    await turns()
    kinds = [type(message) for message in proxy.sent]
    assert kinds.count(wire.BluetoothGATTWriteRequest) == WINDOW
    assert wire.BluetoothGATTReadRequest not in kinds
    for _ in range(2):
        flow.handlers()[wire.PingResponse](wire.PingResponse())
    await turns()
    await asyncio.gather(*sending)
    assert type(proxy.sent[-1]) is wire.BluetoothGATTReadRequest
    assert answer(link, 7)
    await reading
    waiting = [asyncio.create_task(link.command_in_turn(command(), 3)) for _ in range(2 * WINDOW)]
    await turns()
    link.down(GONE)
    await asyncio.wait(waiting)
    assert {task.exception() for task in waiting} == {None, GONE}
    assert now() == 0
    flow.reset()


async def test_a_command_waits_for_every_request_about_its_handle(proxy: HandProxy) -> None:
    """Not only for the first of several that wait for their turn."""
    link = proxy.open()
    tasks = [ask(link, handle) for handle in (5, 3, 7, 3)]
    await turns()
    for handle in (5, 3):
        assert answer(link, handle)
        await turns()
    sending = asyncio.create_task(link.command_in_turn(command(3), 3))
    await turns()
    assert command(3) not in proxy.sent
    for handle in (7, 3):
        assert answer(link, handle)
        await turns()
    await sending
    await asyncio.gather(*tasks)
    link.down(GONE)


async def test_what_has_no_handle_is_answered_without_one(proxy: HandProxy) -> None:
    """Pairing, and what is asked of the proxy itself."""
    link = proxy.open()
    paired = wire.BluetoothDevicePairingResponse
    pairing = asyncio.create_task(link.request(wire.BluetoothDeviceRequest(), paired))
    await turns()
    assert link.on_reply(paired(paired=True), paired, 0)
    assert (await pairing).paired
    link.down(GONE)
