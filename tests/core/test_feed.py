"""The stream of what changes: bounded in rate and number, nothing missed without a word."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, Callable
from typing import Any

import pytest

from proxyconn.fleet.alarms import SETTLE_TIME, AlarmKind, Monitor
from proxyconn.fleet.inside.inspection import Inspection
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.models import RadioState
from proxyconn.watch.changes import Table, apply_changes, table_changes
from proxyconn.watch.encoding import encoded
from proxyconn.watch.feed import (
    EVERY,
    IDLE,
    LINGER,
    MOST_EVENTS,
    SOON,
    Feed,
    FeedClosedError,
    Message,
)

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

A = "C4:00:00:00:00:01"


class Watched:
    """A hub with two radios, and a feed of it."""

    def __init__(self) -> None:
        self.hub = Hub(DeviceRoute, {})
        self.kitchen, self.cellar = FakeRadio(self.hub, "kitchen"), FakeRadio(self.hub, "cellar")
        monitor = Monitor(self.hub.radios, self.hub.queue.links)
        now: Callable[[], float] = self.hub.loop.time
        self.feed = Feed(Inspection(self.hub, lambda: monitor.alarms(now())))


async def told(messages: AsyncGenerator[Message, None], kind: str = "change") -> Any:
    """Return the data of the next message, which must be of a kind."""
    message = await anext(messages)
    assert message.kind == kind
    return json.loads(message.data)


async def test_what_is_heard_comes_in_few_events() -> None:
    """A hundred advertisements a second make two events a second, the last value in each."""
    watched = Watched()
    messages = watched.feed.follow()
    await told(messages, "snapshot")
    for number in range(300):
        watched.kitchen.hear(A, -50 - number % 2)
        await asyncio.sleep(0.01)
    assert watched.feed.sequence <= 1 + 3 / EVERY + 1
    event = await told(messages)
    assert set(event["changes"]["heard"]) == {A}
    assert event["changes"]["devices"][A]["source"] == "kitchen"
    assert (await told(messages))["sequence"] == event["sequence"] + 1
    watched.feed.close()
    await messages.aclose()


async def test_neither_slots_nor_snapshots_make_more_events_of_what_is_heard() -> None:
    """With slots that change all the time and many who ask: two events a second of what is heard.

    Those who ask make no events about anything else, either, but at the pace of what changes.
    """
    watched = Watched()
    messages = watched.feed.follow()
    await told(messages, "snapshot")
    first = watched.feed.sequence
    for number in range(300):
        watched.kitchen.hear(A, -50 - number % 30)
        if number % 2:
            watched.kitchen.report(*([A] if number % 4 == 1 else []))
        if number % 30 == 0:
            watched.cellar.become(RadioState.SILENT if number % 60 else RadioState.READY)
        watched.feed.snapshot()
        await asyncio.sleep(0.01)
    events = [await told(messages) for _ in range(watched.feed.sequence - first)]
    heard = [one for one in events if one["changes"].keys() & {"heard", "devices"}]
    assert 4 <= len(heard) <= 3 / EVERY
    assert len(events) <= 3 / SOON + len(heard)
    watched.feed.close()
    await messages.aclose()


async def test_closed_feed_has_no_snapshot_and_ends_its_readers() -> None:
    """Whoever asks later is told so, a reader that had missed something included."""
    watched = Watched()
    messages = watched.feed.follow("0badcafe-7")
    await told(messages, "missed")
    watched.feed.close()
    with pytest.raises(FeedClosedError):
        watched.feed.snapshot()
    assert await anext(messages, None) is None
    assert [message async for message in watched.feed.follow()] == []


async def test_log_has_alarms_that_came_and_went_while_nobody_read() -> None:
    """A slot that nobody uses is in the log with the time since when it is so, and its end too."""
    watched = Watched()
    began = watched.feed.clock.now()
    watched.kitchen.report(A)
    settled = SETTLE_TIME[AlarmKind.ORPHAN] + 2
    await asyncio.sleep(settled)
    watched.kitchen.report()
    await asyncio.sleep(30)
    assert not watched.feed.is_awake
    entries = [one for one in watched.feed.record.entries if one["kind"].startswith("alarm")]
    assert [(one["kind"], one["address"]) for one in entries] == [("alarm", A), ("alarm over", A)]
    assert entries[0]["time"] == pytest.approx(began, abs=1.1)
    assert entries[1]["time"] == pytest.approx(began + settled, abs=1.1)
    watched.feed.close()


async def test_alarm_that_ripens_is_told_of_soon() -> None:
    """Nothing happens when it does; it comes by a look at the fleet, with its words in the log."""
    watched = Watched()
    loop = asyncio.get_running_loop()
    messages = watched.feed.follow()
    await told(messages, "snapshot")
    # Not at a multiple of any rhythm.
    await asyncio.sleep(1.3)
    began = loop.time()
    watched.kitchen.report(A)
    async for message in messages:
        event = json.loads(message.data)
        if message.kind == "change" and "alarms" in event["changes"]:
            break
    ripe = began + SETTLE_TIME[AlarmKind.ORPHAN]
    assert ripe <= loop.time() <= ripe + 1.2
    assert [entry["kind"] for entry in event["log"]] == ["alarm"]
    watched.feed.close()
    await messages.aclose()


async def test_slots_and_states_are_told_of_soon() -> None:
    """A slot that is taken, and an alarm, come long before the next regular event."""
    watched = Watched()
    loop = asyncio.get_running_loop()
    messages = watched.feed.follow()
    await told(messages, "snapshot")
    await asyncio.sleep(1.2 * EVERY)
    began = loop.time()
    watched.kitchen.report(A)
    event = await told(messages)
    assert loop.time() - began < 0.3
    holders = event["changes"]["radios"]["kitchen"]["slots"]["holders"]
    assert [(one["address"], one["used"]) for one in holders] == [(A, False)]
    watched.cellar.become(RadioState.SILENT)
    event = await told(messages)
    assert event["changes"]["radios"] == {"cellar": {"state": "silent"}}
    assert [one["kind"] for one in event["changes"]["alarms"].values()] == ["silent"]
    assert {entry["kind"] for entry in event["log"]} == {"radio", "alarm"}
    watched.feed.close()
    await messages.aclose()


async def test_slow_reader_is_told_what_it_missed() -> None:
    """Whoever reads too slowly gets `missed`, and then everything anew; memory stays bounded."""
    watched = Watched()
    messages = watched.feed.follow()
    first = await told(messages, "snapshot")
    for number in range(MOST_EVENTS + 20):
        watched.kitchen.hear(A, -40 - number % 40)
        await asyncio.sleep(EVERY)
    assert (await told(messages, "missed"))["after"] == first["id"]
    snapshot = await told(messages, "snapshot")
    assert snapshot["sequence"] == watched.feed.sequence > MOST_EVENTS
    watched.feed.close()
    await messages.aclose()


async def test_feed_sleeps_when_nobody_reads_and_says_so_later() -> None:
    """A reader that is back in time misses nothing; one that is back late is told."""
    watched = Watched()
    messages = watched.feed.follow()
    last = json.loads((await anext(messages)).data)["id"]
    await messages.aclose()
    await asyncio.sleep(LINGER / 2)
    messages = watched.feed.follow(last)
    watched.kitchen.report(A)
    await told(messages)
    await messages.aclose()
    await asyncio.sleep(LINGER + 2 * EVERY)
    assert not watched.feed.is_awake
    assert not watched.hub.reports_callbacks.registered
    messages = watched.feed.follow(last)
    await told(messages, "missed")
    await told(messages, "snapshot")
    assert (await anext(messages)).kind == "idle"
    watched.feed.close()
    assert [message async for message in messages] == []


async def test_silence_is_told_of_and_the_end_ends_it() -> None:
    """A reader hears every 15 s that nothing has happened, and of the end at once."""
    watched = Watched()
    loop = asyncio.get_running_loop()
    messages = watched.feed.follow()
    await told(messages, "snapshot")
    began = loop.time()
    assert (await anext(messages)).kind == "idle"
    assert loop.time() - began == pytest.approx(IDLE)
    ending = asyncio.ensure_future(anext(messages, None))
    await asyncio.sleep(0)
    watched.feed.close()
    assert await ending is None


async def test_device_that_is_gone_and_radio_that_has_left() -> None:
    """A row that is no more is null; so is the cell of a radio that has left the fleet."""
    watched = Watched()
    watched.kitchen.hear(A, -50)
    watched.cellar.hear(A, -60)
    messages = watched.feed.follow()
    snapshot = await told(messages, "snapshot")
    assert set(snapshot["heard"][A]) == {"kitchen", "cellar"}
    watched.hub.radio_removed(watched.cellar)
    assert (await told(messages))["changes"]["radios"]["cellar"] is None
    assert (await told(messages))["changes"]["heard"] == {A: {"cellar": None}}
    watched.hub.radio_removed(watched.kitchen)
    assert (await told(messages))["changes"]["radios"]["kitchen"] is None
    event = await told(messages)
    assert event["changes"]["heard"] == event["changes"]["devices"] == {A: None}
    watched.feed.close()
    await messages.aclose()


async def test_changes_applied_give_the_new_state() -> None:
    """What `table_changes` finds is what `apply_changes` needs."""
    before: Table = {"a": {"x": 1, "y": 2}, "b": {"x": 1}, "c": {"x": 0}}
    after: Table = {"a": {"x": 1, "y": 3}, "c": {"x": 0}, "d": {"x": 4}}
    changes = table_changes(before, after)
    assert changes == {"b": None, "a": {"y": 3}, "d": {"x": 4}}
    apply_changes(before, changes)
    assert before == after


@pytest.mark.parametrize("value", [{"name": "é\ud800"}, {"n": 2**70, "x": [1.5, None, "é"]}, {}])
def test_whatever_a_device_says_can_be_sent(value: Any) -> None:
    """What the fast way cannot write is written by the other one."""
    text = encoded(value)
    assert json.loads(text) == value
    assert "\n" not in text


async def test_an_entry_of_the_log_is_told_once() -> None:
    """Who comes between an entry and its event has it by one of the two, not by both."""
    watched = Watched()
    first = watched.feed.follow()
    await told(first, "snapshot")
    watched.kitchen.become(RadioState.SILENT)
    await asyncio.sleep(1.5 * SOON)
    watched.kitchen.become(RadioState.READY)
    watched.feed.record.add("action", "a slot was freed")
    second = watched.feed.follow()
    seen = list((await told(second, "snapshot"))["log"])
    await asyncio.sleep(2 * SOON)
    seen += (await told(second))["log"]
    numbers = [entry["number"] for entry in seen]
    assert numbers == [entry["number"] for entry in watched.feed.record.entries]
    watched.feed.close()
    await first.aclose()
    await second.aclose()
