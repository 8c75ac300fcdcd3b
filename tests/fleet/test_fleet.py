"""A fleet over virtual proxies: found by mDNS, merged, connected through the best path."""

from __future__ import annotations

import asyncio
import json
import math

import pytest
from bleak import BleakClient
from bleak.exc import BleakError

from proxyconn import (
    AllocationChange,
    AllocationChangeEvent,
    BleakClientWithServiceCache,
    BleakNotFoundError,
    BleakOutOfConnectionSlotsError,
    ErrorKind,
    Fleet,
    Proxy,
    RadioState,
    RadioUnavailableError,
    Retry,
    device_source,
    establish_connection,
)
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import new_noise_psk
from tests.fleet.conftest import (
    BEDROOM,
    DEADLINE,
    KEY,
    KITCHEN,
    VALUE,
    Real,
    Virtual,
    address,
    peripheral,
    until,
)


async def test_fleet_finds_proxies_and_merges_what_they_hear(virtual: Virtual, real: Real) -> None:
    """Two proxies are found by mDNS; a device that both hear has two paths, the louder first."""
    await virtual("kitchen bedroom", peripheral(1, kitchen=-50, bedroom=-80))
    fleet = await real()
    radios = await fleet.ready(2, DEADLINE)
    assert {radio.name for radio in radios} == {KITCHEN, BEDROOM}
    device = await fleet.find_device("device 1", DEADLINE)
    assert device is await fleet.find_device(address(1).lower(), DEADLINE)
    await until(lambda: len(fleet.paths(address(1))) == 2)
    paths = fleet.paths(address(1))
    assert [path.source for path in paths] == [KITCHEN, BEDROOM]
    assert paths[0].rssi - paths[1].rssi > 20
    assert all(path.usable and path.slots == path.free == 3 for path in paths)
    assert fleet.devices == [device]
    await until(lambda: device_source(device) == KITCHEN)


async def test_fleet_connects_through_the_best_path(virtual: Virtual, real: Real) -> None:
    """The louder proxy holds the slot; its report and its events say so."""
    proxies = await virtual("kitchen bedroom", peripheral(1, kitchen=-50, bedroom=-80))
    fleet = await real()
    await fleet.ready(2, DEADLINE)
    await until(lambda: len(fleet.paths(address(1))) == 2)
    events: list[AllocationChangeEvent] = []
    fleet.register_allocation_callback(events.append)
    device = await fleet.find_device(address(1))
    client = await establish_connection(BleakClientWithServiceCache, device, "device 1")
    assert await client.read_gatt_char(VALUE) == b"value 1"
    assert proxies.proxies[KITCHEN].snapshot().free == 2
    assert proxies.proxies[BEDROOM].snapshot().free == 3
    await client.disconnect()
    assert [(event.change, event.adapter, event.address) for event in events] == [
        (AllocationChange.ALLOCATED, KITCHEN, address(1)),
        (AllocationChange.RELEASED, KITCHEN, address(1)),
    ]
    assert all(slots.free == slots.slots for slots in fleet.allocations())


async def test_next_attempt_takes_the_next_path(virtual: Virtual, real: Real) -> None:
    """A path that has just failed the device is not the one of the next attempt."""
    failing = peripheral(1, [Outcome(reason=0x3E)], kitchen=-50, bedroom=-80)
    proxies = await virtual("kitchen bedroom", failing)
    fleet = await real()
    await fleet.ready(2, DEADLINE)
    await until(lambda: len(fleet.paths(address(1))) == 2)
    retries: list[Retry] = []
    client = await establish_connection(
        BleakClientWithServiceCache,
        await fleet.find_device(address(1)),
        "device 1",
        on_retry=retries.append,
    )
    assert [(retry.kind, retry.source) for retry in retries] == [(ErrorKind.STACK_ERROR, KITCHEN)]
    assert proxies.proxies[BEDROOM].snapshot().free == 2
    await client.disconnect()


async def test_full_proxies_are_passed_over(virtual: Virtual, real: Real) -> None:
    """Nine devices near one proxy share the slots of three, and nobody is refused."""
    devices = [peripheral(number, kitchen=-50, bedroom=-60, garage=-70) for number in range(1, 10)]
    proxies = await virtual("kitchen bedroom garage", *devices)
    fleet = await real()
    await fleet.ready(3, DEADLINE)
    await until(lambda: all(len(fleet.paths(address(n))) == 3 for n in range(1, 10)))
    clients = await asyncio.gather(
        *(
            establish_connection(BleakClientWithServiceCache, device, device.address)
            for device in fleet.devices
        )
    )
    assert all(proxy.snapshot().free == 0 for proxy in proxies.proxies.values())
    assert not any(proxy.snapshot().connects_refused for proxy in proxies.proxies.values())
    values = await asyncio.gather(*(client.read_gatt_char(VALUE) for client in clients))
    assert {bytes(value) for value in values} == {f"value {n}".encode() for n in range(1, 10)}
    await asyncio.gather(*(client.disconnect() for client in clients))


