"""The watches of the chaos run notice each kind of breach, and nothing else."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Coroutine
from types import SimpleNamespace
from typing import Any

import pytest
from bleak.exc import BleakError

from proxyconn import Alarm, AlarmKind, Allocations
from proxyconn.fleet.alarms import SETTLE_TIME
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import VirtualProxy
from scripts.chaos_run import world
from scripts.chaos_run.audit import CONNECTS, Audit
from scripts.chaos_run.clock import TimerLog
from scripts.chaos_run.guarded import (
    CANCEL,
    GRACE,
    HANG,
    CancelledOnPurposeError,
    Guarded,
    OverdueError,
)
from scripts.chaos_run.leftovers import Leftovers, Memory, mind_memory
from scripts.chaos_run.record import Record
from scripts.chaos_run.setting import Setting
from scripts.chaos_run.storm import Storm
from scripts.chaos_run.watch import INVARIANTS, Watch

pytestmark = pytest.mark.looptime

DEVICE = 0xC40000000001
DISCONNECT = pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT
PATIENCE = SETTLE_TIME[AlarmKind.ORPHAN]


@pytest.fixture
async def record() -> Record:
    """Return an empty record."""
    return Record()


def broken(record: Record) -> list[str]:
    """Return the invariants that did not hold."""
    return [violation.invariant for violation in record.violations]


# Operations


async def deaf(seconds: float) -> None:
    """Sleep through a cancellation."""
    end = asyncio.get_running_loop().time() + seconds
    while (left := end - asyncio.get_running_loop().time()) > 0:
        try:
            await asyncio.sleep(left)
        except asyncio.CancelledError:
            continue


async def fails(error: Exception) -> None:
    """Fail."""
    raise error


@pytest.mark.parametrize(("seconds", "late"), [(29.9, 0), (30.9, 0), (31.1, 1), (1000.0, 1)])
async def test_an_operation_past_its_deadline(record: Record, seconds: float, late: int) -> None:
    """It is counted, told, and cancelled."""
    operation = Guarded(record).run("read", "kettle", asyncio.sleep(seconds, "done"), limit=30.0)
    if late:
        with pytest.raises(OverdueError):
            await operation
    else:
        assert await operation == "done"
    assert (record.late, record.hung) == (late, 0)
    assert broken(record) == ["an operation ends by its deadline"] * late
    assert record.outcomes["read"] == {"cancelled" if late else "ok": 1}
    assert asyncio.get_running_loop().time() == pytest.approx(min(seconds, 30.0 + GRACE))


@pytest.mark.parametrize(
    ("seconds", "late", "hung"),
    [(CANCEL - 0.1, 0, 0), (CANCEL + 0.1, 1, 0), (CANCEL + HANG + 0.1, 1, 1)],
)
async def test_an_operation_that_cannot_be_cancelled(
    record: Record, seconds: float, late: int, hung: int
) -> None:
    """It has a moment to tidy up; after another while it is thought never to end."""
    await Guarded(record).run("read", "kettle", deaf(seconds), cancel_after=0.0)
    assert (record.late, record.hung, len(record.violations)) == (late, hung, late + hung)


async def test_an_operation_that_is_cancelled_on_purpose(record: Record) -> None:
    """It is no breach."""
    with pytest.raises(CancelledOnPurposeError):
        await Guarded(record).run("read", "kettle", asyncio.sleep(9.0), cancel_after=1.0)
    assert not record.violations
    assert asyncio.get_running_loop().time() == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("error", "surprises"),
    [(BleakError("no"), 0), (TimeoutError(), 0), (KeyError("no"), 1), (AttributeError("no"), 1)],
)
async def test_an_error_that_nobody_expects(
    record: Record, error: Exception, surprises: int
) -> None:
    """Only errors of Bluetooth, and timeouts, are documented."""
    with pytest.raises(type(error)):
        await Guarded(record).run("read", "kettle", fails(error))
    assert broken(record) == ["operations fail with errors of Bluetooth"] * surprises


# Slots


class FakeSide:
    """A side that says what it is told to."""

    def __init__(self) -> None:
        self.found: list[Alarm] = []

    def alarms(self) -> list[Alarm]:
        """Return the alarms."""
        return self.found

    def reported(self) -> dict[str, Allocations]:
        """Return no slots."""
        return {}


@pytest.fixture
async def house() -> AsyncIterator[VirtualFleet]:
    """Return a virtual proxy with two slots, and a device."""
    async with world.build(Setting(proxies=1, devices=1, slots=2)) as house:
        yield house


def orphan(kind: AlarmKind) -> Alarm:
    """Return an alarm."""
    return Alarm(kind, "proxy-0", "C4:00:00:00:00:01", 0.0, PATIENCE, "it is wrong")


@pytest.mark.parametrize("kind", AlarmKind)
async def test_an_alarm_of_the_fleet(house: VirtualFleet, record: Record, kind: AlarmKind) -> None:
    """Slots that are wrong are breaches, once each; a proxy that has a fault is none."""
    side = FakeSide()
    watch = Watch(side, house.proxies, [], Storm(Setting(), []), record)  # type: ignore[arg-type]
    watch.look()
    side.found = [orphan(kind)]
    watch.look()
    watch.look()
    assert broken(record) == ([INVARIANTS[kind]] if kind in INVARIANTS else [])


@pytest.mark.parametrize(("name", "excuses"), [("half_open_tcp", True), ("stale_mtu", False)])
async def test_an_excuse(house: VirtualFleet, record: Record, name: str, excuses: bool) -> None:
    """What no client can help is no breach while it lasts and for as long again as it may take."""
    setting = Setting(rate=1000.0, shortest=1000.0, longest=1000.0)
    storm = Storm(setting, house.proxies.values(), names=[name])
    side = FakeSide()
    watch = Watch(side, house.proxies, [], storm, record)  # type: ignore[arg-type]
    raging = asyncio.create_task(storm.rage(10.0))
    await asyncio.sleep(1.0)
    watch.look()
    await raging
    side.found = [orphan(AlarmKind.ORPHAN)]
    watch.look()
    assert bool(record.violations) is not excuses
    await asyncio.sleep(PATIENCE)
    watch.look()
    assert len(record.violations) == 1


def connect(address: int = DEVICE) -> pb.BluetoothDeviceRequest:
    """Return a connect request."""
    return pb.BluetoothDeviceRequest(address=address, request_type=min(CONNECTS))


def report(free: int, *allocated: int) -> pb.BluetoothConnectionsFreeResponse:
    """Return a slot report."""
    return pb.BluetoothConnectionsFreeResponse(free=free, limit=2, allocated=allocated)


async def test_a_connect_to_a_full_proxy(house: VirtualFleet) -> None:
    """The last thing that the proxy has said counts, once it has had the time to arrive."""
    told: list[str] = []
    audit = Audit(house.proxies["proxy-0"], told.append)
    audit.incoming(connect())
    audit.outgoing(report(0, DEVICE, DEVICE + 1))
    audit.incoming(connect(DEVICE + 2))
    assert not told
    await asyncio.sleep(1.0)
    audit.outgoing(report(0, DEVICE, DEVICE + 1))
    audit.incoming(connect())
    audit.incoming(pb.BluetoothDeviceRequest(address=DEVICE + 2, request_type=DISCONNECT))
    assert not told
    audit.incoming(connect(DEVICE + 2))
    assert len(told) == 1
    audit.outgoing(report(1, DEVICE))
    audit.incoming(connect(DEVICE + 2))
    assert len(told) == 1


async def test_the_audit_sees_what_faults_leave(house: VirtualFleet) -> None:
    """It comes last, however late a fault begins, and survives its end."""
    proxy: VirtualProxy = house.proxies["proxy-0"]
    audit = Audit(proxy, print)
    end = proxy.inject("silent_scanner")
    assert proxy.injectors[-1] is audit
    end()
    assert list(proxy.injectors) == [audit]


async def test_a_slot_that_is_held_in_truth(house: VirtualFleet, record: Record) -> None:
    """What the proxy knows counts too, though nobody may have been told."""
    device = SimpleNamespace(address="C0:FF:EE:00:00:01", busy=True)
    storm = Storm(Setting(), [])
    watch = Watch(FakeSide(), house.proxies, [device], storm, record)  # type: ignore[arg-type]
    house.proxies["proxy-0"].inject("slot_leak")
    watch.look()
    await asyncio.sleep(PATIENCE)
    watch.look()
    device.busy = False
    watch.look()
    await asyncio.sleep(PATIENCE - 1.0)
    watch.look()
    assert not record.violations
    await asyncio.sleep(1.0)
    watch.look()
    assert broken(record) == [INVARIANTS[AlarmKind.ORPHAN]]


async def test_slots_that_stay(house: VirtualFleet, record: Record) -> None:
    """One that is held in truth keeps the run from being at rest."""
    watch = Watch(FakeSide(), house.proxies, [], Storm(Setting(), []), record)  # type: ignore[arg-type]
    assert watch.unsettled() is None
    end = house.proxies["proxy-0"].inject("slot_leak")
    assert "proxy-0" in str(watch.unsettled())
    end()
    assert watch.unsettled() is None


# What is left


async def left_by(deed: Coroutine[Any, Any, Any], record: Record) -> list[str]:
    """Return what the run finds left of a deed."""
    leftovers = await Leftovers.begin()
    await deed
    await leftovers.mind(record)
    return broken(record)


async def test_a_task_outlives_its_owner(record: Record) -> None:
    """It is named."""
    tasks: list[asyncio.Task[None]] = []

    async def deed() -> None:
        tasks.append(asyncio.create_task(asyncio.sleep(1000.0)))

    assert "no task outlives its owner" in await left_by(deed(), record)
    tasks[0].cancel()


async def test_a_socket_outlives_its_owner(record: Record) -> None:
    """It is named."""
    sockets: list[socket.socket] = []

    async def deed() -> None:
        sockets.append(socket.socket())

    assert await left_by(deed(), record) == ["no descriptor outlives its owner"]
    sockets[0].close()


@pytest.mark.looptime(False)
def test_a_timer_outlives_its_owner() -> None:
    """One that is still to fire is named; one that has fired, or was cancelled, is not."""

    async def run(leave: bool) -> list[str]:
        record, leftovers = Record(), await Leftovers.begin()
        loop = asyncio.get_running_loop()
        handles = [loop.call_later(1000.0, print), loop.call_later(0.0, int)]
        if not leave:
            handles[0].cancel()
        await leftovers.mind(record)
        handles[0].cancel()
        return broken(record)

    for leave in (True, False):
        loop = TimerLog()
        found = loop.run_until_complete(run(leave))
        loop.close()
        assert found == ["no timer outlives its owner"] * leave


async def test_nothing_is_left(record: Record) -> None:
    """A tidy end is none."""
    assert await left_by(asyncio.sleep(1.0), record) == []


@pytest.mark.parametrize(
    ("resident", "blocks", "breach"),
    [(0, 0, False), (10_000_000, 5_000, False), (20_000_000, 0, True), (0, 15_000, True)],
)
async def test_memory_does_not_come_back(
    record: Record, resident: int, blocks: int, breach: bool
) -> None:
    """A little is the price of a peak; more is a leak."""
    before = Memory(60_000_000, 100_000)
    after = Memory(60_000_000 + resident, 100_000 + blocks)
    mind_memory(before, after, record)
    assert bool(record.violations) is breach


# Times


async def test_times_to_recover(record: Record) -> None:
    """From the first failure to the next success, or to the end of the storm; and from that end."""
    await asyncio.sleep(10.0)
    record.failed("a")
    await asyncio.sleep(2.0)
    record.failed("a")
    await asyncio.sleep(3.0)
    record.succeeded("a")
    record.succeeded("b")
    record.failed("b")
    assert record.outages == [pytest.approx(5.0)]
    await asyncio.sleep(1.0)
    record.calm(["a", "b"])
    await asyncio.sleep(4.0)
    record.succeeded("a")
    record.succeeded("a")
    assert record.awaited == {"b"}
    await asyncio.sleep(1.0)
    record.succeeded("b")
    record.failed("a")
    await asyncio.sleep(1.0)
    record.succeeded("a")
    assert record.healed == [pytest.approx(4.0), pytest.approx(5.0)]
    assert record.outages == [pytest.approx(5.0), pytest.approx(1.0)]


async def test_what_is_counted_while_there_are_faults(record: Record) -> None:
    """Neither what was before them, nor what comes after."""
    record.outcomes["connect"].update(ok=5)
    record.completed = 4
    record.storm()
    record.outcomes["connect"].update(ok=2, cancelled=1)
    record.completed += 1
    record.calm([])
    record.outcomes["connect"].update(ok=9)
    record.violate("it holds", "it does not")
    dumped = record.dump()
    assert dumped["in storm"] == {"asked": 3, "connected": 2, "completed": 1}
    assert dumped["broken by name"] == {"it holds": 1}
