"""establish_connection on a device of the local stack, on a controlled clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from importlib.metadata import EntryPoint
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDeviceNotFoundError, BleakError

from proxyconn import (
    BleakConnectionError,
    BleakNotFoundError,
    LinkError,
    establish_connection,
)
from proxyconn_esphome.codes import ConnectionReason, kind_of_reason
from tests.core.fake_stack import ADDRESS, Plan, local_device

pytestmark = [pytest.mark.looptime, pytest.mark.usefixtures("fake_stack")]


@pytest.fixture
def fake_stack(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the fake stack be the one that is installed."""
    point = EntryPoint("fake", "tests.core.fake_stack:FakeStack", "proxyconn.local")
    monkeypatch.setattr("proxyconn.local.stack.LOCAL_STACKS", (point,))


async def failing(
    script: Callable[..., Any], error: BaseException, plan: Plan
) -> tuple[Any, float]:
    """Connect until the attempts are used up; return the script and the seconds it took."""
    run = script(error)
    device = local_device(plan)
    started = asyncio.get_running_loop().time()
    with pytest.raises(BleakError):
        await establish_connection(run.client_class(), device, "Kettle")
    assert plan.links == 0
    return run, asyncio.get_running_loop().time() - started


CANCEL = ConnectionReason.ESP_GATT_CONN_CONN_CANCEL
ROWS = [
    (TimeoutError(), 4, 0.25),
    (BleakDeviceNotFoundError(ADDRESS), 9, 4.0),
    (EOFError(), 9, 0.25),
    (KeyError("org.bluez.GattService1"), 9, 0.1),
    (BleakError("Disconnected"), 4, 0.0),
]


@pytest.mark.parametrize(("error", "attempts", "wait"), ROWS, ids=repr)
async def test_waits_of_the_table_are_ceilings(
    script: Callable[..., Any], error: BaseException, attempts: int, wait: float
) -> None:
    """Where nothing settles, the table's waits hold; where all does, there is no wait."""
    plan = Plan()
    run, elapsed = await failing(script, error, plan)
    assert len(run.connects) == attempts
    assert elapsed == pytest.approx((attempts - 1) * wait)
    assert {limit for _, limit in plan.settled} == {wait}
    run, elapsed = await failing(script, error, Plan(settles_after=0))
    assert len(run.connects) == attempts
    assert elapsed == pytest.approx(0)


async def test_next_attempt_follows_the_link(script: Callable[..., Any]) -> None:
    """The next attempt is made when the link has dropped, not when the table's wait is over."""
    flaky = script(BleakDeviceNotFoundError(ADDRESS), None, repeat=False)
    await establish_connection(
        flaky.client_class(), local_device(Plan(settles_after=1.5)), "Kettle"
    )
    assert flaky.started_at[1] - flaky.started_at[0] == pytest.approx(1.5)


@pytest.mark.parametrize(
    "error",
    [
        BleakError("no free connection slot"),
        LinkError("cancelled", kind=kind_of_reason(CANCEL), code=CANCEL),
    ],
    ids=["out of slots", "cancelled"],
)
async def test_controllers_get_their_time(script: Callable[..., Any], error: BaseException) -> None:
    """Where a controller needs time, what the stack knows of the link does not shorten it."""
    plan = Plan(settles_after=0)
    _, elapsed = await failing(script, error, plan)
    assert elapsed == pytest.approx(8 * 4.0)
    assert plan.settled == []


async def test_connected_device_is_taken_over(script: Callable[..., Any]) -> None:
    """A device that another adapter is connected to is connected there."""
    plan = Plan()
    plan.connected = local_device(plan, "hci1")
    fine = script(None)
    await establish_connection(fine.client_class(), local_device(plan), "Kettle")
    ((device, _),) = fine.constructed
    assert device is plan.connected


@pytest.mark.parametrize("valid", [True, False])
async def test_cached_services_are_validated(script: Callable[..., Any], valid: bool) -> None:
    """Cached services are used only if the stack says that they are valid."""
    fine = script(None)
    await establish_connection(fine.client_class(), local_device(Plan(valid=valid)), "Kettle")
    assert fine.connects == [{"timeout": 20.0, "dangerous_use_bleak_cache": valid}]
    await establish_connection(
        fine.client_class(), local_device(Plan(valid=valid)), "Kettle", use_services_cache=False
    )
    assert fine.connects[1]["dangerous_use_bleak_cache"] is False


async def test_other_devices_are_none_of_its_business(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A device of a proxy waits as the table says, whatever stack is installed."""
    run = script(BleakDeviceNotFoundError(ADDRESS))
    started = asyncio.get_running_loop().time()
    with pytest.raises(BleakNotFoundError):
        await establish_connection(run.client_class(), device, "Kettle")
    assert asyncio.get_running_loop().time() - started == pytest.approx(8 * 4.0)


async def test_cancelling_lets_the_device_go(script: Callable[..., Any]) -> None:
    """A caller that is cancelled during a wait leaves nobody following the device."""
    plan = Plan()
    run = script(BleakDeviceNotFoundError(ADDRESS))
    connecting = asyncio.create_task(
        establish_connection(run.client_class(), local_device(plan), "Kettle")
    )
    await asyncio.sleep(2)
    assert plan.links == 1
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert plan.links == 0


async def test_deadline_ends_a_wait(script: Callable[..., Any]) -> None:
    """A deadline that passes while the device is waited for ends the call."""
    run = script(BleakError("thing"))
    plan = Plan()
    with pytest.raises(BleakConnectionError):
        await establish_connection(run.client_class(), local_device(plan), "Kettle", deadline=0.25)
    assert len(run.connects) == 2
    assert plan.links == 0


@pytest.mark.parametrize("times", [1, 5])
async def test_cancelled_as_it_succeeds(script: Callable[..., Any], times: int) -> None:
    """The link is up, but its client will reach nobody; however often it is cancelled, it ends."""
    plan, run = Plan(closes_after=1.0), script(1.0)
    connecting = asyncio.create_task(
        establish_connection(run.client_class(), local_device(plan), "Kettle")
    )
    await asyncio.sleep(1.5)
    assert plan.links == 0
    assert not connecting.done()
    for _ in range(times):
        connecting.cancel()
        await asyncio.sleep(0)
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert run.calls == ["disconnect"]


async def test_the_deadline_passes_as_it_succeeds(script: Callable[..., Any]) -> None:
    """An error means that there is no link."""
    run = script(1.0)
    device = local_device(Plan(closes_after=1.0))
    with pytest.raises(BleakNotFoundError, match=r"Not connected within 1\.5 s"):
        await establish_connection(run.client_class(), device, "Kettle", deadline=1.5)
    assert run.calls == ["disconnect"]
