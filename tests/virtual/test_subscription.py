"""Who is sent what: the single subscriber, and the end of links without one."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn_virtual.events import OpenFailed, ProxyEvent, Subscribed, Unsubscribed
from proxyconn_virtual.peripheral import Outcome
from tests.virtual.conftest import (
    DEADLINE,
    FIRST,
    WITHOUT_CACHE,
    Bench,
    api,
    peripheral,
    until,
)

ADVERTS = api.BluetoothLERawAdvertisementsResponse
STATE = api.BluetoothScannerStateResponse


async def test_subscribe_is_answered_by_the_scanner_state(bench: Bench) -> None:
    """The first message after an accepted subscribe is 126: running, active."""
    proxy = await bench.proxy(peripheral())
    peer = await bench.peer(proxy)
    peer.subscribe()
    first = await asyncio.wait_for(peer.inbox.get(), DEADLINE)
    assert isinstance(first, STATE)
    assert (first.state, first.mode, first.configured_mode) == (2, 1, 1)
    assert proxy.snapshot().subscriber == "peer"


@pytest.mark.parametrize(
    ("firmware", "flags", "answer"),
    [("2024.11", 63, None), ("2025.5", 127, 0), ("2025.9", 127, 1), ("2026.1", 127, 1)],
)
async def test_subscribe_on_old_firmware(
    bench: Bench, firmware: str, flags: int, answer: int | None
) -> None:
    """Old firmware says less: no configured mode before 2025.9, no state at all before 2025.5."""
    proxy = await bench.proxy(peripheral(), profile=firmware)
    assert proxy.device_info().bluetooth_proxy_feature_flags == flags
    peer = await bench.peer(proxy)
    peer.subscribe()
    first = await asyncio.wait_for(peer.inbox.get(), DEADLINE)
    if answer is None:
        assert isinstance(first, ADVERTS)
    else:
        assert isinstance(first, STATE)
        assert first.configured_mode == answer


async def test_second_subscriber_is_ignored(bench: Bench) -> None:
    """While somebody is subscribed, another subscribe is dropped, the holder's own as well."""
    proxy, first = await bench.pair(peripheral())
    second = await bench.peer(proxy)
    second.subscribe()
    assert await second.quiet() == []
    assert second.inbox.empty()
    while not first.inbox.empty():
        first.inbox.get_nowait()
    first.subscribe()
    await first.wait_for(ADVERTS)
    first.send(api.ListEntitiesRequest())
    while not isinstance(got := await first.inbox.get(), api.ListEntitiesDoneResponse):
        assert not isinstance(got, STATE)


async def test_newest_subscriber_takes_over(bench: Bench) -> None:
    """From 2026.7 the newest subscriber wins, links stay up, and the old one is told nothing."""
    proxy, first = await bench.pair(peripheral(), profile="2026.7.0")
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    first.ask(WITHOUT_CACHE)
    await first.steps(3)
    second = await bench.peer(proxy)
    second.subscribe()
    await second.wait_for(STATE)
    assert await first.quiet() == []
    second.send(api.BluetoothGATTReadRequest(address=FIRST, handle=3))
    assert await second.steps(1) == [("BluetoothGATTReadResponse", 3, b"device 1")]
    assert [type(e) for e in seen if isinstance(e, Subscribed | Unsubscribed)] == [
        Unsubscribed,
        Subscribed,
    ]


async def test_newest_subscriber_may_ask_again(bench: Bench) -> None:
    """From 2026.7 a repeated subscribe sends the scanner state again."""
    _, peer = await bench.pair(peripheral(), profile="2026.7.0")
    peer.subscribe()
    await peer.wait_for(STATE)


@pytest.mark.parametrize("how", ["unsubscribe", "close"])
async def test_subscription_ends(bench: Bench, how: str) -> None:
    """Once the holder unsubscribes or is gone, somebody else can subscribe."""
    proxy, first = await bench.pair(peripheral())
    if how == "unsubscribe":
        first.send(api.UnsubscribeBluetoothLEAdvertisementsRequest())
        await first.quiet()
    else:
        await first.close()
    await until(lambda: proxy.snapshot().subscriber is None)
    second = await bench.peer(proxy, subscribe=True)
    assert proxy.snapshot().subscriber == "peer"
    assert second.connection.is_connected


async def test_unsubscribe_by_another_client_changes_nothing(bench: Bench) -> None:
    """Only the holder can end its subscription."""
    proxy, _ = await bench.pair(peripheral())
    second = await bench.peer(proxy)
    second.send(api.UnsubscribeBluetoothLEAdvertisementsRequest())
    await second.quiet()
    assert proxy.snapshot().subscriber == "peer"


async def test_links_die_without_subscriber(bench: Bench) -> None:
    """An unsubscribe ends every link, silently."""
    proxy, peer = await bench.pair(peripheral())
    peer.ask(WITHOUT_CACHE)
    await peer.steps(3)
    peer.send(api.UnsubscribeBluetoothLEAdvertisementsRequest())
    await until(lambda: proxy.snapshot().free == 3)
    assert await peer.quiet() == []


async def test_answers_go_to_the_subscriber(bench: Bench) -> None:
    """Any client may ask; the subscriber gets the answer."""
    proxy, first = await bench.pair(peripheral())
    second = await bench.peer(proxy)
    second.ask(WITHOUT_CACHE)
    assert await first.steps(3) == [("slots", 2, 1), ("conn", True, 247, 0), ("slots", 2, 1)]
    assert await second.quiet() == []


async def test_answers_go_nowhere_without_subscriber(bench: Bench) -> None:
    """Without a subscriber nobody gets an answer."""
    proxy = await bench.proxy(peripheral(outcomes=[Outcome(62)]))
    seen: list[ProxyEvent] = []
    proxy.add_observer(seen.append)
    peer = await bench.peer(proxy)
    peer.ask(WITHOUT_CACHE)
    await until(lambda: any(isinstance(event, OpenFailed) for event in seen))
    assert await peer.quiet() == []


async def test_connections_free_is_one_answer(bench: Bench) -> None:
    """Message 80 is answered once, to the asker; later reports go to the subscriber alone."""
    proxy, first = await bench.pair(peripheral())
    second = await bench.peer(proxy)
    second.send(api.SubscribeBluetoothConnectionsFreeRequest())
    assert await second.steps(1) == [("slots", 3)]
    first.ask(WITHOUT_CACHE)
    await first.steps(3)
    assert await second.quiet() == []
