"""Local adapters in a fleet, against a BlueZ on a real bus."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable

import pytest
from bleak.exc import BleakDBusError, BleakDeviceNotFoundError
from dbus_fast import Variant

from proxyconn import (
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    BleakClientWithServiceCache,
    BleakConnectionError,
    BleakOutOfConnectionSlotsError,
    Fleet,
    RadioState,
    RadioUnavailableError,
    Retry,
    establish_connection,
)
from proxyconn_bluez.adapter import slot_keeping_client as _radio_client
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FAILED, FakeBlueZ

ADDRESS = "C4:00:00:00:00:01"
BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"
YES, NO = Variant("b", True), Variant("b", False)
pytestmark = pytest.mark.usefixtures("known_version")


@pytest.fixture
async def fleet(system_bus: SystemBus) -> AsyncIterator[Fleet]:
    """Return a fleet of every local adapter and nothing else."""
    async with Fleet(discover=False, local_adapters=True) as fleet:
        yield fleet


async def until(fleet: Fleet, condition: Callable[[], bool]) -> None:
    """Wait until a change of some radio makes the condition true."""
    met = asyncio.Event()

    def check(*_: object) -> None:
        if condition():
            met.set()

    removes = [
        fleet.register_state_callback(check),
        fleet.register_allocation_callback(check),
        fleet.register_detection_callback(check),
    ]
    check()
    try:
        async with asyncio.timeout(20):
            await met.wait()
    finally:
        for remove in removes:
            remove()


def states(fleet: Fleet) -> dict[str, RadioState]:
    return {radio.name: radio.state for radio in fleet.radios}


def problem(fleet: Fleet) -> str:
    (radio,) = fleet.radios
    return radio.problem or ""


def advertise(bluez: FakeBlueZ, adapter: str = "hci0", rssi: int = -48) -> str:
    path = bluez.add_device(ADDRESS, adapter, RSSI=Variant("n", rssi), Name=Variant("s", "Kettle"))
    bluez.add_service(path, BATTERY)
    return path


async def test_scan(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter scans, and what it hears is a device of the fleet."""
    (radio,) = await fleet.ready()
    assert (radio.name, radio.problem, radio.connectable) == ("hci0", None, True)
    advertise(bluez)
    device = await fleet.find_device(ADDRESS)
    assert (device.name, device.details["source"], device.details["address_type"]) == (
        "Kettle",
        "hci0",
        1,
    )
    (path,) = fleet.paths(ADDRESS)
    assert (path.rssi, path.slots, path.free) == (-48, 5, 5)


