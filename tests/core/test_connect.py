"""establish_connection: the contract's table, deadlines and path changes, on a controlled clock."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakError

from proxyconn import (
    Allocations,
    BleakConnectionError,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    GATTError,
    LinkError,
    OutOfSlotsError,
    ProxyconnError,
    Retry,
    UnsupportedError,
    calculate_backoff_time,
    establish_connection,
)
from proxyconn_esphome.codes import ConnectionReason
from tests.core.failure_table import ADDRESS, TABLE, Row, link_error

pytestmark = pytest.mark.looptime


@pytest.mark.parametrize("row", TABLE, ids=str)
async def test_establish_connection_follows_the_table(
    row: Row, script: Callable[..., Any], device: BLEDevice
) -> None:
    """Each kind of failure costs the attempts and seconds of its row and ends as its error."""
    failing = script(row.error)
    started = asyncio.get_running_loop().time()
    with pytest.raises(row.raised) as caught:
        await establish_connection(failing.client_class(), device, "Kettle")
    elapsed = asyncio.get_running_loop().time() - started
    error = caught.value
    assert type(error) is row.raised
    assert len(failing.connects) == error.attempts == row.attempts
    assert elapsed == pytest.approx((row.attempts - 1) * row.wait)
    assert calculate_backoff_time(row.error) == row.wait
    assert (error.kind, error.code, error.source) == (row.kind, row.code, "kitchen")
    assert error.__cause__ is row.error
    assert str(error).endswith(".")


async def test_establish_connection_passes_what_clients_are_promised(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """Clients get the retry mark, pair and extra keywords; connect gets 20 s and the cache."""
    fine = script(None)
    await establish_connection(
        fine.client_class(), device, "Kettle", pair=True, timeout=30.0, use_services_cache=False
    )
    ((_, kwargs),) = fine.constructed
    assert kwargs["_is_retry_client"] is True
    assert kwargs["pair"] is True
    assert kwargs["timeout"] == 30.0
    assert fine.connects == [{"timeout": 20.0, "dangerous_use_bleak_cache": False}]


async def test_establish_connection_propagates_what_no_retry_can_help(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A defect in the caller's code is not retried and not renamed."""
    broken = script(ZeroDivisionError())
    with pytest.raises(ZeroDivisionError):
        await establish_connection(broken.client_class(), device, "Kettle")
    assert len(broken.connects) == 1


