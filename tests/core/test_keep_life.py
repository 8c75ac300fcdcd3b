"""How long a kept connection lives, how it waits, what it says, and whose fault ends it."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from bleak.exc import BleakError

from proxyconn import (
    BleakConnectionError,
    BleakNotFoundError,
    ErrorKind,
    LinkError,
    UnsupportedError,
    keep_connected,
)
from proxyconn.connect.kept_connection import LONGEST_PAUSE, SETTLED_AFTER
from proxyconn.connect.outage_log import LASTS_AFTER

from .kept_client import DEVICE, Scene, SceneClient

pytestmark = pytest.mark.looptime

REFUSED = UnsupportedError("this proxy only listens")
"""Ends a round after one attempt."""
CLOSED = LinkError("the fleet is closed", kind=ErrorKind.FLEET_CLOSED)


def keep(scene: Scene, **options: Any) -> Any:
    """Keep the device of a scene connected."""
    return keep_connected(scene.client_class(), DEVICE, "kettle", **options)


def told(caplog: pytest.LogCaptureFixture, level: int) -> list[str]:
    """Return what was logged at one level."""
    return [record.getMessage() for record in caplog.records if record.levelno == level]


async def test_pauses_are_doubled_up_to_a_minute() -> None:
    """What is refused today may be allowed tomorrow: it is asked again, less and less often."""
    scene = Scene([REFUSED] * 9)
    async with keep(scene) as kept:
        await kept.connected(1000)
    pauses = [
        later - sooner for sooner, later in zip(scene.asked_at, scene.asked_at[1:], strict=False)
    ]
    assert pauses == pytest.approx([1, 2, 4, 8, 16, 32, LONGEST_PAUSE, LONGEST_PAUSE, 60])


@pytest.mark.parametrize(
    ("lasted", "pause"), [(SETTLED_AFTER, 0.0), (SETTLED_AFTER - 0.1, 1.0)], ids=["settled", "not"]
)
async def test_a_link_that_had_settled_is_made_again_at_once(lasted: float, pause: float) -> None:
    """One that was lost soon after it came up counts as a failure."""
    scene = Scene()
    async with keep(scene) as kept:
        client = await kept.connected(1)
        await asyncio.sleep(lasted)
        client.drop()
        lost_at = asyncio.get_running_loop().time()
        await kept.connected(5)
        assert scene.asked_at[1] - lost_at == pytest.approx(pause)


async def test_a_link_that_had_settled_ends_the_long_pauses() -> None:
    """The pauses begin anew after it."""
    scene = Scene([REFUSED] * 4)
    async with keep(scene) as kept:
        client = await kept.connected(100)
        await asyncio.sleep(SETTLED_AFTER)
        scene.failures.append(REFUSED)
        client.drop()
        await kept.connected(10)
    assert scene.asked_at[-1] - scene.asked_at[-2] == pytest.approx(1.0)


async def test_slow_letting_go_settles_no_link() -> None:
    """The time that a disconnect takes is not part of the link's life."""
    scene = Scene(disconnect_takes=4.0)
    async with keep(scene) as kept:
        (await kept.connected(1)).drop()
        await kept.connected(100)
        assert scene.asked_at[1] == pytest.approx(5.0)


async def test_notifications_put_off_the_silence() -> None:
    """A link is replaced when nothing was heard for that long, and not while something is."""
    scene = Scene()
    async with keep(scene, silence_timeout=3.0) as kept:
        await kept.start_notify("fff1", lambda sender, data: None)
        client = await kept.connected(1)
        for _ in range(5):
            await asyncio.sleep(2)
            client.notified[10](None, bytearray())
        assert await kept.connected(1) is client
        await asyncio.sleep(2.9)
        assert kept.client is client
        await asyncio.sleep(0.2)
        assert kept.client is not client


async def test_the_silence_begins_when_the_link_is_ready() -> None:
    """Nothing can be heard before."""
    scene = Scene([REFUSED] * 2)
    async with keep(scene, silence_timeout=2.0) as kept:
        client = await kept.connected(5)
        await asyncio.sleep(1.9)
        assert kept.client is client