async def test_wait_for_a_slot_ends_with_the_report(virtual: Virtual, real: Real) -> None:
    """When every slot is taken the retry waits, and goes on as soon as one is reported free."""
    await virtual("kitchen", peripheral(1, kitchen=-50), peripheral(2, kitchen=-50), slots=1)
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    first = await establish_connection(
        BleakClientWithServiceCache, await fleet.find_device(address(1)), "device 1"
    )
    waiting = asyncio.Event()
    retries: list[Retry] = []

    def on_retry(retry: Retry) -> None:
        retries.append(retry)
        waiting.set()

    second = asyncio.create_task(
        establish_connection(
            BleakClientWithServiceCache,
            await fleet.find_device(address(2)),
            "device 2",
            on_retry=on_retry,
        )
    )
    await waiting.wait()
    assert retries[0].kind is ErrorKind.OUT_OF_SLOTS
    assert retries[0].wait == 4.0
    assert "1 of 1 in use by C4:00:00:00:00:01" in str(retries[0].error)
    await asyncio.sleep(0.1)
    loop = asyncio.get_running_loop()
    freed = loop.time()
    await first.disconnect()
    client = await second
    assert loop.time() - freed < 2
    assert len(retries) == 1
    await client.disconnect()


async def test_device_that_nobody_hears(virtual: Virtual, real: Real) -> None:
    """The error says that no radio heard it, and how each radio is doing."""
    await virtual("kitchen")
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    with pytest.raises(
        BleakNotFoundError, match=rf"no radio heard it within 0\.1 s.*{KITCHEN} ready"
    ):
        await fleet.find_device(address(9), timeout=0.1)


@pytest.mark.parametrize("wanted", ["DEVICE 1", "c40000000001", "C4-00-00-00-00-01"])
async def test_device_is_found_however_it_is_written(
    wanted: str, virtual: Virtual, real: Real
) -> None:
    """Neither case nor the separators of an address matter."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(wanted, DEADLINE)
    assert device.address == address(1)
    assert fleet.paths(wanted) or wanted == "DEVICE 1"


async def test_a_closed_fleet_says_so(virtual: Virtual, real: Real) -> None:
    """A device outlives its fleet, but cannot be connected any more, and that is said at once."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    device = await fleet.find_device(address(1), DEADLINE)
    await fleet.aclose()
    with pytest.raises(BleakError, match="its fleet is closed"):
        await BleakClientWithServiceCache(device).connect()
    with pytest.raises(RadioUnavailableError, match="the fleet is closed"):
        await fleet.ready()


async def test_one_address_is_never_on_two_radios(virtual: Virtual, real: Real) -> None:
    """A second client is refused, and a next attempt waits until the last one's radio lets go."""
    proxies = await virtual(
        "kitchen bedroom",
        peripheral(1, [Outcome(after=math.inf)], kitchen=-50, bedroom=-80),
        establish_limit=0.6,
    )
    fleet = await real()
    await fleet.ready(2, DEADLINE)
    await until(lambda: len(fleet.paths(address(1))) == 2)
    held: list[int] = []

    def count(event: object) -> None:
        held.append(sum(len(slots.allocated) for slots in fleet.allocations()))

    fleet.register_allocation_callback(count)
    client = BleakClientWithServiceCache(await fleet.find_device(address(1)))
    with pytest.raises(TimeoutError):
        await client.connect(timeout=0.2)
    await client.connect()
    assert proxies.proxies[BEDROOM].snapshot().free == 2
    assert max(held) == 1
    rival = BleakClientWithServiceCache(await fleet.find_device(address(1)))
    with pytest.raises(BleakError, match="another client of this program is connected"):
        await rival.connect()
    await client.disconnect()


async def test_a_full_proxy_costs_nothing_before_the_deadline(virtual: Virtual, real: Real) -> None:
    """With a deadline, waiting for a slot ends by the slot or the deadline, not by a count."""
    await virtual("kitchen", peripheral(1, kitchen=-50), peripheral(2, kitchen=-50), slots=1)
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    first = await establish_connection(
        BleakClientWithServiceCache, await fleet.find_device(address(1)), "device 1"
    )
    with pytest.raises(BleakOutOfConnectionSlotsError) as caught:
        await establish_connection(
            BleakClientWithServiceCache,
            await fleet.find_device(address(2)),
            "device 2",
            deadline=1.5,
        )
    assert "1 of 1 slots" in str(caught.value)
    await first.disconnect()


async def test_radios_that_are_not_ready_say_why(virtual: Virtual, real: Real) -> None:
    """ready() names each radio's problem; no key stands in it."""
    await virtual("kitchen bedroom")
    wrong = new_noise_psk()
    fleet = await real(noise_psk={KITCHEN: KEY, BEDROOM: wrong})
    with pytest.raises(RadioUnavailableError, match=f"{BEDROOM} wrong key: it refused") as caught:
        await fleet.ready(2, timeout=1)
    assert wrong not in str(caught.value)
    states = {radio.name: radio.state for radio in fleet.radios}
    assert states[KITCHEN] is RadioState.READY
    assert states[BEDROOM] is RadioState.WRONG_KEY


