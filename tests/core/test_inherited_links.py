"""Links that a radio has from before: who gets them, and what is said of those of others."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from types import MappingProxyType
from typing import Any

import pytest
from bleak.backends.client import BaseBleakClient
from bleak.backends.device import BLEDevice

from proxyconn import BleakNotFoundError, ErrorKind, LinkError, RadioState
from proxyconn.advertisements.merged_device import STALE_AFTER
from proxyconn.fleet.alarms import AlarmKind, Monitor
from proxyconn.fleet.listening import find_device, ready
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute, RoutedClient
from proxyconn.radio import KeepsLinks
from proxyconn.routing.known_paths import LINK
from proxyconn.routing.pins import NO_PINS
from proxyconn.state.memory import FileMemory

from .fake_radio import FakeRadio
from .test_queue import OTHERS, address, ask, settle
from .test_routed_links import MAKE

pytestmark = pytest.mark.looptime


@pytest.fixture
async def hub() -> Hub:
    """Return a hub with a memory of its own."""
    return Hub(DeviceRoute, {}, FileMemory())


class Heir(FakeRadio, KeepsLinks):
    """A radio that has links from before."""

    foreign: Mapping[str, str] = MappingProxyType({})

    @property
    def inherited(self) -> Collection[str]:
        """Devices whose link is ours."""
        return self.ledger.inherited

    def create_client(self, device: BLEDevice, **kwargs: Any) -> BaseBleakClient:
        """Make a client whose link is up at once, and takes what was inherited as ours does."""
        self.ledger.inherited = frozenset()
        client: BaseBleakClient = MAKE(device, disconnected_callback=None, **kwargs)
        return client

    def inherit(self, number: int) -> None:
        """Find a link of ours."""
        self.ledger.inherited = frozenset({address(number)})
        self._hub.slots_changed(self, ())


async def test_a_link_from_before_is_had_though_no_slot_is_free(hub: Hub) -> None:
    """It needs none; nor is it waited for until the radio has opened another one."""
    radio = Heir(hub, "kitchen")
    radio.hear(address(2), -50)
    radio.report(address(1), *OTHERS[:2])
    first = ask(hub, 2)
    await settle()
    radio.inherit(1)
    second = ask(hub, 1)
    await settle()
    assert (first.done(), second.done()) == (False, True)
    assert await second is radio
    assert hub.queue.links[address(1)] is radio
    hub.queue.give_back(address(1))
    radio.report()
    assert await first is radio


async def test_a_link_from_before_is_no_other_radios(hub: Hub) -> None:
    """Who wants another radio does not get this one for it."""
    radio = Heir(hub, "kitchen")
    other = FakeRadio(hub, "bedroom")
    other.hear(address(1), -50)
    radio.report(address(1))
    radio.inherit(1)
    task = asyncio.create_task(hub.queue.take(address(1), 100.0, only="bedroom"))
    await settle()
    assert not task.done()
    radio.report()
    assert await task is other


async def test_a_link_of_another_client_is_named(hub: Hub) -> None:
    """Who waits for its device in vain learns whose it probably is."""
    radio = Heir(hub, "kitchen")
    radio.foreign = {address(1): "Home Assistant"}
    radio.hear(address(1), -50)
    radio.report(address(1))
    with pytest.raises(LinkError, match="probably of Home Assistant, and is left") as caught:
        await ask(hub, 1, 3.0)
    assert caught.value.kind is ErrorKind.IN_USE


async def test_a_foreign_link_is_an_alarm_of_its_own(hub: Hub) -> None:
    """It is told at once, and is no orphan: nobody here is to end it."""
    radio = Heir(hub, "kitchen")
    radio.foreign = {address(1): "Home Assistant"}
    radio.report(address(1))
    monitor = Monitor(hub.radios, hub.queue.links)
    assert [alarm.kind for alarm in monitor.alarms(0.0)] == [AlarmKind.FOREIGN]
    [alarm] = monitor.alarms(1000.0)
    assert (alarm.kind, alarm.address) == (AlarmKind.FOREIGN, address(1))
    assert "Home Assistant" in alarm.text


@pytest.mark.parametrize("called", [address(1), "Lamp", "lamp"])
async def test_a_device_is_found_by_its_link_from_before(called: str) -> None:
    """It does not advertise while it is connected; name and address type are remembered."""
    state = FileMemory()
    state.put(LINK, "kitchen", address(1), value={"name": "Lamp", "address_type": 1})
    hub = Hub(DeviceRoute, {}, state)
    radio = Heir(hub, "kitchen")
    finding = asyncio.create_task(find_device(hub, called, 10.0, NO_PINS))
    await settle()
    radio.report(address(1))
    await settle()
    assert not finding.done()
    radio.inherit(1)
    device = await finding
    assert (device.address, device.name) == (address(1), "Lamp")
    assert device.details["address_type"] == 1


async def test_a_bare_address_is_connected_by_its_link_from_before() -> None:
    """No radio hears it, and the program knows no more of it; the link's own facts will do."""
    state = FileMemory()
    state.put(LINK, "kitchen", address(1), value={"name": "Lamp", "address_type": 1})
    hub = Hub(DeviceRoute, {}, state)
    radio = Heir(hub, "kitchen")
    radio.report(address(1))
    radio.inherit(1)
    client = RoutedClient(address(1), hub=hub)
    await client.connect(False)
    assert client.is_connected
    [wish] = hub.queue.journal.connects
    assert [step.kind for step in wish.steps] == ["queued", "chosen", "ready"]
    await client.disconnect()


