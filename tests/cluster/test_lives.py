"""Owners, users and the broker die or sleep; links end with them, and no sooner."""

from __future__ import annotations

import asyncio
import signal
from contextlib import AsyncExitStack

import pytest
from bleak.exc import BleakError

from proxyconn import BleakClientWithServiceCache
from proxyconn_cluster.serving import lent_link

from .nats_server import NatsServer
from .owner_process import OtherProcess
from .village import (
    DEADLINE,
    ECHO,
    KEY,
    LEASE,
    READ,
    TICK,
    VALUE,
    Village,
    address,
    connect,
    peripheral,
    until,
)


class Far:
    """An owner in a process of its own, of the proxy that hears device 1 best; one here."""

    def __init__(self, village: Village, process: OtherProcess) -> None:
        self.village = village
        self.process = process


@pytest.fixture
async def far(stack: AsyncExitStack, server: NatsServer) -> Far:
    """Return two owners, north in a process of its own."""
    village = Village(stack, server)
    await village.build([peripheral(1)], ("north", "south"))
    await village.own("south")
    order = {"proxies": {"north": village.proxy("north").port}, "key": KEY, "lease": LEASE}
    process = OtherProcess(server.url, "north", order)
    stack.push_async_callback(process.stop)
    await process.start()
    return Far(village, process)


async def read_for_ever(client: BleakClientWithServiceCache) -> None:
    """Read until something is raised."""
    while True:
        await client.read_gatt_char(READ)


async def test_an_owner_is_killed(far: Far) -> None:
    village, loop = far.village, asyncio.get_running_loop()
    fleet = await village.program()
    await until(lambda: len(fleet.paths(address(1))) == 2)
    ended: list[float] = []
    client = await connect(fleet, 1, disconnected_callback=lambda _: ended.append(loop.time()))
    assert village.slots() == {"north": [address(1)]}
    began = loop.time()
    await far.process.stop(signal.SIGKILL)
    with pytest.raises(BleakError):
        await read_for_ever(client)
    assert loop.time() - began < DEADLINE
    await until(lambda: len(ended) == 1)
    assert not client.is_connected
    again = await connect(fleet, 1, deadline=3 * DEADLINE)
    assert village.slots() == {"south": [address(1)]}
    assert await again.read_gatt_char(READ) == VALUE
    await again.disconnect()
    assert len(ended) == 1
    await village.is_tidy()


async def test_an_owner_that_sleeps_is_passed_over(far: Far) -> None:
    village, loop = far.village, asyncio.get_running_loop()
    fleet = await village.program()
    await until(lambda: len(fleet.paths(address(1))) == 2)
    far.process.send(signal.SIGSTOP)
    began = loop.time()
    client = await connect(fleet, 1)
    assert loop.time() - began < 2.0
    assert village.slots() == {"south": [address(1)]}
    far.process.send(signal.SIGCONT)
    await client.disconnect()
    await village.is_tidy()


async def test_an_owner_sleeps_over_an_attempt(far: Far) -> None:
    """The attempt goes on through the next radio, and is not made twice when it wakes."""
    village = far.village
    fleet = await village.program()
    await until(lambda: len(fleet.paths(address(1))) == 2)
    device = await fleet.find_device(address(1))
    client = fleet.client_class(BleakClientWithServiceCache)(device, timeout=3 * DEADLINE)
    near = village.virtual.peripherals[0]
    near.latency = 1.0
    connecting = asyncio.ensure_future(client.connect())
    await until(lambda: village.slots() == {"north": [address(1)]})
    far.process.send(signal.SIGSTOP)
    near.latency = 0.005
    village.proxy("north").reboot(0.5)
    await connecting
    assert village.slots() == {"south": [address(1)]}
    far.process.send(signal.SIGCONT)
    await asyncio.sleep(1.0)
    assert village.slots() == {"south": [address(1)]}
    await client.disconnect()
    await village.is_tidy()


async def test_a_radio_that_refuses_is_followed_by_the_next(village: Village) -> None:
    fleet = await village.program()
    await until(lambda: len(fleet.paths(address(1))) == 2)
    undo = village.proxy("north").inject("radio_62_burst")
    device = await fleet.find_device(address(1))
    client = fleet.client_class(BleakClientWithServiceCache)(device)
    await client.connect()
    assert village.slots() == {"south": [address(1)]}
    await client.disconnect()
    undo()