async def test_configured_proxy_is_not_joined_twice(virtual: Virtual, real: Real) -> None:
    """A proxy that is both configured and announced is one radio."""
    proxies = await virtual("kitchen")
    proxy = proxies.proxies[KITCHEN]
    fleet = await real(proxies=[Proxy(proxy.host, proxy.port, noise_psk=KEY)])
    await fleet.ready(1, DEADLINE)
    await asyncio.sleep(0.3)
    assert [radio.name for radio in fleet.radios].count(KITCHEN) == 1
    assert len(proxy.snapshot().clients) == 1


async def test_proxy_named_by_host_name_is_not_joined_twice(virtual: Virtual, real: Real) -> None:
    """A host name does not show that mDNS has found the same proxy; its MAC does."""
    proxies = await virtual("kitchen")
    proxy = proxies.proxies[KITCHEN]
    fleet = await real(proxies=[Proxy("localhost", proxy.port, noise_psk=KEY)])
    await fleet.ready(1, DEADLINE)
    await until(
        lambda: [radio.name for radio in fleet.radios if KITCHEN in radio.name] == [KITCHEN]
    )
    await until(lambda: len(proxy.snapshot().clients) == 1)
    assert fleet.radios[0].state is RadioState.READY


async def test_proxy_that_returns_is_used_again(virtual: Virtual, real: Real) -> None:
    """A proxy that loses power fails its links; back again, it serves."""
    proxies = await virtual("kitchen", peripheral(1, kitchen=-50))
    kitchen = proxies.proxies[KITCHEN]
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    device = await fleet.find_device(address(1))
    dropped = asyncio.Event()
    client = await establish_connection(
        BleakClientWithServiceCache,
        device,
        "device 1",
        disconnected_callback=lambda _: dropped.set(),
    )
    await kitchen.kill()
    async with asyncio.timeout(DEADLINE):
        await dropped.wait()
    assert not client.is_connected
    assert fleet.allocations() == []
    with pytest.raises(RadioUnavailableError):
        await client.connect()
    await kitchen.start()
    await fleet.ready(1, 10)
    client = await establish_connection(BleakClientWithServiceCache, device, "device 1")
    assert await client.read_gatt_char(VALUE) == b"value 1"
    await client.disconnect()


async def test_plain_clients_reach_the_fleet(virtual: Virtual, real: Real) -> None:
    """client_class() takes addresses; establish_connection takes any BleakClient subclass."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    device = await fleet.find_device(address(1))

    class CustomClient(BleakClient):
        async def value(self) -> bytes:
            return bytes(await self.read_gatt_char(VALUE))

    client = await establish_connection(CustomClient, device, "device 1")
    assert await client.value() == b"value 1"
    await client.disconnect()
    async with fleet.client_class(CustomClient)(address(1).lower()) as by_address:
        assert isinstance(by_address, CustomClient)
        assert await by_address.value() == b"value 1"


async def test_advertisements_are_iterated(virtual: Virtual, real: Real) -> None:
    """advertisements() yields device and data; leaving the loop unsubscribes."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    stream = fleet.advertisements()
    async with asyncio.timeout(DEADLINE):
        device, data = await anext(stream)
    assert device.address == address(1)
    assert data.local_name == "device 1"
    await stream.aclose()  # type: ignore[attr-defined]


async def test_a_failing_callback_does_not_deafen_the_fleet(
    virtual: Virtual, real: Real, caplog: pytest.LogCaptureFixture
) -> None:
    """One listener's defect is logged and the next listener still hears."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    heard = asyncio.Event()

    def broken(*_: object) -> None:
        raise ZeroDivisionError

    fleet.register_detection_callback(broken)
    remove = fleet.register_detection_callback(lambda *_: heard.set())
    async with asyncio.timeout(DEADLINE):
        await heard.wait()
    remove()
    remove()
    assert "a callback of the fleet failed" in caplog.text


async def test_diagnostics_hold_no_key(virtual: Virtual, real: Real) -> None:
    """The snapshot is JSON, complete, and can be shown to anybody."""
    await virtual("kitchen", peripheral(1, kitchen=-50))
    fleet = await real()
    await fleet.ready(1, DEADLINE)
    await fleet.find_device(address(1))
    text = json.dumps(fleet.diagnostics())
    assert KEY not in text
    assert '"esphome_version": "2026.10.0"' in text
    assert address(1) in text


async def test_a_fleet_that_is_not_running_says_so() -> None:
    """Using a fleet outside `async with` is an error that says what to do."""
    with pytest.raises(BleakError, match="async with"):
        _ = Fleet(discover=False).radios


async def test_two_fleets_in_one_process(virtual: Virtual, real: Real) -> None:
    """Fleets share nothing: one finds what it is told, the other nothing."""
    proxies = await virtual("kitchen", peripheral(1, kitchen=-50))
    proxy = proxies.proxies[KITCHEN]
    one = await real(discover=False, proxies=[Proxy(proxy.host, proxy.port, noise_psk=KEY)])
    other = await real(discover=False)
    await one.ready(1, DEADLINE)
    assert other.radios == []
