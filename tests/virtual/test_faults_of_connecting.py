"""What the wire shows of each fault of connecting and of the slots."""

from __future__ import annotations

import asyncio

import pytest

from proxyconn_virtual.fault_catalogue import FaultName as Name
from proxyconn_virtual.firmware.profiles import PROFILES
from proxyconn_virtual.named_faults.model import FOREIGN
from tests.virtual.conftest import DISCONNECT, FIRST, WITH_CACHE, WITHOUT_CACHE, Bench, api
from tests.virtual.fault_scene import UP, Check, Scene, cases, down, scene

pytestmark = pytest.mark.looptime


async def lost_disconnect(s: Scene) -> None:
    """Only the slot report tells of the end."""
    await s.link()
    s.proxy.inject(Name.LOST_DISCONNECT)
    s.drop_link(8)
    await s.sees(s.slots(3))


async def connect_silent(s: Scene) -> None:
    """Neither connect nor disconnect is answered, but the slot comes and goes."""
    s.proxy.inject(Name.CONNECT_SILENT)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1))
    await s.sees_nothing(60)
    s.peer.ask(DISCONNECT)
    await s.sees(s.slots(3))


async def connected_never(s: Scene) -> None:
    """The proxy has the link and says nothing."""
    s.proxy.inject(Name.CONNECTED_NEVER)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1))
    await s.sees_nothing(60)
    assert s.proxy.snapshot().slots[0][1] in ("established", "connecting")
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))


async def late_connected(s: Scene) -> None:
    """The link is reported after it is gone again."""
    s.proxy.inject(Name.LATE_CONNECTED, 3)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), s.slots(2, 1))
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3), UP)


async def true_then_false(s: Scene) -> None:
    """The first link ends as soon as it is reported, the second stays."""
    s.proxy.inject(Name.TRUE_THEN_FALSE, 1)
    await s.link()
    await s.sees(down(), s.slots(3))
    await s.link()
    await s.sees_nothing(1)


async def double_false(s: Scene) -> None:
    """Links that are up and links that come drop, and are told twice."""
    await s.link()
    undo = s.proxy.inject(Name.DOUBLE_FALSE)
    await s.sees(down(19), down(19), s.slots(3))
    await s.link()
    await s.sees(down(19), down(19), s.slots(3))
    undo()
    await s.link()
    await s.sees_nothing(5)


async def early_false_slot_held(s: Scene) -> None:
    """The second notice and the slot come seconds after the first."""
    await s.link()
    s.proxy.inject(Name.EARLY_FALSE_SLOT_HELD, 4)
    s.drop_link(8)
    await s.sees(down(8))
    await s.sees_nothing(3.9)
    await s.sees(down(8), s.slots(3))


async def false_133_after_reason(s: Scene) -> None:
    """Between the two notices the slot is held."""
    undo = s.proxy.inject(Name.FALSE_133_AFTER_REASON, 2)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), down(62))
    await s.sees_nothing(1.9)
    assert s.proxy.snapshot().free == 2
    await s.sees(down(133), s.slots(3))
    undo()
    await s.link()


async def out_of_slots_zero(s: Scene) -> None:
    """The refusal comes without a slot report, as often as was asked for."""
    s.proxy.inject(Name.OUT_OF_SLOTS_ZERO, 2)
    for _ in range(2):
        s.peer.ask(WITHOUT_CACHE)
        await s.sees(down())
        await s.sees_nothing()
    await s.link()


async def duplicate_connect_mtu0(s: Scene) -> None:
    """The notice of a link lacks its MTU."""
    s.proxy.inject(Name.DUPLICATE_CONNECT_MTU0)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), ("conn", True, 0, 0), s.slots(2, 1))


async def stale_mtu(s: Scene) -> None:
    """A connect with cache has another MTU, one without has the right one."""
    s.proxy.inject(Name.STALE_MTU, 185)
    s.peer.ask(WITH_CACHE)
    await s.sees(s.slots(2, 1), ("conn", True, 185, 0), s.slots(2, 1))
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))
    await s.link()


async def mtu_23(s: Scene) -> None:
    """A connect with cache has the smallest MTU in a slot that had a greater one."""
    await s.link()
    s.proxy.inject(Name.MTU_23)
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))
    s.peer.ask(WITH_CACHE)
    await s.sees(s.slots(2, 1), ("conn", True, 23, 0), s.slots(2, 1))


async def queued_behind(s: Scene) -> None:
    """Another device's attempt comes first, and fails."""
    s.proxy.inject(Name.QUEUED_BEHIND, 5)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 0), s.slots(1, 0, 1))
    await s.sees_nothing(4.9)
    await s.sees(*failed(s, 256), s.slots(2, 1), UP, s.slots(2, 1))