async def test_the_links_of_a_user_that_has_gone_are_closed(
    stack: AsyncExitStack, village: Village
) -> None:
    user = OtherProcess(village.server.url, "user", {"use": address(1)})
    stack.push_async_callback(user.stop)
    await user.start()
    assert village.slots() == {"north": [address(1)]}
    await asyncio.sleep(LEASE + 1.0)
    assert village.slots() == {"north": [address(1)]}, "its user is still there"
    await user.stop(signal.SIGKILL)
    await until(lambda: village.slots() == {}, LEASE + DEADLINE)


async def test_a_broker_that_starts_anew_ends_no_link(village: Village) -> None:
    fleet = await village.program()
    ended: list[object] = []
    client = await connect(fleet, 1, disconnected_callback=ended.append)
    echoed: list[bytes] = []
    await client.start_notify(ECHO, lambda _, data: echoed.append(bytes(data)))
    for number in range(3):
        await client.write_gatt_char(ECHO, bytes((number,)), response=True)
        await village.server.stop()
        writing = asyncio.ensure_future(
            client.write_gatt_char(ECHO, bytes((number, 255)), response=True)
        )
        await asyncio.sleep(0.3)
        await village.server.start()
        await writing
        assert await client.read_gatt_char(READ) == VALUE
    wanted = [one for number in range(3) for one in (bytes((number,)), bytes((255, number)))]
    await until(lambda: echoed == wanted)
    assert ended == []
    await client.disconnect()


async def test_notifications_that_were_lost_are_sent_again(village: Village) -> None:
    fleet = await village.program()
    client = await connect(fleet, 1)
    ticks: list[bytes] = []
    await client.start_notify(TICK, lambda _, data: ticks.append(bytes(data)))
    await until(lambda: len(ticks) > 5)
    await village.server.stop()
    await asyncio.sleep(0.5)
    await village.server.start()
    await asyncio.sleep(2.0)
    await client.stop_notify(TICK)
    numbers = [int.from_bytes(tick, "little") for tick in ticks]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    await client.disconnect()


async def test_an_owner_that_leaves_in_order_says_so(village: Village) -> None:
    fleet = await village.program()
    await until(lambda: len(fleet.paths(address(1))) == 2)
    ended: list[object] = []
    client = await connect(fleet, 1, disconnected_callback=ended.append)
    loop = asyncio.get_running_loop()
    began = loop.time()
    await village.owners["north"].leave()
    await until(lambda: ended == [client])
    assert loop.time() - began < 1.5
    again = await connect(fleet, 1)
    assert village.slots() == {"south": [address(1)]}
    await again.disconnect()


async def test_a_broker_that_stays_away_ends_links_after_a_lease(village: Village) -> None:
    fleet = await village.program()
    ended: list[object] = []
    client = await connect(fleet, 1, disconnected_callback=ended.append)
    await village.server.stop()
    await asyncio.sleep(LEASE / 2)
    assert client.is_connected
    await until(lambda: ended == [client] and village.slots() == {}, 2 * LEASE + 1.0)
    with pytest.raises(BleakError):
        await client.read_gatt_char(READ)
    began = asyncio.get_running_loop().time()
    await fleet.aclose()
    assert asyncio.get_running_loop().time() - began < 2 * DEADLINE
    await village.server.start()


async def test_a_link_that_notifies_in_vain_ends(
    village: Village, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lent_link, "MOST_EVENTS", 20)
    bus = village.owners["south"].bus
    publish = bus.publish
    ended: list[object] = []

    async def lossy(subject: str, data: bytes, left: float | None = None) -> None:
        if ".event." not in subject:
            await publish(subject, data, left)

    monkeypatch.setattr(bus, "publish", lossy)
    client = await connect(await village.program(), 3, disconnected_callback=ended.append)
    await client.start_notify(TICK, lambda *_: None)
    await until(lambda: bool(ended), 3 * DEADLINE)
    with pytest.raises(BleakError, match=lent_link.UNDELIVERED):
        await client.read_gatt_char(READ)