async def test_a_bare_address_of_which_nothing_is_known_is_waited_for(hub: Hub) -> None:
    """A link from before that no fact tells of cannot be asked for: nobody knows how."""
    radio = Heir(hub, "kitchen")
    radio.report(address(1))
    radio.inherit(1)
    client = RoutedClient(address(1), hub=hub)
    task = asyncio.create_task(client.connect(False))
    await settle()
    assert hub.queue.waiting == [address(1)]
    await client.disconnect()
    with pytest.raises(LinkError):
        await task


async def test_slots_that_change_search_no_names(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waits for a device looks through all that are heard when one is heard, not sooner."""
    radio = Heir(hub, "kitchen")
    radio.hear(address(2), -50)
    finding = asyncio.create_task(find_device(hub, "Lamp", 10.0, NO_PINS))
    await settle()
    looks: list[str] = []
    monkeypatch.setattr(hub, "find", looks.append)
    radio.report(address(2))
    assert looks == []
    finding.cancel()


async def test_a_device_found_by_its_link_is_not_waited_for_to_be_heard(hub: Hub) -> None:
    """It was heard long ago, and does not advertise."""
    state = FileMemory()
    state.put(LINK, "kitchen", address(1), value={"name": "Lamp", "address_type": 1})
    hub = Hub(DeviceRoute, {}, state)
    radio = Heir(hub, "kitchen")
    FakeRadio(hub, "bedroom")
    radio.hear(address(1), -50)
    await asyncio.sleep(STALE_AFTER + 1)
    began = hub.loop.time()
    finding = asyncio.create_task(find_device(hub, address(1), 10.0, NO_PINS))
    await settle()
    radio.report(address(1))
    radio.inherit(1)
    await finding
    assert hub.loop.time() == pytest.approx(began, abs=0.1)


async def test_a_link_from_before_that_is_gone_in_the_same_turn_ends_no_wait(hub: Hub) -> None:
    """Two reports of slots may come at once; the device is waited for on, and then found."""
    hub.memory.put(LINK, "kitchen", address(1), value={"name": "Lamp", "address_type": 1})
    radio = Heir(hub, "kitchen")
    finding = asyncio.create_task(find_device(hub, address(1), 10.0, NO_PINS))
    late = asyncio.create_task(find_device(hub, "Shed", 10.0, NO_PINS))
    await settle()
    radio.inherit(1)
    radio.ledger.inherited = frozenset()
    hub.slots_changed(radio, ())
    await settle()
    assert not finding.done()
    radio.hear(address(1), -50)
    assert (await finding).address == address(1)
    with pytest.raises(BleakNotFoundError, match="within 10 s"):
        await late


async def test_radios_that_are_not_ready_any_more_are_waited_for(hub: Hub) -> None:
    """Though one was for an instant."""
    radio = FakeRadio(hub, "kitchen")
    radio.become(RadioState.CONNECTING)
    waiting = asyncio.create_task(ready(hub, 1, 10.0))
    await settle()
    radio.become(RadioState.READY)
    radio.become(RadioState.CONNECTING)
    await settle()
    assert not waiting.done()
    radio.become(RadioState.READY)
    assert await waiting == [radio]
