"""The guide's four errors at their full number of attempts, on a controlled clock."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError, BleakError

from proxyconn import BleakNotFoundError, calculate_backoff_time
from tests.core.conftest import Script
from tests.guide.device import ADDRESS, NAME
from tests.guide.examples import connecting, errors

pytestmark = pytest.mark.looptime

FAILED = "org.bluez.Error.Failed"
DEVICE = BLEDevice(ADDRESS, NAME, {"source": "kitchen"})
OTHER_DEVICE = BLEDevice(ADDRESS, NAME, {"source": "bedroom"})
LINES: tuple[tuple[Exception, str], ...] = (
    (TimeoutError(), "Device not found"),
    (BleakDeviceNotFoundError(ADDRESS), "Device not found"),
    (BleakError("Error ESP_GATT_CONN_CONN_CANCEL while connecting"), "No connection slots"),
    (BleakError("out of connection slots"), "No connection slots"),
    (BleakError("no available connection"), "No connection slots"),
    (BleakDBusError(FAILED, ["le-connection-abort-by-local"]), "Connection aborted"),
    (BleakDBusError(FAILED, ["br-connection-canceled"]), "Connection aborted"),
    (BleakError("le-connection-abort-by-local"), "Connection aborted"),
    (BleakError("something else"), f"Connection failed: {NAME} - {ADDRESS}: "),
    (AttributeError("something else"), f"Connection failed: {NAME} - {ADDRESS}: "),
    (EOFError(), f"Connection failed: {NAME} - {ADDRESS}: "),
    (BrokenPipeError(), f"Connection failed: {NAME} - {ADDRESS}: "),
)


@pytest.mark.parametrize(("error", "line"), LINES, ids=lambda value: str(value) or repr(value))
async def test_error_handling(
    error: Exception,
    line: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """What a client fails with, however often it is tried, ends as the error the guide says."""
    script = Script([error])
    monkeypatch.setattr(errors, "BleakClientWithServiceCache", script.client_class())
    assert await errors.connect_with_error_handling(DEVICE) is None
    assert capsys.readouterr().out.startswith(line)
    assert len(script.connects) >= 4


@pytest.mark.parametrize("text", ["ESP_GATT_CONN_CONN_CANCEL", "no connection slot"])
def test_backoff_without_slots(text: str) -> None:
    """A proxy that is out of slots gets four seconds."""
    assert calculate_backoff_time(BleakError(text)) == 4


async def test_device_tracking(monkeypatch: pytest.MonkeyPatch) -> None:
    """The next attempt is made on the device that the tracker has been given meanwhile."""
    script = Script([BleakError("ESP_GATT_CONN_CONN_CANCEL"), None])
    monkeypatch.setattr(connecting, "BleakClientWithServiceCache", script.client_class())
    tracker = connecting.DeviceTracker(DEVICE)
    asyncio.get_running_loop().call_later(1, tracker.update_device, OTHER_DEVICE)
    await connecting.connect_with_device_tracking(tracker)
    assert [device for device, _ in script.constructed] == [DEVICE, OTHER_DEVICE]


ATTEMPTS: tuple[tuple[Callable[[BLEDevice], Awaitable[object]], int], ...] = (
    (connecting.connect_to_device, 4),
    (connecting.connect_with_callback, 5),
    (connecting.connect_with_full_options, 6),
)


@pytest.mark.parametrize(("example", "attempts"), ATTEMPTS, ids=["default", "5", "6"])
async def test_attempts(
    example: Callable[[BLEDevice], Awaitable[object]],
    attempts: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Attempts end at the example's number of them, or at four; its keywords reach the client."""
    script = Script([TimeoutError()])
    monkeypatch.setattr(connecting, "BleakClientWithServiceCache", script.client_class())
    with pytest.raises(BleakNotFoundError):
        await example(DEVICE)
    assert len(script.connects) == attempts
    assert script.constructed[0][1].get("timeout") == (30.0 if attempts == 6 else None)
