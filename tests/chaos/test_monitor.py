"""The monitor notices what should not be, once it has been for too long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from bleak.exc import BleakError

from proxyconn import AlarmKind, Fleet, Proxy, RadioState
from proxyconn.fleet.alarms import SETTLE_TIME, Monitor
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import SharedRadio
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from proxyconn_virtual.simulated import SimulatedAir
from tests.core.fake_radio import FakeRadio

DEVICE, OTHER = "C4:00:00:00:00:01", "C4:00:00:00:00:02"
PATIENCE = SETTLE_TIME[AlarmKind.ORPHAN]

Found = set[tuple[AlarmKind, str, str | None]]
Alarms = Callable[[float], Found]


@pytest.fixture
async def hub() -> Hub:
    """Return a hub without radios."""
    return Hub(DeviceRoute, {})


@pytest.fixture
def alarms(hub: Hub) -> Alarms:
    """Return what says, for a moment, which alarms there are."""
    monitor = Monitor(hub.radios, hub.queue.links)

    def found(now: float) -> Found:
        return {(alarm.kind, alarm.source, alarm.address) for alarm in monitor.alarms(now)}

    return found


async def test_a_slot_that_nobody_uses(hub: Hub, alarms: Alarms) -> None:
    """It has its time to come free, each time anew."""
    kitchen = FakeRadio(hub, "kitchen")
    kitchen.report(DEVICE)
    assert alarms(0.0) == set()
    assert alarms(PATIENCE - 1) == set()
    assert alarms(PATIENCE) == {(AlarmKind.ORPHAN, "kitchen", DEVICE)}
    kitchen.report()
    assert alarms(PATIENCE) == set()
    kitchen.report(DEVICE)
    assert alarms(PATIENCE + 1) == set()


class LentRadio(FakeRadio, SharedRadio):
    """A radio of which other programs may have slots."""

    is_shared = True


async def test_a_slot_of_another_program(hub: Hub, alarms: Alarms) -> None:
    """On a radio that serves several programs, it is none; unless the radio serves us alone."""
    lent = LentRadio(hub, "lent")
    lent.report(DEVICE)
    alarms(0.0)
    assert alarms(PATIENCE) == set()
    lent.is_shared = False
    alarms(PATIENCE)
    assert alarms(2 * PATIENCE) == {(AlarmKind.ORPHAN, "lent", DEVICE)}


async def test_a_slot_in_use(hub: Hub, alarms: Alarms) -> None:
    """One that a client has, or waits for, is none; one on another radio than the client's is."""
    kitchen, bedroom = FakeRadio(hub, "kitchen"), FakeRadio(hub, "bedroom")
    kitchen.report(DEVICE, OTHER)
    hub.queue.links[DEVICE] = kitchen
    hub.queue.links[OTHER] = None
    assert alarms(0.0) == alarms(2 * PATIENCE) == set()
    hub.queue.links[DEVICE] = bedroom
    assert alarms(2 * PATIENCE) == set()
    assert alarms(3 * PATIENCE) == {(AlarmKind.ORPHAN, "kitchen", DEVICE)}


async def test_a_device_on_two_radios(hub: Hub, alarms: Alarms) -> None:
    """Both are named, and the one that nobody uses is an orphan as well."""
    kitchen, bedroom = FakeRadio(hub, "kitchen"), FakeRadio(hub, "bedroom")
    for radio in (kitchen, bedroom):
        radio.report(DEVICE)
    hub.queue.links[DEVICE] = kitchen
    alarms(0.0)
    assert alarms(PATIENCE) == {
        (AlarmKind.TWO_RADIOS, "kitchen", DEVICE),
        (AlarmKind.TWO_RADIOS, "bedroom", DEVICE),
        (AlarmKind.ORPHAN, "bedroom", DEVICE),
    }
    bedroom.report()
    assert alarms(PATIENCE) == set()


@pytest.mark.parametrize(
    "state",
    [
        RadioState.DENIED,
        RadioState.ROBBED,
        RadioState.SILENT,
        RadioState.WEDGED,
        RadioState.WRONG_KEY,
    ],
)
async def test_a_radio_that_does_not_work(hub: Hub, alarms: Alarms, state: RadioState) -> None:
    """Its state is the alarm; slots of a proxy that serves others, or hangs, are none."""
    kitchen = FakeRadio(hub, "kitchen")
    kitchen.report(DEVICE)
    kitchen.state = state
    expected: Found = {(AlarmKind(state), "kitchen", None)}
    assert alarms(0.0) == expected
    if state is RadioState.SILENT:
        expected |= {(AlarmKind.ORPHAN, "kitchen", DEVICE)}
    assert alarms(PATIENCE) == expected
    kitchen.state = RadioState.READY
    assert (AlarmKind(state), "kitchen", None) not in alarms(PATIENCE)