async def test_establish_connection_gives_up_at_once_on_the_impossible(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A radio that can never connect is asked once."""
    passive = script(UnsupportedError("this proxy only listens"))
    with pytest.raises(BleakConnectionError) as caught:
        await establish_connection(passive.client_class(), device, "Kettle")
    assert caught.value.kind is ErrorKind.UNSUPPORTED
    assert caught.value.attempts == 1


async def test_establish_connection_has_a_safety_limit(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A client that ignores its timeout is ended after 60 s, four times."""
    stuck = script(1000.0)
    started = asyncio.get_running_loop().time()
    with pytest.raises(BleakNotFoundError):
        await establish_connection(stuck.client_class(), device, "Kettle")
    elapsed = asyncio.get_running_loop().time() - started
    assert elapsed == pytest.approx(4 * 60 + 3 * 0.25)


async def test_establish_connection_counts_both_counters_together(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """Timeouts and connect errors share max_attempts; transient errors have nine of their own."""
    mixed = script(
        TimeoutError(), EOFError(), BleakError("x"), EOFError(), TimeoutError(), None, repeat=False
    )
    await establish_connection(mixed.client_class(), device, "Kettle")
    assert len(mixed.connects) == 6
    failing = script(TimeoutError(), EOFError(), BleakError("x"), None, repeat=False)
    with pytest.raises(BleakConnectionError):
        await establish_connection(failing.client_class(), device, "Kettle", max_attempts=2)
    assert len(failing.connects) == 3


async def test_establish_connection_reports_each_retry(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """on_retry hears of every failed attempt that another follows, with kind and wait."""
    retries: list[Retry] = []
    flaky = script(
        link_error(ConnectionReason.ESP_GATT_CONN_FAIL_ESTABLISH),
        TimeoutError(),
        None,
        repeat=False,
    )
    await establish_connection(flaky.client_class(), device, "Kettle", on_retry=retries.append)
    assert [(r.attempt, r.kind, r.wait) for r in retries] == [
        (1, ErrorKind.ESTABLISH_FAILED, 0.5),
        (2, ErrorKind.TIMEOUT, 0.25),
    ]


async def test_establish_connection_tidies_up_after_changed_services(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A KeyError clears the cache and disconnects before the next attempt."""
    changed = script(KeyError("service"), None, repeat=False)
    await establish_connection(changed.client_class(), device, "Kettle")
    assert changed.calls == ["clear_cache", "disconnect"]


@pytest.mark.parametrize("failing", ["clear_cache", "disconnect"])
@pytest.mark.parametrize(
    "error", [EOFError(), BrokenPipeError(), KeyError("s"), AttributeError(), BleakError("gone")]
)
async def test_a_failure_to_tidy_up_is_not_the_callers(
    failing: str, error: Exception, script: Callable[..., Any], device: BLEDevice
) -> None:
    """After a KeyError the link is closed though the cache was not cleared, and tried again."""
    changed = script(KeyError("service"), None, repeat=False)

    class Untidy(changed.client_class()):  # type: ignore[misc]
        async def clear_cache(self) -> bool:
            return await self.step("clear_cache")

        async def disconnect(self) -> None:
            await self.step("disconnect")

        async def step(self, name: str) -> bool:
            changed.calls.append(name)
            if name == failing:
                raise error
            return True

    await establish_connection(Untidy, device, "Kettle")
    assert changed.calls == ["clear_cache", "disconnect"]


async def test_deadline_ends_the_whole_call_with_the_last_error(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """Waiting, attempts and backoff together end at the deadline, as the last typed error."""
    failing = script(link_error(ConnectionReason.ESP_GATT_CONN_CONN_CANCEL))
    started = asyncio.get_running_loop().time()
    with pytest.raises(BleakOutOfConnectionSlotsError) as caught:
        await establish_connection(failing.client_class(), device, "Kettle", deadline=10)
    assert asyncio.get_running_loop().time() - started == pytest.approx(10)
    assert len(failing.connects) == caught.value.attempts == 3
    assert caught.value.kind is ErrorKind.CONNECT_CANCELLED
    assert isinstance(caught.value.__cause__, LinkError)


async def test_deadline_without_an_error_has_a_timeout_as_its_cause(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A first attempt that hangs past the deadline is a device that was not found."""
    stuck = script(1000.0)
    with pytest.raises(BleakNotFoundError) as caught:
        await establish_connection(stuck.client_class(), device, "Kettle", deadline=7)
    assert caught.value.kind is ErrorKind.TIMEOUT
    assert isinstance(caught.value.__cause__, TimeoutError)
    assert stuck.connects[0]["timeout"] == pytest.approx(7, abs=0.1)


async def test_no_attempt_begins_with_no_time_left(script: Callable[..., Any]) -> None:
    """What fails for want of a slot costs nothing, but is not tried over and over at the end."""
    device = BLEDevice(ADDRESS, "Kettle", {"route": ScriptedRoute(0.0)})
    full = script(OutOfSlotsError("full"), 1000.0)

    class PatientClient(full.client_class()):  # type: ignore[misc]
        async def connect(self, timeout: float, **kwargs: Any) -> None:
            await asyncio.sleep(timeout)
            await super().connect(timeout=timeout, **kwargs)

    with pytest.raises(BleakOutOfConnectionSlotsError) as caught:
        await establish_connection(PatientClient, device, "Kettle", deadline=10)
    assert len(full.connects) == caught.value.attempts == 1
    assert full.started_at == [pytest.approx(10, abs=0.1)]


async def test_a_timeout_of_the_caller_stays_the_callers(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """asyncio.timeout around the call is not mistaken for our own deadline."""
    stuck = script(1000.0)
    with pytest.raises(TimeoutError) as caught:
        async with asyncio.timeout(3):
            await establish_connection(stuck.client_class(), device, "Kettle", deadline=9)
    assert not isinstance(caught.value, ProxyconnError)


async def test_a_device_named_like_an_error_changes_nothing(script: Callable[..., Any]) -> None:
    """Words of the device's own name are not words of the error."""
    device = BLEDevice("C4:00:00:00:00:02", "Kettle connection slot heater", {})
    cancelled = script(BleakError(f"{device.name}: Connect attempt was cancelled"))
    with pytest.raises(BleakConnectionError) as caught:
        await establish_connection(cancelled.client_class(), device, "x")
    assert caught.value.kind is ErrorKind.OTHER
    assert len(cancelled.connects) == 4


@pytest.mark.parametrize("error", [TimeoutError(), BleakError("anything")], ids=repr)
@pytest.mark.parametrize("name", [None, ""], ids=repr)
async def test_a_device_without_a_name_is_called_by_its_address(
    error: Exception, name: str | None, script: Callable[..., Any]
) -> None:
    """`device.name` is None then, and is what the guide passes."""
    device = BLEDevice(ADDRESS, name, {})
    silent = script(error)
    for deadline in (None, 0.2):
        with pytest.raises((BleakNotFoundError, BleakConnectionError)) as caught:
            await establish_connection(
                silent.client_class(), device, name=device.name, deadline=deadline
            )
        assert str(caught.value).startswith(f"{ADDRESS}: ")


def device_at(path: str, rssi: int) -> BLEDevice:
    return BLEDevice(ADDRESS, "Kettle", {"path": path, "props": {"RSSI": rssi}})


NEAR, FAR = "/org/bluez/hci0/dev_1", "/org/bluez/hci1/dev_1"

BUSY = LinkError("busy", kind=ErrorKind.RADIO_BUSY)
"""Nothing was tried."""

UNPAIRED = GATTError("refused", 5, kind=ErrorKind.SECURITY)


@pytest.mark.parametrize(
    ("error", "fresh", "taken"),
    [
        pytest.param(TimeoutError(), device_at(FAR, -90), FAR, id="present-path-just-failed"),
        pytest.param(KeyError("s"), device_at(FAR, -90), FAR, id="its-services-changed"),
        pytest.param(GATTError("s", 133), device_at(FAR, -90), FAR, id="its-attributes-failed"),
        pytest.param(BleakError("s"), device_at(FAR, -90), FAR, id="it-failed-in-other-words"),
        pytest.param(UNPAIRED, device_at(FAR, -90), NEAR, id="its-bond-is-not-left-for-a-weaker"),
        pytest.param(BUSY, device_at(FAR, -66), NEAR, id="4-dB-better-is-too-little"),
        pytest.param(BUSY, device_at(FAR, -65), FAR, id="5-dB-better-is-enough"),
        pytest.param(BUSY, device_at(NEAR, -90), NEAR, id="same-path-renewed"),
    ],
)
async def test_ble_device_callback_changes_the_path(
    error: BaseException, fresh: BLEDevice, taken: str, script: Callable[..., Any]
) -> None:
    """Another path replaces the present one when that has failed or is 5 dB weaker."""
    flaky = script(error, None, repeat=False)
    await establish_connection(
        flaky.client_class(), device_at(NEAR, -70), "Kettle", ble_device_callback=lambda: fresh
    )
    assert flaky.constructed[-1][0].details["path"] == taken


async def test_ble_device_callback_renews_the_device_of_the_same_path(
    script: Callable[..., Any],
) -> None:
    """The fresh device object is the one that the next client is made of."""
    fresh = device_at(NEAR, -71)
    flaky = script(TimeoutError(), None, repeat=False)
    await establish_connection(
        flaky.client_class(), device_at(NEAR, -70), "Kettle", ble_device_callback=lambda: fresh
    )
    assert flaky.constructed[-1][0] is fresh


@dataclass
class ScriptedRoute:
    """A route on which a slot comes free after so many seconds."""

    frees_after: float
    client_backend: Any = None

    def rssi(self) -> int:
        return -60

    def allocations(self) -> Allocations:
        return Allocations("kitchen", 3, 0, ["A", "B", "C"])

    async def wait_for_slot(self, timeout: float) -> bool:
        await asyncio.sleep(min(self.frees_after, timeout))
        return self.frees_after <= timeout


@pytest.mark.parametrize(
    ("error", "frees_after", "waited"),
    [
        pytest.param(OutOfSlotsError("full"), 1.5, 1.5, id="a-slot-ends-the-wait"),
        pytest.param(OutOfSlotsError("full"), 9.0, 4.0, id="four-seconds-are-the-ceiling"),
        pytest.param(
            link_error(ConnectionReason.ESP_GATT_CONN_CONN_CANCEL),
            1.5,
            4.0,
            id="a-cleaning-controller-gets-all",
        ),
    ],
)
async def test_wait_on_a_proxys_path(
    error: BaseException, frees_after: float, waited: float, script: Callable[..., Any]
) -> None:
    """A reported slot ends the wait for one, but not the wait for the controller."""
    device = BLEDevice(ADDRESS, "Kettle", {"route": ScriptedRoute(frees_after)})
    full = script(error, None, repeat=False)
    await establish_connection(full.client_class(), device, "Kettle")
    assert full.started_at[1] - full.started_at[0] == pytest.approx(waited)


async def test_final_error_names_the_holders_of_the_slots(script: Callable[..., Any]) -> None:
    """With a slot report at hand the advice says who holds the slots."""
    device = BLEDevice(ADDRESS, "Kettle", {"route": ScriptedRoute(0.5)})
    full = script(OutOfSlotsError("full"))
    with pytest.raises(BleakOutOfConnectionSlotsError) as caught:
        await establish_connection(full.client_class(), device, "Kettle")
    assert "3 of 3 slots of kitchen are in use by A, B, C" in str(caught.value)


async def test_cancelling_the_caller_cancels_the_attempt(
    script: Callable[..., Any], device: BLEDevice
) -> None:
    """A cancellation is passed on at once, not counted, not renamed."""
    stuck = script(1000.0)
    task = asyncio.create_task(establish_connection(stuck.client_class(), device, "Kettle"))
    await asyncio.sleep(1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert len(stuck.connects) == 1
