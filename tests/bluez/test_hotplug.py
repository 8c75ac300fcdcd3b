"""Adapters that come and go, and scans that are given up: nothing is left behind."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from dbus_fast import Variant

from proxyconn import Fleet, RadioState, Subscribe
from proxyconn_bluez.adapter import scanning
from proxyconn_bluez.adapter.hotplug import PLACEHOLDER
from proxyconn_bluez.bleak_private import BleakBus, bleak_bus
from proxyconn_bluez.bus import connection, watch
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FakeBlueZ
from tests.bluez.test_radio import states, until

pytestmark = pytest.mark.usefixtures("known_version")
GONE, READY = RadioState.GONE, RadioState.READY
STARTED, STOPPED = (("/org/bluez/hci0", f"{what}Discovery") for what in ("Start", "Stop"))


def is_only(fleet: Fleet, name: str, state: RadioState) -> bool:
    """Whether a fleet has one radio, of this name and in this state."""
    return states(fleet) == {name: state}


async def test_adapter_that_is_plugged_in_again_has_one_radio(
    bluez: FakeBlueZ, system_bus: SystemBus
) -> None:
    """Each time it has another name; the radio of the former name leaves the fleet."""
    async with Fleet(discover=False, local_adapters=True) as fleet:
        await fleet.ready()
        for number in range(5):
            bluez.remove(f"/org/bluez/hci{number}")
            await until(fleet, partial(is_only, fleet, f"hci{number}", GONE))
            bluez.add_adapter(f"hci{number + 1}")
            await until(fleet, partial(is_only, fleet, f"hci{number + 1}", READY))
        assert len(bluez.calls) < 100


async def test_adapter_beside_others_comes_and_goes(bluez: FakeBlueZ) -> None:
    """Those that are still there are left alone."""
    async with Fleet(discover=False, local_adapters=True) as fleet:
        await fleet.ready()
        bluez.add_adapter("hci1")
        await until(fleet, lambda: states(fleet) == {"hci0": READY, "hci1": READY})
        bluez.remove("/org/bluez/hci1")
        await until(fleet, lambda: states(fleet) == {"hci0": READY, "hci1": GONE})
        bluez.add_adapter("hci2")
        await until(fleet, lambda: states(fleet) == {"hci0": READY, "hci2": READY})
        assert bluez.calls.count(STARTED) == 1


async def test_scan_that_bluez_has_not_confirmed_is_undone(bluez: FakeBlueZ) -> None:
    """A fleet that is closed while a scan begins asks BlueZ to stop it, in case it does begin."""
    bluez.silent.add("StartDiscovery")
    async with Fleet(discover=False, local_adapters=True):
        await bluez.until_called("StartDiscovery")
        assert STOPPED not in bluez.calls
    async with asyncio.timeout(5):
        await bluez.until_called("StopDiscovery")


async def test_scan_is_ended_when_the_bus_fails_after_its_start(
    bluez: FakeBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every scan that was started has been stopped, however the start ended."""
    fails = [False, True, False, True, False, False]

    async def now_and_then() -> BleakBus:
        if fails and fails.pop(0):
            raise EOFError
        return await bleak_bus()

    monkeypatch.setattr(scanning, "bleak_bus", now_and_then)
    monkeypatch.setattr(scanning, "RETRY_WAIT", 0.05)
    async with Fleet(discover=False, local_adapters=True) as fleet:
        await fleet.ready()
        assert bluez.calls.count(STARTED) - bluez.calls.count(STOPPED) == 1
        assert bluez.calls.count(STARTED) == 3
    assert bluez.calls.count(STARTED) == bluez.calls.count(STOPPED)


async def test_bluetoothd_that_answers_late_is_asked_again(
    bluez: FakeBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One that was slow once, while the machine started, say, has its adapters all the same."""
    monkeypatch.setattr(connection, "CALL_TIMEOUT", 0.2)
    monkeypatch.setattr(watch, "RECONNECT_WAIT", 0.05)
    bluez.silent.add("GetManagedObjects")
    async with Fleet(discover=False, local_adapters=True) as fleet:
        assert states(fleet) == {PLACEHOLDER: GONE}
        bluez.silent.clear()
        await until(fleet, lambda: states(fleet).get("hci0") is READY)


async def test_end_that_was_cancelled_is_finished_by_another(
    bluez: FakeBlueZ, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A scan whose end was not waited for has ended when a second `aclose()` returns."""
    monkeypatch.setattr(scanning, "STOP_TIMEOUT", 0.5)
    async with Fleet(discover=False, local_adapters=True) as fleet:
        await fleet.ready()
        bluez.silent.add("StopDiscovery")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await fleet.aclose()
        before = asyncio.all_tasks()
        await fleet.aclose()
        assert len(asyncio.all_tasks()) < len(before)
    assert bluez.calls.count(STARTED) == bluez.calls.count(STOPPED) == 1


async def test_fleet_that_only_looks_does_not_scan(bluez: FakeBlueZ) -> None:
    """An adapter is ready as soon as it is on, and its links are seen."""
    path = bluez.add_device("C4:00:00:00:00:01", Connected=Variant("b", True))
    async with Fleet(discover=False, local_adapters=True, subscribe=Subscribe.NEVER) as fleet:
        (radio,) = await fleet.ready()
        slots = radio.allocations()
        assert slots
        assert slots.allocated == ["C4:00:00:00:00:01"]
        await asyncio.sleep(0.2)
        assert fleet.devices == []
    assert bluez.calls == []
    assert path in bluez.objects