@pytest.mark.parametrize("defect", [TypeError("no"), CLOSED], ids=["a defect", "a closed fleet"])
async def test_what_no_other_try_can_help_ends_it(
    defect: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried once, logged as an error, and raised by every call."""
    scene = Scene([defect])
    async with keep(scene) as kept:
        await asyncio.sleep(10)
        assert len(scene.asked_at) == 1
        (error,) = told(caplog, logging.ERROR)
        assert "kettle: not kept connected any longer" in error
        for _ in range(2):
            with pytest.raises((TypeError, BleakConnectionError)) as caught:
                await kept.connected(1)
            assert caught.value is defect or caught.value.__cause__ is defect
        with pytest.raises(type(caught.value)):
            await kept.start_notify("fff1", print)


@pytest.mark.parametrize(
    "trouble",
    [
        ConnectionRefusedError("dbus-daemon is being restarted"),
        LinkError("held by another client", kind=ErrorKind.IN_USE),
        REFUSED,
        EOFError(),
        RuntimeError("a word of somebody else's backend"),
        asyncio.CancelledError(),
    ],
    ids=lambda trouble: type(trouble).__name__,
)
@pytest.mark.parametrize("where", ["connect", "on_connected"])
async def test_it_outlives_what_may_be_better_the_next_time(
    trouble: BaseException, where: str
) -> None:
    """Other people's errors, too, and a cancellation that is not its own."""
    scene = Scene([trouble] if where == "connect" else [])
    left = [trouble] if where == "on_connected" else []

    async def prepare(client: SceneClient) -> None:
        if left:
            raise left.pop()

    async with keep(scene, on_connected=prepare) as kept:
        client = await kept.connected(5)
        assert scene.calls.count("disconnect") == (where == "on_connected")
        assert client is scene.clients[-1]


async def test_on_connected_ends_with_the_link() -> None:
    """It may wait for an answer that can no longer come."""
    scene, ends = Scene(), []

    async def prepare(client: SceneClient) -> None:
        if len(scene.clients) == 1:
            asyncio.get_running_loop().call_later(0.5, client.drop)
            try:
                await asyncio.Event().wait()
            finally:
                ends.append(asyncio.get_running_loop().time())

    async with keep(scene, on_connected=prepare) as kept:
        await kept.connected(5)
        assert ends == [pytest.approx(0.5)]
        assert kept.connections == 1


async def test_on_connected_has_a_deadline() -> None:
    """An answer that never comes over a link that is up does not hold it for ever."""
    scene = Scene()

    async def prepare(client: SceneClient) -> None:
        if len(scene.clients) == 1:
            await asyncio.Event().wait()

    async with keep(scene, on_connected=prepare, deadline=30.0) as kept:
        with pytest.raises(BleakConnectionError, match="not ready within") as caught:
            await kept.connected(30.5)
        assert caught.value.kind is ErrorKind.TIMEOUT
        await kept.connected(2)


async def test_a_timeout_of_on_connected_stays_its_own() -> None:
    """It is not taken for the deadline."""
    scene, mine = Scene(), TimeoutError("my own")

    async def prepare(client: SceneClient) -> None:
        raise mine

    async with keep(scene, on_connected=prepare) as kept:
        with pytest.raises(TimeoutError) as caught:
            await kept.connected(0.5)
        assert caught.value is mine


async def test_a_loss_is_told_however_the_listeners_fare(caplog: pytest.LogCaptureFixture) -> None:
    """`on_lost` may raise, and `disconnected_callback` is called as by establish_connection."""
    scene = Scene()
    ended: list[SceneClient] = []

    def lost() -> None:
        raise ValueError("a bug")

    async with keep(scene, on_lost=lost, disconnected_callback=ended.append) as kept:
        first = await kept.connected(1)
        first.drop()
        assert kept.client is None
        assert await kept.connected(5) is not first
        assert ended == [first]
        assert told(caplog, logging.ERROR) == ["kettle: on_lost failed"]


async def test_the_end_of_an_earlier_link_is_not_that_of_the_present_one() -> None:
    """Some backends tell late that a link has ended, and some tell of an attempt that failed."""
    scene = Scene()
    async with keep(scene) as kept:
        first = await kept.connected(1)
        first.drop()
        second = await kept.connected(5)
        first.drop()
        assert kept.client is second
        await asyncio.sleep(5)
        assert await kept.connected(1) is second


async def test_the_loss_of_an_attempt_is_not_that_of_the_link() -> None:
    """An attempt that came up and was cut tells so, and the next one succeeds."""
    scene = Scene()

    class CutOnce(scene.client_class()):  # type: ignore[misc]
        async def connect(self, **kwargs: Any) -> None:
            await super().connect(**kwargs)
            if len(scene.clients) == 1:
                self.drop()
                raise LinkError("cut", kind=ErrorKind.LINK_TERMINATED)

    async with keep_connected(CutOnce, DEVICE, "kettle") as kept:
        client = await kept.connected(5)
        await asyncio.sleep(5)
        assert kept.client is client
        assert len(scene.clients) == 2


@pytest.mark.parametrize("error", [ConnectionResetError(), asyncio.CancelledError(), KeyError("s")])
async def test_no_disconnect_ends_it(error: BaseException) -> None:
    """Whatever fails while a link is let go, the next one is made."""
    scene = Scene(disconnect_raises=error)
    async with keep(scene) as kept:
        (await kept.connected(1)).drop()
        await kept.connected(5)
        assert kept.connections == 2


async def test_leaving_while_a_lost_link_is_let_go() -> None:
    """The disconnect under way is given up, and nothing begins after it."""
    scene = Scene(disconnect_takes=3.0)
    async with keep(scene) as kept:
        (await kept.connected(1)).drop()
        await asyncio.sleep(1)
    await asyncio.sleep(10)
    assert asyncio.get_running_loop().time() == pytest.approx(11)
    assert len(scene.asked_at) == 1


async def test_closing_twice_does_not_cut_the_disconnect_short() -> None:
    """The second waits for the end of the first."""
    scene = Scene(disconnect_takes=2.0)
    async with keep(scene) as kept:
        await kept.connected(1)
        first = asyncio.create_task(kept.aclose())
        await asyncio.sleep(1)
        await kept.aclose()
        await first
        assert scene.calls == ["disconnect", "disconnected"]


async def test_an_error_is_forgotten_with_the_next_success() -> None:
    """What failed before the link was up does not explain why it is down now."""
    scene = Scene([BleakError("old trouble")] * 4)
    async with keep(scene) as kept:
        with pytest.raises(BleakConnectionError, match="old trouble") as caught:
            await kept.connected(0.5)
        assert isinstance(caught.value.__cause__, BleakError)
        (await kept.connected(5)).drop()
        assert kept.last_error is None
        with pytest.raises(BleakNotFoundError, match="the link was lost"):
            await kept.connected(0.5)


async def test_a_device_without_a_name_is_called_by_its_address() -> None:
    """`device.name` is None then."""
    async with keep_connected(Scene([REFUSED]).client_class(), DEVICE, None) as kept:
        with pytest.raises(BleakConnectionError, match=rf"^{DEVICE.address}: Failed"):
            await kept.connected(0.5)


async def test_an_outage_is_told_once_and_again_when_it_lasts(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """INFO for the first reason, WARNING after a minute with the last one, INFO at the end."""
    caplog.set_level(logging.INFO, logger="proxyconn")
    scene = Scene([REFUSED] * 10)
    async with keep(scene) as kept:
        await asyncio.sleep(LASTS_AFTER - 1)
        assert len(told(caplog, logging.INFO)) == 1
        assert "this proxy only listens" in told(caplog, logging.INFO)[0]
        assert told(caplog, logging.WARNING) == []
        await asyncio.sleep(2)
        (warning,) = told(caplog, logging.WARNING)
        assert "not connected for 60 s" in warning
        assert "this proxy only listens" in warning
        client = await kept.connected(1000)
        assert len(told(caplog, logging.WARNING)) == 1
        assert "connected after" in told(caplog, logging.INFO)[1]
        caplog.clear()
        await asyncio.sleep(20)
        client.drop()
        await kept.connected(1)
        (info,) = told(caplog, logging.INFO)
        assert "the link was lost" in info
        await asyncio.sleep(LASTS_AFTER + 1)
        assert told(caplog, logging.WARNING) == []


async def test_an_attempt_that_hangs_is_warned_of_too(caplog: pytest.LogCaptureFixture) -> None:
    """The warning does not wait for the end of a round, and none comes after leaving."""
    scene = Scene()

    class Stuck(scene.client_class()):  # type: ignore[misc]
        async def connect(self, **kwargs: Any) -> None:
            await asyncio.Event().wait()

    async with keep_connected(Stuck, DEVICE, "kettle"):
        await asyncio.sleep(LASTS_AFTER + 1)
        (warning,) = told(caplog, logging.WARNING)
        assert "no attempt has ended so far" in warning
    caplog.clear()
    async with keep_connected(Stuck, DEVICE, "kettle"):
        await asyncio.sleep(1)
    await asyncio.sleep(LASTS_AFTER)
    assert told(caplog, logging.WARNING) == []
