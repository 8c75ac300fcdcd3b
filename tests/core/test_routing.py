"""What is known of the paths to a device, and where it comes from."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path as Folder

import pytest

from proxyconn import (
    NO_RSSI_VALUE,
    AllocationChange,
    AllocationChangeEvent,
    Allocations,
    ErrorKind,
    LinkError,
    Path,
    RadioState,
)
from proxyconn.advertisements.merged_device import STALE_AFTER
from proxyconn.fleet.radio_hub import Hub
from proxyconn.fleet.routed_client import DeviceRoute
from proxyconn.radio import Radio
from proxyconn.routing.failure_memory import FAILURE, PATH_HALF_LIFE
from proxyconn.routing.known_paths import ATTEMPT_LIMIT, CLOSE_LIMIT, KnownPaths
from proxyconn.routing.pins import Pin, pins_by_address
from proxyconn.routing.slot_forecast import USUAL_CONNECT, USUAL_HOLD
from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateFile
from proxyconn.state.memory import FileMemory

from .fake_radio import FakeRadio

pytestmark = pytest.mark.looptime

DEVICE, OTHER, THIRD = "C4:00:00:00:00:01", "C4:00:00:00:00:02", "C4:00:00:00:00:03"
PINS = pins_by_address({OTHER: "far"}, None, {DEVICE: "attic"})


class Unlimited(FakeRadio):
    """A radio that does not report slots."""

    def allocations(self) -> Allocations | None:
        """Return no report."""
        return None

    def free_slots(self) -> int | None:
        """Return nothing."""
        return None


@pytest.fixture
async def hub() -> Hub:
    """Return a hub with pins for two devices."""
    return Hub(DeviceRoute, PINS)


@pytest.fixture
async def routing(hub: Hub) -> KnownPaths:
    """Return what the hub knows."""
    return hub.routing


def paths(
    routing: KnownPaths, address: str, now: float = 0.0, *, ahead: dict[Radio, int] | None = None
) -> dict[str, Path]:
    """Return the paths to a device by the name of the radio."""
    return {path.source: path for path, _ in routing.candidates(address, now, ahead=ahead)}


async def test_what_a_radio_hears_is_in_its_path(hub: Hub, routing: KnownPaths) -> None:
    """Signal, age and rhythm of the one device, as that radio hears them."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    await asyncio.sleep(3)
    near.hear(THIRD, -50)
    far.hear(THIRD, -70)
    near.hear(OTHER, -90)
    found = paths(routing, THIRD, 10.0)
    assert [(path.rssi, path.age) for path in found.values()] == [(-50, 7.0), (-70, 7.0)]
    assert [path.incumbent for path in found.values()] == [True, False]
    assert found["near"].patience == hub.sightings[THIRD].heard[near].patience
    hub.sightings[THIRD].heard[near].interval = 10.0
    assert paths(routing, THIRD)["near"].patience == 120.0


async def test_a_device_that_none_has_heard_may_be_tried_anywhere(
    hub: Hub, routing: KnownPaths
) -> None:
    """Nothing is known of how it is heard, and no radio is the present one."""
    FakeRadio(hub, "kitchen")
    path = paths(routing, THIRD, 7.0)["kitchen"]
    assert (path.rssi, path.age, path.patience) == (NO_RSSI_VALUE, math.inf, STALE_AFTER)
    assert not path.incumbent


async def test_how_a_radio_is_doing_is_in_its_path(hub: Hub, routing: KnownPaths) -> None:
    """Its state, slots and attempts; a radio without a report has neither slots nor free ones."""
    radio = FakeRadio(hub, "kitchen")
    radio.report(OTHER)
    radio.claim(THIRD)
    Unlimited(hub, "attic")
    found = paths(routing, DEVICE)
    kitchen, attic = found["kitchen"], found["attic"]
    assert (kitchen.slots, kitchen.free, kitchen.connecting) == (3, 1, 1)
    assert (attic.slots, attic.free, attic.wait) == (None, None, 0.0)
    assert kitchen.state is RadioState.READY
    assert kitchen.connectable


async def test_pins_are_those_of_the_device(hub: Hub, routing: KnownPaths) -> None:
    """A required radio is a path though it has not heard the device; others are shut out."""
    for name in ("attic", "kitchen", "far"):
        radio = FakeRadio(hub, name)
    kitchen = hub.radios[1]
    radio.hear(OTHER, -50)
    radio.hear(DEVICE, -50)
    assert isinstance(kitchen, FakeRadio)
    kitchen.hear(OTHER, -60)
    assert {name: path.pin for name, path in paths(routing, DEVICE).items()} == {
        "attic": Pin.REQUIRED,
        "far": Pin.EXCLUDED,
    }
    assert {name: path.pin for name, path in paths(routing, OTHER).items()} == {
        "far": Pin.PREFERRED,
        "kitchen": Pin.NEUTRAL,
    }