async def disconnect_ignored(s: Scene) -> None:
    """A disconnect is not answered before the attempt is over, or given up; until 2026.10."""
    s.proxy.inject(Name.DISCONNECT_IGNORED)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1))
    s.peer.ask(DISCONNECT)
    if s.proxy.profile.cancels_open:
        await s.sees(down(256), s.slots(3))
    elif s.proxy.profile.backend:
        await s.sees_nothing(9.9)
        await s.sees(down(8), s.slots(3))
    else:
        await s.sees_nothing(24.9)
        await s.sees(down(256), down(133), s.slots(3))


async def duplicate_slot(s: Scene) -> None:
    """The device stands in the list twice, and once more after its link has ended."""
    s.proxy.inject(Name.DUPLICATE_SLOT)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), s.slots(1, 1, 1), UP, s.slots(1, 1, 1))
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(2, 1))
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))


async def slot_mismatch(s: Scene) -> None:
    """The list is short, absent or padded; the numbers are right."""
    for how, octets in (("short", ()), ("absent", ()), ("zeros", (1, 0, 0))):
        undo = s.proxy.inject(Name.SLOT_MISMATCH, how)
        s.peer.ask(WITHOUT_CACHE)
        seen = await s.peer.steps(3)
        listed = (1,) if how == "zeros" and s.proxy.profile.allocated else ()
        report = ("slots", 2, *(octets if listed else (0,) * 3 if how == "zeros" else ()))
        assert seen == [report, UP, report]
        undo()
        s.peer.ask(DISCONNECT)
        await s.sees(down(), s.slots(3))


async def slot_leak(s: Scene) -> None:
    """Strangers hold slots; a disconnect frees one, the end of the fault the other."""
    undo = s.proxy.inject(Name.SLOT_LEAK, 2)
    await s.sees(s.slots(2, 1), s.slots(1, 2, 1))
    s.peer.ask(DISCONNECT, FOREIGN + 1)
    await s.sees(down(-1 if s.proxy.profile.backend else 0), s.slots(2, 2))
    undo()
    await s.sees(s.slots(3))


async def wedged_connecting(s: Scene) -> None:
    """One attempt blocks all others and the scan, until the proxy restarts or, now, is told to."""
    undo = s.proxy.inject(Name.WEDGED_CONNECTING, "C4:00:00:00:00:01")
    s.peer.ask(WITHOUT_CACHE)
    s.peer.ask(WITHOUT_CACHE, FIRST + 1)
    await s.sees(s.slots(2, 1), s.slots(1, 1, 2))
    undo()
    if s.proxy.profile.backend:
        await s.sees_nothing(120)
        s.peer.ask(DISCONNECT)
        if not s.proxy.profile.cancels_open:
            await s.sees_nothing(9.9)
        ended = down(256 if s.proxy.profile.cancels_open else 8)
        await s.sees(ended, s.slots(2, 2), UP, s.slots(2, 2))
        return
    s.peer.ask(DISCONNECT)
    await s.sees_nothing(120)
    assert not s.proxy.snapshot().scanning
    await s.proxy.kill()
    await s.proxy.start()
    assert s.proxy.snapshot().free == 3
    assert s.proxy.snapshot().scanning


async def radio_62_burst(s: Scene) -> None:
    """So many attempts fail, with both notices; the next one works."""
    s.proxy.inject(Name.RADIO_62_BURST, 2)
    for _ in range(2):
        s.peer.ask(WITHOUT_CACHE)
        await s.sees(s.slots(2, 1), *failed(s, 62), s.slots(3))
    await s.link()


async def radio_256_late(s: Scene) -> None:
    """The attempt fails when the proxy's limit is reached."""
    s.proxy.inject(Name.RADIO_256_LATE)
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1))
    await s.sees_nothing(19.9)
    await s.sees(*failed(s, 256), s.slots(3))


async def radio_256_at_once(s: Scene) -> None:
    """The attempt fails long before the proxy's limit."""
    s.proxy.inject(Name.RADIO_256_AT_ONCE, 1)
    before = asyncio.get_running_loop().time()
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), *failed(s, 256), s.slots(3))
    assert asyncio.get_running_loop().time() - before < 1
    await s.link()


async def radio_19_discovery(s: Scene) -> None:
    """The link drops before it is reported."""
    s.proxy.inject(Name.RADIO_19_DISCOVERY, 1)
    s.peer.ask(WITHOUT_CACHE)
    once = s.proxy.profile.freed_at_disconnect or s.proxy.profile.backend
    notices = [down(19)] if once else [down(19), down(19)]
    await s.sees(s.slots(2, 1), *notices, s.slots(3))
    await s.link()