@pytest.mark.parametrize("state", [RadioState.READY, RadioState.CONNECTING, RadioState.GONE])
async def test_what_is_no_alarm(hub: Hub, alarms: Alarms, state: RadioState) -> None:
    """A radio that works, or is expected back, is none."""
    FakeRadio(hub, "kitchen").state = state
    assert alarms(0.0) == alarms(2 * PATIENCE) == set()


async def test_the_oldest_comes_first(hub: Hub) -> None:
    """Each says since when it has been, and for how long."""
    kitchen = FakeRadio(hub, "kitchen")
    monitor = Monitor(hub.radios, hub.queue.links)
    kitchen.report(DEVICE)
    monitor.look(10.0)
    kitchen.report(DEVICE, OTHER)
    monitor.look(20.0)
    first, second = monitor.alarms(20.0 + PATIENCE)
    assert (first.address, first.since, first.seconds) == (DEVICE, 10.0, PATIENCE + 10.0)
    assert (second.address, second.since, second.seconds) == (OTHER, 20.0, PATIENCE)
    assert first.diagnostics() == {
        "kind": "orphan",
        "source": "kitchen",
        "address": DEVICE,
        "seconds": PATIENCE + 10.0,
        "text": first.text,
    }


@pytest.mark.looptime
async def test_a_fleet_sounds_its_alarms() -> None:
    """A proxy that another client holds is among them, in diagnostics too; without a fleet none."""
    fleet = Fleet(discover=False)
    with pytest.raises(BleakError, match="not running"):
        fleet.alarms()
    proxy = VirtualProxy(
        ProxySpec(name="kitchen", profile="2026.6.5"), SimulatedAir([]).radio("kitchen")
    )
    await proxy.start()
    proxy.inject("stale_subscriber")
    async with Fleet([Proxy(proxy.host, proxy.port)], discover=False) as fleet:
        seen: list[AlarmKind] = []
        fleet.register_state_callback(lambda: seen.extend(alarm.kind for alarm in fleet.alarms()))
        with pytest.raises(BleakError):
            await fleet.ready(timeout=30.0)
        assert set(seen) == {AlarmKind.DENIED}
        (alarm,) = fleet.diagnostics()["alarms"]
        assert (alarm["kind"], alarm["source"]) == ("denied", "kitchen")
    await proxy.stop()


async def test_a_late_look_counts_from_the_change(hub: Hub) -> None:
    """Several changes are looked at together, and what they brought is not younger for that."""
    kitchen = FakeRadio(hub, "kitchen")
    monitor = Monitor(hub.radios, hub.queue.links)
    kitchen.report(DEVICE)
    monitor.changed(10.0)
    monitor.changed(10.4)
    monitor.look(11.0)
    kitchen.report(DEVICE, OTHER)
    assert [alarm.since for alarm in monitor.alarms(10.0 + PATIENCE)] == [10.0]
    [_, second] = monitor.alarms(11.0 + 2 * PATIENCE)
    assert second.since == 10.0 + PATIENCE


@pytest.mark.looptime
async def test_slots_that_change_together_are_looked_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Within a second, and not each by itself."""
    looks: list[float] = []
    look = Monitor.look

    def counted(monitor: Monitor, now: float) -> None:
        looks.append(now)
        look(monitor, now)

    monkeypatch.setattr(Monitor, "look", counted)
    proxy = VirtualProxy(ProxySpec(name="kitchen"), SimulatedAir([]).radio("kitchen"))
    await proxy.start()
    async with Fleet([Proxy(proxy.host, proxy.port)], discover=False) as fleet:
        await fleet.ready()
        await asyncio.sleep(5)
        looks.clear()
        began = fleet.loop.time()
        proxy.inject("slot_leak", 3)
        await asyncio.sleep(3)
        assert looks == [pytest.approx(began + 1.0, abs=0.2)]
    await proxy.stop()
