"""What went wrong for users of other libraries, and does not here."""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Callable

import pytest
from bleak.exc import BleakError

from proxyconn import (
    BleakAbortedError,
    BleakClientWithServiceCache,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    Fleet,
    Retry,
    establish_connection,
)
from proxyconn.cli.display.rows import device_row
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Outcome

from .conftest import (
    BEDROOM,
    DEADLINE,
    KITCHEN,
    Real,
    Virtual,
    address,
    peripheral,
    unique,
    until,
)

GARAGE = unique("garage")
FAILED = 0x3E
"""HCI "connection failed to be established"."""


async def join(real: Real, count: int, **options: object) -> Fleet:
    """Return a fleet in which the first device is heard by every proxy."""
    fleet = await real(**options)
    await fleet.ready(count)
    await until(lambda: len(fleet.paths(address(1))) == count)
    return fleet


def holders(house: VirtualFleet) -> list[str]:
    """Return the proxies that hold a slot for the first device, now."""
    return [
        name
        for name, proxy in house.proxies.items()
        if any(held == address(1) for held, _ in proxy.snapshot().slots)
    ]


def watch(fleet: Fleet, look: Callable[[], object]) -> list[object]:
    """Look at every change of a slot."""
    seen: list[object] = []
    fleet.register_allocation_callback(lambda event: seen.append(look()))
    return seen


async def test_a_far_failure_leaves_the_near_path_alone(virtual: Virtual, real: Real) -> None:
    """The device failed on the far proxy; the near one is taken at once (bleak-esphome #438)."""
    failing = peripheral(1, [Outcome(FAILED, proxy=BEDROOM)], kitchen=-50, bedroom=-80)
    house = await virtual("kitchen bedroom", failing)
    fleet = await join(real, 2)
    device = await fleet.find_device(address(1), require=BEDROOM)
    with pytest.raises(BleakAbortedError):
        await establish_connection(
            BleakClientWithServiceCache, device, "kettle", max_attempts=1, deadline=0.3
        )
    device = await fleet.find_device(address(1), prefer=KITCHEN)
    retries: list[Retry] = []
    async with asyncio.timeout(DEADLINE):
        client = await establish_connection(
            BleakClientWithServiceCache, device, "kettle", on_retry=retries.append
        )
    assert holders(house) == [KITCHEN]
    assert not retries
    await client.disconnect()


async def test_retries_leave_a_broken_radio(virtual: Virtual, real: Real) -> None:
    """The nearest proxy never connects: every device goes round it (brc #227)."""
    broken = [Outcome(FAILED, proxy=KITCHEN)] * 9
    devices = [peripheral(number, broken, kitchen=-40, bedroom=-80) for number in (1, 2)]
    house = await virtual("kitchen bedroom", *devices)
    fleet = await join(real, 2)
    for number in (1, 2):
        device = await fleet.find_device(address(number))
        retries: list[Retry] = []
        client = await establish_connection(
            BleakClientWithServiceCache, device, "kettle", on_retry=retries.append
        )
        assert [retry.source for retry in retries] == [KITCHEN]
        await client.disconnect()
        again = await establish_connection(BleakClientWithServiceCache, device, "kettle")
        assert house.proxies[BEDROOM].snapshot().free == 2
        await again.disconnect()


async def test_proxies_are_tried_one_after_the_other(virtual: Virtual, real: Real) -> None:
    """A device that nobody reaches never occupies two proxies at a time (brc #65)."""
    hopeless = peripheral(1, [Outcome(FAILED)] * 30, kitchen=-50, bedroom=-60, garage=-70)
    house = await virtual("kitchen bedroom garage", hopeless)
    fleet = await join(real, 3)
    seen = watch(fleet, lambda: len(holders(house)))
    retries: list[Retry] = []
    with pytest.raises(BleakAbortedError):
        await establish_connection(
            BleakClientWithServiceCache,
            await fleet.find_device(address(1)),
            "kettle",
            on_retry=retries.append,
            deadline=3,
        )
    assert [retry.source for retry in retries][:3] == [KITCHEN, BEDROOM, GARAGE]
    assert set(seen) == {0, 1}


