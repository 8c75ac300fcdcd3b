"""A connection that comes back by itself."""

from __future__ import annotations

import asyncio

import pytest
from bleak.backends.characteristic import BleakGATTCharacteristic

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ErrorKind,
    Fleet,
    establish_connection,
    keep_connected,
)
from proxyconn.errors import ProxyconnError
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.simulated import SimulatedAir

from .conftest import BEDROOM, DEADLINE, KITCHEN, Real, Virtual, address, until

COUNTER = "0000fff2-0000-1000-8000-00805f9b34fb"


def notifier(*before: CharacteristicSpec, **rssi: int) -> Peripheral:
    """Return a peripheral that notifies when it is told to."""
    spec = CharacteristicSpec(0xFFF2, Properties.READ | Properties.NOTIFY, b"0")
    return Peripheral(
        address(1),
        "counter",
        services=[ServiceSpec(0xFFF0, [*before, spec])],
        rssi=rssi,
        interval=0.02,
        latency=0.005,
        att_latency=0.001,
    )


@pytest.fixture
async def house(virtual: Virtual, real: Real) -> tuple[VirtualFleet, Fleet]:
    """Return two proxies that hear one device, the kitchen's louder."""
    house = await virtual("kitchen bedroom", notifier(**{KITCHEN: -50, BEDROOM: -70}))
    fleet = await real()
    await fleet.ready(2)
    await fleet.find_device(address(1))
    await until(lambda: len(fleet.paths(address(1))) == 2)
    return house, fleet


async def test_notifications_come_back_on_another_path(
    house: tuple[VirtualFleet, Fleet],
) -> None:
    """A proxy dies: the device is reached through the other one, and goes on notifying."""
    virtual, fleet = house
    device = await fleet.find_device(address(1))
    got: list[bytes] = []
    lost: list[str] = []
    greeted: list[object] = []

    async def greet(client: BleakClientWithServiceCache) -> None:
        greeted.append(client)

    def notified(sender: BleakGATTCharacteristic, data: bytearray) -> None:
        got.append(bytes(data))

    async with keep_connected(
        BleakClientWithServiceCache,
        device,
        "counter",
        on_connected=greet,
        on_lost=lambda: lost.append("lost"),
    ) as kept:
        await kept.start_notify(COUNTER, notified)
        await kept.connected(DEADLINE)
        assert isinstance(virtual.air, SimulatedAir)
        virtual.air.notify(address(1), 0xFFF2, b"one")
        await until(lambda: got == [b"one"])
        await virtual.proxies[KITCHEN].kill()
        await until(lambda: bool(lost))
        client = await kept.connected(DEADLINE)
        assert greeted == [greeted[0], client]
        assert virtual.proxies[BEDROOM].snapshot().slots == ((address(1), "established"),)
        virtual.air.notify(address(1), 0xFFF2, b"two")
        await until(lambda: got == [b"one", b"two"])
        assert kept.connections == 2
    await until(lambda: virtual.proxies[BEDROOM].snapshot().slots == ())
    assert len(lost) == 1


async def test_a_silent_link_is_made_anew(house: tuple[VirtualFleet, Fleet]) -> None:
    """Nothing is heard for longer than the device is ever silent: the link is replaced."""
    _, fleet = house
    device = await fleet.find_device(address(1))
    async with keep_connected(
        BleakClientWithServiceCache, device, "counter", silence_timeout=0.1
    ) as kept:
        await kept.start_notify(COUNTER, lambda sender, data: None)
        await kept.connected(DEADLINE)
        await until(lambda: kept.connections == 2)


async def test_what_cannot_be_had_says_why(house: tuple[VirtualFleet, Fleet]) -> None:
    """The error of the last attempts reaches whoever waits; after the end nobody waits."""
    virtual, fleet = house
    device = await fleet.find_device(address(1))
    for proxy in virtual.proxies.values():
        await proxy.kill()
    await until(lambda: all(radio.state != "ready" for radio in fleet.radios))
    kept = keep_connected(BleakClientWithServiceCache, device, "counter", deadline=0.2)
    async with kept:
        await asyncio.sleep(0.3)
        with pytest.raises(ProxyconnError):
            await kept.connected(0.1)
    with pytest.raises(BleakConnectionError, match="nobody keeps it connected"):
        await kept.connected(DEADLINE)


async def test_a_link_that_is_lost_while_it_is_made_ready(
    house: tuple[VirtualFleet, Fleet],
) -> None:
    """`on_connected` waits for an answer that can no longer come: the device is connected again."""
    virtual, fleet = house
    device = await fleet.find_device(address(1))
    clients: list[BleakClientWithServiceCache] = []

    async def greet(client: BleakClientWithServiceCache) -> None:
        clients.append(client)
        if len(clients) == 1:
            assert isinstance(virtual.air, SimulatedAir)
            virtual.air.drop_link(address(1))
            await asyncio.Event().wait()

    async with keep_connected(
        BleakClientWithServiceCache, device, "counter", on_connected=greet
    ) as kept:
        assert await kept.connected(DEADLINE) is clients[1]
        assert kept.connections == 1


async def test_a_device_that_another_client_holds_is_waited_for(
    house: tuple[VirtualFleet, Fleet],
) -> None:
    """The other client lets go in the end."""
    _, fleet = house
    device = await fleet.find_device(address(1))
    other = await establish_connection(BleakClientWithServiceCache, device, "counter")
    async with keep_connected(BleakClientWithServiceCache, device, "counter") as kept:
        await until(lambda: kept.last_error is not None)
        await other.disconnect()
        await kept.connected(DEADLINE)


@pytest.mark.parametrize("moved", [False, True], ids=["missing", "another handle"])
async def test_a_firmware_update_is_noticed(house: tuple[VirtualFleet, Fleet], moved: bool) -> None:
    """The table from before the update lacks the characteristic, or has a refused handle."""
    virtual, fleet = house
    assert isinstance(virtual.air, SimulatedAir)
    rssi = {KITCHEN: -50, BEDROOM: -70}
    # Where it cannot notify, the old handle of the CCCD is now that of a declaration.
    properties = Properties.READ if moved else Properties.NOTIFY
    added = CharacteristicSpec(0xFFF9, properties, b"0")
    device = await fleet.find_device(address(1))
    client = await establish_connection(BleakClientWithServiceCache, device, "counter")
    await client.disconnect()
    virtual.air.replace(notifier(added, **rssi))
    got: list[bytes] = []
    async with keep_connected(BleakClientWithServiceCache, device, "counter") as kept:
        wanted = 0xFFF2 if moved else 0xFFF9
        await kept.start_notify(f"{wanted:04x}", lambda sender, data: got.append(bytes(data)))
        await kept.connected(DEADLINE)
        virtual.air.notify(address(1), wanted, b"one")
        await until(lambda: got == [b"one"])


async def test_it_ends_with_its_fleet(house: tuple[VirtualFleet, Fleet]) -> None:
    """Nothing can reach the device any more."""
    _, fleet = house
    device = await fleet.find_device(address(1))
    async with keep_connected(BleakClientWithServiceCache, device, "counter") as kept:
        await kept.connected(DEADLINE)
        await fleet.aclose()
        await until(lambda: kept.client is None)
        with pytest.raises(BleakConnectionError, match="fleet") as caught:
            await kept.connected(DEADLINE)
        assert caught.value.kind is ErrorKind.FLEET_CLOSED