async def test_a_device_is_reachable_while_a_radio_may_be_tried(
    hub: Hub, routing: KnownPaths
) -> None:
    """One that may is enough; one that does not connect, is gone, or is not the required is not."""
    attic, kitchen = FakeRadio(hub, "attic"), FakeRadio(hub, "kitchen")
    kitchen.hear(DEVICE, -50)
    kitchen.hear(THIRD, -50)
    assert routing.is_reachable(DEVICE, pairing=False)
    assert routing.is_reachable(THIRD, pairing=False)
    attic.become(RadioState.GONE)
    assert not routing.is_reachable(DEVICE, pairing=False)
    assert routing.is_reachable(THIRD, pairing=False)
    kitchen.connectable = False
    assert not routing.is_reachable(THIRD, pairing=False)


async def test_a_bonded_device_stays_with_its_radios(hub: Hub, routing: KnownPaths) -> None:
    """Until the bond is no more, its radio has left, or a new bond is to be made."""
    bonded, other = FakeRadio(hub, "bonded"), FakeRadio(hub, "other")
    for radio in (bonded, other):
        radio.hear(THIRD, -50)
        radio.hear(OTHER, -50)
    routing.unbonded(THIRD, bonded)
    routing.bonded(THIRD, bonded)

    def shut_out(address: str, *, pairing: bool = False) -> list[str]:
        candidates = routing.candidates(address, 0.0, pairing=pairing)
        return [path.source for path, _ in candidates if path.bonded_elsewhere]

    assert shut_out(THIRD) == ["other"]
    assert paths(routing, THIRD)["other"].bonded_elsewhere
    assert shut_out(OTHER) == []
    assert shut_out(THIRD, pairing=True) == []
    bonded.become(RadioState.GONE)
    assert not routing.is_reachable(THIRD, pairing=False)
    assert routing.is_reachable(THIRD, pairing=True)
    assert routing.is_reachable(OTHER, pairing=False)
    routing.bonded(THIRD, other)
    assert shut_out(THIRD) == []
    routing.unbonded(THIRD, other)
    assert shut_out(THIRD) == ["other"]
    hub.radio_removed(bonded)
    assert shut_out(THIRD) == []
    assert routing.is_reachable(THIRD, pairing=False)
    hub.radio_added(bonded)
    routing.unbonded(THIRD, bonded)
    assert shut_out(THIRD) == []


async def test_success_ends_what_is_held_against_a_path(hub: Hub, routing: KnownPaths) -> None:
    """That of this device on this radio, and no other; the device is that radio's from now on."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    for radio in (near, far):
        radio.hear(THIRD, -50)
        radio.hear(OTHER, -50)
        for address in (THIRD, OTHER):
            routing.note(address, radio, TimeoutError(), 0.0)
    routing.note(THIRD, far, None, 0.0)
    found, others = paths(routing, THIRD), paths(routing, OTHER)
    assert (found["far"].failures, found["near"].failures) == (0.0, 1.0)
    assert (others["far"].failures, others["near"].failures) == (1.0, 1.0)
    assert (found["far"].radio_failures, found["near"].radio_failures) == (0.0, 1.0)
    assert [found["far"].incumbent, others["far"].incumbent] == [True, False]
    routing.note("C4:00:00:00:00:09", far, None, 0.0)


async def test_a_failure_that_says_nothing_of_the_radio_is_not_held_against_it(
    hub: Hub, routing: KnownPaths
) -> None:
    """Neither one that the device gave as its answer, nor a defect of a program."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(THIRD, -50)
    routing.note(THIRD, radio, LinkError("refused", kind=ErrorKind.SECURITY), 0.0)
    routing.note(THIRD, radio, ValueError("no failure of Bluetooth"), 0.0)
    assert paths(routing, THIRD)["kitchen"].failures == 0.0


async def test_who_is_served_before_costs_time(hub: Hub, routing: KnownPaths) -> None:
    """A connect for each that is under way or ahead, and a slot for each that finds none free."""
    radio, unlimited = FakeRadio(hub, "kitchen", 2), Unlimited(hub, "attic")
    for one in (radio, unlimited):
        one.hear(THIRD, -50)

    def waits(ahead: int, now: float = 0.0) -> tuple[float, float]:
        found = paths(routing, THIRD, now, ahead={radio: ahead, unlimited: ahead})
        return found["kitchen"].wait, found["attic"].wait

    assert waits(0) == (0.0, 0.0)
    assert waits(1) == (USUAL_CONNECT, USUAL_CONNECT)
    radio.report(OTHER)
    assert waits(0) == (0.0, 0.0)
    assert waits(1) == (USUAL_HOLD, USUAL_CONNECT)
    radio.report(OTHER, DEVICE)
    assert waits(0) == (USUAL_HOLD, 0.0)
    assert waits(2) == (2 * USUAL_HOLD, 2 * USUAL_CONNECT)