async def test_an_attempt_that_hangs_holds_one_slot(virtual: Virtual, real: Real) -> None:
    """Each try is given up while the proxy still works on it (home-assistant/core #176516)."""
    stuck = peripheral(1, [Outcome(after=math.inf)] * 3, kitchen=-50, bedroom=-60, garage=-70)
    house = await virtual("kitchen bedroom garage", stuck, establish_limit=0.5)
    fleet = await join(real, 3)
    seen = watch(fleet, lambda: len(holders(house)))
    client = BleakClientWithServiceCache(await fleet.find_device(address(1)))
    for _ in range(3):
        with pytest.raises((TimeoutError, BleakError)):
            await client.connect(timeout=0.8)
    await client.connect(timeout=DEADLINE)
    assert set(seen) == {0, 1}
    await client.disconnect()
    await until(lambda: not holders(house))


async def test_required_radios_are_the_only_ones(virtual: Virtual, real: Real) -> None:
    """A device that must go through one proxy waits for it, even when another one is free."""
    house = await virtual(
        "kitchen bedroom",
        peripheral(1, kitchen=-50, bedroom=-80),
        peripheral(2, kitchen=-90, bedroom=-50),
        slots=1,
    )
    fleet = await join(real, 2, require={address(1): BEDROOM, address(2): [BEDROOM]})
    first = await establish_connection(
        BleakClientWithServiceCache, await fleet.find_device(address(1)), "kettle"
    )
    assert holders(house) == [BEDROOM]
    with pytest.raises(BleakOutOfConnectionSlotsError, match="1 of 1"):
        await establish_connection(
            BleakClientWithServiceCache,
            await fleet.find_device(address(2)),
            "fridge",
            deadline=0.5,
        )
    assert house.proxies[KITCHEN].snapshot().free == 1
    await first.disconnect()


async def test_a_required_radio_need_not_have_heard_the_device(
    virtual: Virtual, real: Real
) -> None:
    """It is a path without an age, also in JSON, which knows no infinity."""
    await virtual("kitchen bedroom", peripheral(1, kitchen=-50))
    fleet = await join(real, 2, require={address(1): BEDROOM})
    document = json.loads(json.dumps(fleet.diagnostics(), allow_nan=False))
    ages = {path["source"]: path["age"] for path in document["devices"][address(1)]}
    assert ages[BEDROOM] is None
    assert ages[KITCHEN] < DEADLINE
    heard = device_row(fleet, fleet.known_device(address(1)))["paths"]
    assert [path["source"] for path in heard] == [KITCHEN]


async def test_a_bonded_device_stays_with_its_radio(virtual: Virtual, real: Real) -> None:
    """Another proxy does not have the keys, however loud it is; a new bond may be made anywhere."""
    house = await virtual("kitchen bedroom", peripheral(1, kitchen=-50, bedroom=-80))
    fleet = await join(real, 2)
    device = await fleet.find_device(address(1), require=BEDROOM)
    client = await establish_connection(BleakClientWithServiceCache, device, "lock", pair=True)
    await client.disconnect()
    device = await fleet.find_device(address(1), prefer=KITCHEN)
    client = await establish_connection(BleakClientWithServiceCache, device, "lock")
    assert holders(house) == [BEDROOM]
    await client.unpair()
    await client.disconnect()
    client = await establish_connection(BleakClientWithServiceCache, device, "lock")
    assert holders(house) == [KITCHEN]
    await client.disconnect()


async def test_a_known_address_needs_no_advertisement(virtual: Virtual, real: Real) -> None:
    """A device that was not heard is connected by its address and the type of it."""
    silent = peripheral(1, kitchen=-50)
    silent.interval = 3600.0
    house = await virtual("kitchen", silent)
    fleet = await real()
    await fleet.ready(1)
    with pytest.raises(BleakNotFoundError, match="address_type"):
        fleet.known_device(address(1))
    client = await establish_connection(
        BleakClientWithServiceCache, fleet.known_device(address(1), 1), "kettle"
    )
    assert holders(house) == [KITCHEN]
    await client.disconnect()


async def test_a_required_radio_that_is_not_there_is_named(virtual: Virtual, real: Real) -> None:
    """Who hears the device and who would have to is said, not that nobody hears it."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await join(real, 1)
    words = f"heard by {KITCHEN}, but .* required for it: attic; there is no radio called attic"
    with pytest.raises(BleakNotFoundError, match=words):
        await fleet.find_device("device 1", 0.2, require="attic")