async def test_connect(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A device that an adapter hears is connected there, and holds one of its slots."""
    await fleet.ready()
    path = advertise(bluez)
    events: asyncio.Queue[AllocationChangeEvent] = asyncio.Queue()
    fleet.register_allocation_callback(events.put_nowait)
    device = await fleet.find_device(ADDRESS)
    client = await establish_connection(BleakClientWithServiceCache, device, "Kettle")
    assert [service.uuid for service in client.services] == [BATTERY]
    event = await events.get()
    assert event == AllocationChangeEvent(AllocationChange.ALLOCATED, path, "hci0", ADDRESS)
    assert fleet.allocations() == [Allocations("hci0", 5, 4, [ADDRESS])]
    await client.disconnect()
    assert (await events.get()).change is AllocationChange.RELEASED
    assert fleet.allocations() == [Allocations("hci0", 5, 5, [])]


async def test_link_lost(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A link that is lost is told, and leaves no D-Bus connection, though nobody disconnects."""
    await fleet.ready()
    path = advertise(bluez)
    lost = asyncio.Event()
    device = await fleet.find_device(ADDRESS)
    await establish_connection(BleakClientWithServiceCache, device, "Kettle", lambda _: lost.set())
    bluez.set_connected(path, False)
    async with asyncio.timeout(10):
        await lost.wait()


async def test_two_adapters(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """Of two adapters the louder is taken, and the other one when it fails."""
    bluez.add_adapter("hci1")
    await fleet.ready(2)
    advertise(bluez, "hci0", -80)
    strong = advertise(bluez, "hci1", -40)
    device = await fleet.find_device(ADDRESS)
    await until(fleet, lambda: len(fleet.paths(ADDRESS)) == 2)
    assert [path.source for path in fleet.paths(ADDRESS)] == ["hci1", "hci0"]
    bluez.errors[f"{strong} Connect"] = FAILED
    client = await establish_connection(BleakClientWithServiceCache, device, "Kettle")
    assert [path for path, member in bluez.calls if member == "Connect"] == [
        strong,
        strong.replace("hci1", "hci0"),
    ]
    await client.disconnect()


async def test_slots_are_used_up(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """With every slot taken, an attempt says who holds them."""
    await fleet.ready()
    others = [f"C4:00:00:00:01:{n:02X}" for n in range(5)]
    for other in others:
        bluez.add_device(other, Connected=YES)
    advertise(bluez)
    device = await fleet.find_device(ADDRESS)
    await until(fleet, lambda: fleet.allocations() == [Allocations("hci0", 5, 0, others)])
    with pytest.raises(BleakOutOfConnectionSlotsError, match=others[0]):
        await establish_connection(BleakClientWithServiceCache, device, "Kettle", deadline=2.5)


async def test_more_links_than_slots(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter that holds more links than it was taken to can hold just those."""
    await fleet.ready()
    others = [f"C4:00:00:00:01:{n:02X}" for n in range(7)]
    for other in others:
        bluez.add_device(other, Connected=YES)
    await until(fleet, lambda: fleet.allocations() == [Allocations("hci0", 7, 0, others)])


async def test_link_of_another_program_is_taken_over(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A device that is connected already, and silent, is found and used."""
    await fleet.ready()
    path = advertise(bluez)
    bluez.change(path, Connected=YES, ServicesResolved=YES)
    device = await fleet.find_device(ADDRESS)
    client = await establish_connection(BleakClientWithServiceCache, device, "Kettle")
    assert "Connect" not in [member for _, member in bluez.calls]
    await client.disconnect()


async def test_device_that_bluez_has_let_go(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A device that BlueZ has forgotten is connected once it is heard, without a retry."""
    await fleet.ready()
    bluez.remove(advertise(bluez))
    device = await fleet.find_device(ADDRESS)
    retries: list[Retry] = []
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        attempt = tasks.create_task(
            establish_connection(
                BleakClientWithServiceCache, device, "Kettle", on_retry=retries.append
            )
        )
        while not fleet.radios[0].connecting:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
        advertise(bluez)
    assert retries == []
    await attempt.result().disconnect()


@pytest.mark.parametrize("known", [True, False])
async def test_powered_off_during_an_attempt(bluez: FakeBlueZ, fleet: Fleet, known: bool) -> None:
    """An attempt ends with its adapter, whether BlueZ is asked to connect or yet to hear."""
    await fleet.ready()
    path = advertise(bluez)
    client = BleakClientWithServiceCache(await fleet.find_device(ADDRESS))
    bluez.silent.add("Connect")
    if not known:
        bluez.remove(path)

    async def power_off_meanwhile() -> None:
        while not fleet.radios[0].connecting:  # noqa: ASYNC110  # nothing tells of it
            await asyncio.sleep(0.01)
        if known:
            await bluez.until_called("Connect")
        bluez.change("/org/bluez/hci0", Powered=NO)

    async with asyncio.timeout(_radio_client.HEARD_TIMEOUT - 1), asyncio.TaskGroup() as tasks:
        tasks.create_task(power_off_meanwhile())
        with pytest.raises(RadioUnavailableError, match="hci0 is powered off"):
            await client.connect()
    assert not client.is_connected
    assert fleet.radios[0].connecting == 0


async def test_device_that_bluez_never_hears_again(
    bluez: FakeBlueZ, fleet: Fleet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wait for a device that BlueZ has forgotten is limited."""
    monkeypatch.setattr(_radio_client, "HEARD_TIMEOUT", 0.1)
    await fleet.ready()
    bluez.remove(advertise(bluez))
    device = await fleet.find_device(ADDRESS)
    client = BleakClientWithServiceCache(device)
    with pytest.raises(BleakDeviceNotFoundError):
        await client.connect()
    assert [radio.free_slots() for radio in fleet.radios] == [5]


async def test_device_without_a_signal(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A device without a signal strength is heard while it is connected, and not any more then."""
    await fleet.ready()
    path = bluez.add_device(ADDRESS, Connected=YES)
    await fleet.find_device(ADDRESS)
    heard: list[str] = []
    fleet.register_detection_callback(lambda device, _: heard.append(device.address))
    bluez.set_connected(path, False)
    await until(fleet, lambda: fleet.allocations() == [Allocations("hci0", 5, 5, [])])
    bluez.add_device("C4:00:00:00:00:02", RSSI=Variant("n", -60))
    await until(fleet, lambda: bool(heard))
    assert heard == ["C4:00:00:00:00:02"]


async def test_powered_off(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter that is off is gone and says how to turn it on; then it scans again."""
    await fleet.ready()
    bluez.change("/org/bluez/hci0", Powered=NO)
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})
    assert "powered off" in problem(fleet)
    assert fleet.allocations() == []
    bluez.change("/org/bluez/hci0", Powered=YES)
    await fleet.ready()


async def test_property_that_is_no_more(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A property that BlueZ takes back, without another value, does not stay."""
    await fleet.ready()
    bluez.invalidate("/org/bluez/hci0", "Powered")
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})


async def test_unplugged(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter that is unplugged is gone, and is found again when it is back."""
    await fleet.ready()
    path = advertise(bluez)
    bluez.set_connected(path, True)
    await until(fleet, lambda: fleet.allocations() == [Allocations("hci0", 5, 4, [ADDRESS])])
    bluez.remove("/org/bluez/hci0")
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})
    assert "unplugged" in problem(fleet)
    assert fleet.allocations() == []
    bluez.add_adapter()
    await fleet.ready()


async def test_unplugged_beside_another(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter that is unplugged leaves the links of the others alone."""
    bluez.add_adapter("hci1")
    await fleet.ready(2)
    advertise(bluez)
    device = await fleet.find_device(ADDRESS)
    client = await establish_connection(BleakClientWithServiceCache, device, "Kettle")
    bluez.remove("/org/bluez/hci1")
    await until(fleet, lambda: states(fleet)["hci1"] is RadioState.GONE)
    bluez.add_adapter("hci1")
    await fleet.ready(2)
    assert client.is_connected
    await client.disconnect()


async def test_bluetoothd_restarted(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """An adapter is gone with bluetoothd, and scans for its successor, which knows other links."""
    await fleet.ready()
    path = advertise(bluez)
    bluez.set_connected(path, True)
    device = await fleet.find_device(ADDRESS)
    await bluez.stop()
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})
    assert "bluetoothd" in problem(fleet)
    bluez.calls.clear()
    bluez.set_connected(path, False)
    await bluez.start()
    await fleet.ready()
    assert ("/org/bluez/hci0", "StartDiscovery") in bluez.calls
    client = await establish_connection(BleakClientWithServiceCache, device, "Kettle", deadline=10)
    assert (path, "Connect") in bluez.calls
    await client.disconnect()


async def test_bus_restarted(bluez: FakeBlueZ, system_bus: SystemBus, fleet: Fleet) -> None:
    """An adapter is gone with the bus, and scans when the bus is back."""
    await fleet.ready()
    await asyncio.to_thread(system_bus.kill)
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})
    await bluez.stop()
    await asyncio.to_thread(system_bus.start)
    await bluez.start()
    await fleet.ready(timeout=20)


async def test_without_bluetoothd(fleet: Fleet, system_bus: SystemBus) -> None:
    """Without bluetoothd one radio stands for all adapters, until there are some."""
    assert states(fleet) == {"local adapters": RadioState.GONE}
    assert "bluetoothd is not running" in problem(fleet)
    bluez = FakeBlueZ()
    await bluez.start()
    bluez.add_adapter()
    await fleet.ready()
    assert states(fleet) == {"hci0": RadioState.READY}
    await bluez.stop()


async def test_scan_refused(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """A scan that BlueZ refuses is a problem that is told, and tried again."""
    await fleet.ready()
    bluez.errors["StartDiscovery"] = FAILED
    bluez.change("/org/bluez/hci0", Powered=NO)
    await until(fleet, lambda: states(fleet) == {"hci0": RadioState.GONE})
    bluez.change("/org/bluez/hci0", Powered=YES)
    await until(fleet, lambda: FAILED in problem(fleet))
    assert states(fleet) == {"hci0": RadioState.CONNECTING}


async def test_named_adapters(bluez: FakeBlueZ) -> None:
    """Only the adapters that were named are used; one that is missing is gone."""
    bluez.add_adapter("hci1")
    async with Fleet(discover=False, local_adapters=["hci1", "hci7"]) as fleet:
        await fleet.ready()
        assert states(fleet) == {"hci1": RadioState.READY, "hci7": RadioState.GONE}
    assert {path for path, _ in bluez.calls} == {"/org/bluez/hci1"}


async def test_connect_refused(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """What BlueZ answers is the cause of the error, and no slot stays claimed."""
    await fleet.ready()
    advertise(bluez)
    bluez.errors["Connect"] = FAILED
    device = await fleet.find_device(ADDRESS)
    with pytest.raises(BleakConnectionError) as caught:
        await establish_connection(BleakClientWithServiceCache, device, "Kettle", max_attempts=1)
    assert isinstance(caught.value.__cause__, BleakDBusError)
    assert [radio.free_slots() for radio in fleet.radios] == [5]


async def test_diagnostics(bluez: FakeBlueZ, fleet: Fleet) -> None:
    """The diagnostics can be written as JSON and tell the adapter's state."""
    await fleet.ready()
    (radio,) = json.loads(json.dumps(fleet.diagnostics()))["radios"]
    assert radio == {
        "name": "hci0",
        "kind": "bluez",
        "state": "ready",
        "problem": None,
        "address": "00:1B:DC:00:00:01",
        "slots": {"limit": 5, "free": 5, "allocated": []},
        "waiting": 0,
        "health": {"scanner": {"mode": "active"}},
    }


async def test_scan_mode_that_cannot_be_had_is_told_once(
    bluez: FakeBlueZ, caplog: pytest.LogCaptureFixture
) -> None:
    """BlueZ asks for scan responses whenever it scans; a fleet that is to listen says so."""
    with caplog.at_level(logging.INFO):
        async with Fleet(discover=False, local_adapters=True, scan="passive") as fleet:
            await fleet.ready()
            for mode in ("auto", "active", "passive"):
                await fleet.reconfigure((), discover=False, local_adapters=True, scan=mode)
    assert caplog.text.count("hci0: BlueZ has no passive scan") == 1