async def test_a_connect_that_is_under_way_costs_time(hub: Hub, routing: KnownPaths) -> None:
    """As much as one that is ahead."""
    radio = FakeRadio(hub, "kitchen")
    radio.hear(THIRD, -50)
    radio.claim(OTHER)
    assert paths(routing, THIRD)["kitchen"].wait == USUAL_CONNECT
    assert paths(routing, THIRD, ahead={radio: 1})["kitchen"].wait == 2 * USUAL_CONNECT


async def test_each_radio_has_its_own_rhythm(hub: Hub, routing: KnownPaths) -> None:
    """What one shows of its connects and slots says nothing about another, nor about a new one."""
    quick, slow = FakeRadio(hub, "quick", 1), FakeRadio(hub, "slow", 1)
    for radio in (quick, slow):
        radio.hear(THIRD, -50)
    routing.holding(quick).connected(USUAL_CONNECT - 1.0)
    quick.report(OTHER)
    found = paths(routing, THIRD, ahead={quick: 0, slow: 1})
    assert found["quick"].wait == USUAL_HOLD
    assert found["slow"].wait == USUAL_CONNECT
    quick.report()
    assert paths(routing, THIRD, ahead={quick: 1})["quick"].wait < USUAL_CONNECT
    hub.radio_removed(quick)
    hub.radio_removed(quick)
    hub.radio_added(quick)
    quick.hear(THIRD, -50)
    assert paths(routing, THIRD, ahead={quick: 1})["quick"].wait == USUAL_CONNECT


async def test_a_slot_that_comes_free_on_one_radio_is_still_held_on_the_other(
    hub: Hub, routing: KnownPaths
) -> None:
    """A report of a release that nobody took changes nothing."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.report(THIRD)
    far.report(THIRD)
    near.report()
    assert routing.holds(THIRD, far)
    assert not routing.holds(THIRD, near)
    again = AllocationChangeEvent(AllocationChange.RELEASED, f"near/{THIRD}", "near", THIRD)
    routing.slots_changed(near, [again], 0.0)
    assert routing.holder(THIRD, 0.0) is far
    hub.radio_removed(near)
    assert routing.holder(THIRD, 0.0) is far
    far.report()
    routing.slots_changed(far, [again], 0.0)
    assert routing.holder(THIRD, 0.0) is None


async def test_a_slot_that_is_given_back_is_waited_for(hub: Hub, routing: KnownPaths) -> None:
    """The firmware's time to close a link, but no less than an attempt may take."""
    radio = FakeRadio(hub, "kitchen")
    radio.report(THIRD)
    late = ATTEMPT_LIMIT + 100.0
    routing.given_back(THIRD, radio, late)
    limit = late + CLOSE_LIMIT
    assert routing.holder(THIRD, limit - 0.1) is radio
    assert routing.holder(THIRD, limit - 0.1, but=radio) is None
    assert routing.holder(THIRD, limit) is None


async def test_what_was_given_back_once_does_not_count_for_the_next_link(
    hub: Hub, routing: KnownPaths
) -> None:
    """Nor for the slot of another radio."""
    near, far = FakeRadio(hub, "near"), FakeRadio(hub, "far")
    near.report(THIRD)
    routing.given_back(THIRD, near, 100.0)
    near.report()
    near.report(THIRD)
    assert routing.holder(THIRD, ATTEMPT_LIMIT - 0.1) is near
    assert routing.holder(THIRD, ATTEMPT_LIMIT) is None
    routing.given_back(THIRD, near, 100.0)
    far.report(THIRD)
    assert routing.holder(THIRD, ATTEMPT_LIMIT - 0.1, but=near) is far
    assert routing.holder(THIRD, ATTEMPT_LIMIT, but=near) is None


async def test_failures_that_have_faded_are_not_remembered() -> None:
    """Neither those of this run nor those of an earlier one."""
    state = FileMemory()
    state.put(FAILURE, "far", OTHER, value=0.04)
    hub = Hub(DeviceRoute, {}, state)
    assert list(state.facts(FAILURE)) == []
    near = FakeRadio(hub, "near")
    hub.routing.note(DEVICE, near, TimeoutError(), 0.0)
    hub.routing.memory.sweep(PATH_HALF_LIFE)
    assert [key.device for key, _, _ in state.facts(FAILURE)] == [DEVICE]
    hub.routing.memory.sweep(5 * PATH_HALF_LIFE)
    assert list(state.facts(FAILURE)) == []


async def test_a_failure_is_as_old_as_the_last_one(tmp_path: Folder) -> None:
    """Also for the next run, though it weighs what the first one did."""
    file = StateFile(tmp_path)
    await asyncio.to_thread(file.write, [(Key(FAILURE, "near", DEVICE), Fact(1.0, 0.0))])
    state = FileMemory(file)
    await state.open()
    hub = Hub(DeviceRoute, {}, state)
    hub.routing.note(DEVICE, FakeRadio(hub, "near"), TimeoutError(), 0.0)
    await state.aclose()
    (fact,) = (await asyncio.to_thread(StateFile(tmp_path).read)).values()
    assert fact.value == 1.0
    assert fact.at > 0