async def radio_8_live(s: Scene) -> None:
    """The link drops when its time is up."""
    s.proxy.inject(Name.RADIO_8_LIVE, 3)
    await s.link()
    await s.sees_nothing(2.9)
    await s.sees(down(8))


async def late_disconnect_event(s: Scene) -> None:
    """What ended the last link ends the next one."""
    s.proxy.inject(Name.LATE_DISCONNECT_EVENT)
    await s.link()
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))
    await s.link()
    if s.proxy.profile.backend:
        # Nothing has ended, so the end is waited for, and forced.
        await s.sees_nothing(5)
        assert brief_of(await s.within(6))[0] == down(8)
    else:
        assert brief_of(await s.within(5))[0] == down(22)
    assert s.proxy.snapshot().free == 3


async def instant_reconnect_refused(s: Scene) -> None:
    """A connect right after a loss is refused by the controller, a later one is not."""
    s.proxy.inject(Name.INSTANT_RECONNECT_REFUSED)
    await s.link()
    s.drop_link(8)
    await s.sees(down(8), s.slots(3))
    s.peer.ask(WITHOUT_CACHE)
    await s.sees(s.slots(2, 1), down(13), down(133), s.slots(3))
    await asyncio.sleep(0.5)
    await s.link()


def failed(s: Scene, reason: int) -> list[tuple[object, ...]]:
    """Return the notices of a failed attempt: the reason and 133, or 133 alone."""
    return [down(133)] if s.proxy.profile.backend else [down(reason), down(133)]


def brief_of(messages: list[object]) -> list[tuple[object, ...]]:
    """Return the notices among some messages in brief."""
    notices = [m for m in messages if isinstance(m, api.BluetoothDeviceConnectionResponse)]
    return [("conn", m.connected, m.mtu, m.error) for m in notices]


CHECKS: dict[Name, Check] = {
    Name.LOST_DISCONNECT: lost_disconnect,
    Name.CONNECT_SILENT: connect_silent,
    Name.CONNECTED_NEVER: connected_never,
    Name.LATE_CONNECTED: late_connected,
    Name.TRUE_THEN_FALSE: true_then_false,
    Name.DOUBLE_FALSE: double_false,
    Name.EARLY_FALSE_SLOT_HELD: early_false_slot_held,
    Name.FALSE_133_AFTER_REASON: false_133_after_reason,
    Name.OUT_OF_SLOTS_ZERO: out_of_slots_zero,
    Name.DUPLICATE_CONNECT_MTU0: duplicate_connect_mtu0,
    Name.STALE_MTU: stale_mtu,
    Name.MTU_23: mtu_23,
    Name.QUEUED_BEHIND: queued_behind,
    Name.DISCONNECT_IGNORED: disconnect_ignored,
    Name.DUPLICATE_SLOT: duplicate_slot,
    Name.SLOT_MISMATCH: slot_mismatch,
    Name.SLOT_LEAK: slot_leak,
    Name.WEDGED_CONNECTING: wedged_connecting,
    Name.RADIO_62_BURST: radio_62_burst,
    Name.RADIO_256_LATE: radio_256_late,
    Name.RADIO_256_AT_ONCE: radio_256_at_once,
    Name.RADIO_19_DISCOVERY: radio_19_discovery,
    Name.RADIO_8_LIVE: radio_8_live,
    Name.LATE_DISCONNECT_EVENT: late_disconnect_event,
    Name.INSTANT_RECONNECT_REFUSED: instant_reconnect_refused,
}


@cases(CHECKS)
async def test_fault_of_connecting(bench: Bench, name: Name, profile: str) -> None:
    """The fault is on the wire as its name says."""
    await CHECKS[name](await scene(bench, profile))


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_late_event_and_an_attempt(bench: Bench, profile: str) -> None:
    """What ended the last link ends an attempt as well, and its slot is free again."""
    s = await scene(bench, profile)
    s.proxy.inject(Name.LATE_DISCONNECT_EVENT)
    await s.link()
    s.peer.ask(DISCONNECT)
    await s.sees(down(), s.slots(3))
    s.fleet.peripherals[0].latency = 5.0
    s.peer.ask(WITHOUT_CACHE)
    if s.proxy.profile.backend:
        # It is known to be of an earlier link, or at least what comes of the attempt counts.
        await s.sees(s.slots(2, 1))
        await s.sees_nothing(4.9)
        await s.sees(UP, s.slots(2, 1))
        return
    await s.sees(s.slots(2, 1), down(22), down(133), s.slots(3))
    s.fleet.peripherals[0].latency = 0.0
    await s.link()
