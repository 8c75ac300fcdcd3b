"""BlueZClient and BleakClientWithServiceCache, against a BlueZ on a real bus."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from bleak.backends.device import BLEDevice
from bleak.exc import BleakDBusError, BleakError
from dbus_fast import Variant

from proxyconn import (
    BleakClientWithServiceCache,
    BleakConnectionError,
    ConnectionParameters,
    ErrorKind,
    NotConnectedError,
    Retry,
    UnsupportedError,
    establish_connection,
    get_device,
)
from proxyconn_bluez.client import BlueZClient
from tests.bluez.conftest import SystemBus
from tests.bluez.fake_bluez import FAILED, FakeBlueZ
from tests.bluez.fake_kernel import FakeKernel

ADDRESS = "C4:00:00:00:00:01"
BATTERY = "0000180f-0000-1000-8000-00805f9b34fb"
HEART = "0000180d-0000-1000-8000-00805f9b34fb"
FAST = ConnectionParameters(6, 6, 0, 1000)
CALM = ConnectionParameters(800, 800, 0, 600)
pytestmark = pytest.mark.usefixtures("known_version")

Connect = Callable[..., Any]


@pytest.fixture
async def path(bluez: FakeBlueZ) -> str:
    """Return the object path of a device with one service."""
    path = bluez.add_device(ADDRESS)
    bluez.add_service(path, BATTERY)
    return path


@pytest.fixture
async def connect(path: str) -> AsyncIterator[Connect]:
    """Return what connects to that device; the clients are disconnected in the end."""
    clients: list[BleakClientWithServiceCache] = []

    async def connect(**kwargs: Any) -> BleakClientWithServiceCache:
        device = await get_device(ADDRESS)
        assert device is not None
        client = await establish_connection(BleakClientWithServiceCache, device, "Kettle", **kwargs)
        clients.append(client)
        return client

    yield connect
    for client in clients:
        await client.disconnect()


def interval(command: bytes) -> int:
    """Return the shortest interval that a command loads."""
    return int.from_bytes(command[15:17], "little")


async def test_connect(bluez: FakeBlueZ, path: str, connect: Connect) -> None:
    """A device of BlueZ is connected, tells its services, and is disconnected."""
    lost = asyncio.Event()
    client = await connect(disconnected_callback=lambda _: lost.set())
    assert client.is_connected
    assert [service.uuid for service in client.services] == [BATTERY]
    await client.disconnect()
    assert lost.is_set()
    assert [member for at, member in bluez.calls if at == path] == ["Connect", "Disconnect"]


async def test_clear_cache(connect: Connect) -> None:
    """What bleak keeps of the services can be forgotten, once."""
    client = await connect()
    assert await client.clear_cache() is True
    assert await client.clear_cache() is False


async def test_clear_cache_of_a_device_that_is_gone(
    bluez: FakeBlueZ, path: str, connect: Connect
) -> None:
    """What BlueZ has forgotten needs no clearing, and is no error."""
    client = await connect()
    await client.disconnect()
    bluez.remove(path)
    assert await client.clear_cache() is False


async def test_cached_services_are_used(bluez: FakeBlueZ, connect: Connect) -> None:
    """Services that BlueZ still has are taken from the cache, resolved or not."""
    client = await connect()
    services = client.services
    await client.disconnect()
    bluez.resolves = False
    again = await connect()
    assert again.services is services


async def test_cached_services_that_changed_are_not_used(
    bluez: FakeBlueZ, path: str, connect: Connect
) -> None:
    """Services that BlueZ has no longer are read anew."""
    client = await connect()
    await client.disconnect()
    bluez.remove(f"{path}/service000a")
    bluez.add_service(path, HEART, handle=0x20)
    again = await connect()
    assert [service.uuid for service in again.services] == [HEART]


@pytest.mark.parametrize("mtu", [64, None])
async def test_a_command_that_is_too_long_is_refused(
    bluez: FakeBlueZ, path: str, connect: Connect, mtu: int | None
) -> None:
    """BlueZ would fail without a reason; one that does not tell the MTU may know better."""
    properties = {"MTU": Variant("q", mtu)} if mtu else {}
    bluez.add_service(path, HEART, handle=0x20, **properties)
    client = await connect()
    characteristic = client.services.get_service(HEART).characteristics[0]
    await client.write_gatt_char(characteristic, bytes(61), response=True)
    await client.write_gatt_char(characteristic, bytes(20), response=False)
    if mtu:
        await client.write_gatt_char(characteristic, bytes(61), response=False)
        with pytest.raises(ValueError, match="at most 61 bytes"):
            await client.write_gatt_char(characteristic, bytes(62), response=False)
    else:
        await client.write_gatt_char(characteristic, bytes(62), response=False)
    assert [member for _, member in bluez.calls].count("WriteValue") == 3


@pytest.mark.parametrize(("kind", "code"), [("public", 1), ("random", 2)])
async def test_set_connection_params(
    bluez: FakeBlueZ, path: str, connect: Connect, kernel: FakeKernel, kind: str, code: int
) -> None:
    """The kernel gets the parameters with the type of address that BlueZ tells."""
    bluez.change(path, AddressType=Variant("s", kind))
    kernel.answer()
    management = kernel.management()
    client = await connect(management=management)
    await client.set_connection_params(800, 800, 0, 600)
    (command,) = kernel.commands
    assert command[8:15] == bytes.fromhex("0100000000c4") + bytes([code])
    assert command[15:] == bytes.fromhex("2003200300005802")
    management.close()


async def test_set_connection_params_needs_a_link(connect: Connect, kernel: FakeKernel) -> None:
    """Without a link, and with parameters out of bounds, nothing is sent."""
    client = await connect(management=kernel.management())
    with pytest.raises(ValueError, match="timeout"):
        await client.set_connection_params(800, 800, 0, 10)
    await client.disconnect()
    with pytest.raises(NotConnectedError):
        await client.set_connection_params(800, 800, 0, 600)
    assert kernel.opened == []


async def test_fast_then_calm(bluez: FakeBlueZ, connect: Connect, kernel: FakeKernel) -> None:
    """Asked for, the kernel gets one set of parameters before the link and another after."""
    kernel.answer()
    management = kernel.management()
    await connect(management=management, connecting_params=FAST, connected_params=CALM)
    assert [interval(command) for command in kernel.commands] == [6, 800]
    assert len(kernel.opened) == 1
    management.close()


async def test_fast_without_the_right(
    bluez: FakeBlueZ, connect: Connect, kernel: FakeKernel
) -> None:
    """Without the right to set what was asked for, there is one attempt and no link."""
    kernel.answer()
    kernel.status = 0x14
    management = kernel.management()
    with pytest.raises(BleakConnectionError, match="CAP_NET_ADMIN") as caught:
        await connect(management=management, connecting_params=FAST)
    assert isinstance(caught.value.__cause__, UnsupportedError)
    assert bluez.calls == []
    with pytest.raises(BleakConnectionError, match="CAP_NET_ADMIN"):
        await connect(management=management, connected_params=CALM)
    assert [member for _, member in bluez.calls] == ["Connect", "Disconnect"]
    management.close()


async def test_link_lost(bluez: FakeBlueZ, path: str, connect: Connect) -> None:
    """A link that drops is told to the caller, once."""
    lost: asyncio.Queue[object] = asyncio.Queue()
    client = await connect(disconnected_callback=lost.put_nowait)
    bluez.set_connected(path, False)
    async with asyncio.timeout(10):
        assert [await lost.get()] == [client]
    assert not client.is_connected
    await client.disconnect()
    assert lost.empty()


async def test_link_lost_leaves_nothing(bluez: FakeBlueZ, path: str) -> None:
    """A client whose link was lost keeps no D-Bus connection, though nobody disconnects it."""
    device = await get_device(ADDRESS)
    assert device is not None
    lost = asyncio.Event()
    await establish_connection(BleakClientWithServiceCache, device, "Kettle", lambda _: lost.set())
    bluez.set_connected(path, False)
    async with asyncio.timeout(10):
        await lost.wait()


async def test_bluetoothd_dies_under_a_link(bluez: FakeBlueZ, path: str, connect: Connect) -> None:
    """A bluetoothd that dies takes the link with it; its successor can be connected through."""
    lost = asyncio.Event()
    client = await connect(disconnected_callback=lambda _: lost.set())
    await bluez.stop()
    async with asyncio.timeout(10):
        await lost.wait()
    assert not client.is_connected
    with pytest.raises(BleakError):
        await client.read_gatt_char("00002a19-0000-1000-8000-00805f9b34fb")
    await client.disconnect()
    bluez.set_connected(path, False)
    await bluez.start()
    again = await connect()
    assert again.is_connected
    assert [member for _, member in bluez.calls] == ["Connect", "Connect"]


async def test_bus_dies_in_mid_connect(bluez: FakeBlueZ, system_bus: SystemBus, path: str) -> None:
    """A bus that dies during an attempt ends as an error of Bluetooth."""
    bluez.silent.add("Connect")
    device = await get_device(ADDRESS)
    assert device is not None
    connecting = asyncio.create_task(
        establish_connection(BleakClientWithServiceCache, device, "Kettle", deadline=2)
    )
    await bluez.until_called("Connect")
    await asyncio.to_thread(system_bus.kill)
    with pytest.raises(BleakError):
        await connecting


async def test_connect_refused(bluez: FakeBlueZ, path: str) -> None:
    """An attempt that BlueZ refuses is retried, and its D-Bus error is the cause in the end."""
    bluez.errors["Connect"] = FAILED
    device = await get_device(ADDRESS)
    assert device is not None
    with pytest.raises(BleakConnectionError) as caught:
        await establish_connection(BleakClientWithServiceCache, device, "Kettle", max_attempts=2)
    assert isinstance(caught.value.__cause__, BleakDBusError)
    assert [member for _, member in bluez.calls].count("Connect") == 2


async def test_connected_device_is_taken_over(bluez: FakeBlueZ, connect: Connect) -> None:
    """A device that another adapter is connected to is used there, without a Connect."""
    other = bluez.add_device(
        ADDRESS, "hci1", Connected=Variant("b", True), ServicesResolved=Variant("b", True)
    )
    bluez.add_service(other, BATTERY)
    stale = BLEDevice(ADDRESS, None, {"path": other.replace("hci1", "hci0"), "props": {}})
    client = await establish_connection(BleakClientWithServiceCache, stale, "Kettle")
    assert client.is_connected
    await client.disconnect()
    assert bluez.calls == [(other, "Disconnect")]


async def test_disconnect_unanswered(
    bluez: FakeBlueZ, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Disconnect that BlueZ does not answer is given up after a while, and the client is free."""
    lost: asyncio.Queue[object] = asyncio.Queue()
    client = await connect(disconnected_callback=lost.put_nowait)
    bluez.silent.add("Disconnect")
    monkeypatch.setattr("proxyconn_bluez.client.DISCONNECT_TIMEOUT", 0.2)
    with pytest.raises(TimeoutError):
        await client.disconnect()
    assert not client.is_connected
    assert lost.get_nowait() is client
    assert lost.empty()


async def test_connect_to_a_removed_device(bluez: FakeBlueZ, path: str) -> None:
    """A device that BlueZ has lost is waited for, and connected once it is back."""
    device = await get_device(ADDRESS)
    assert device is not None
    bluez.remove(path)
    retries: list[Retry] = []

    def return_then(retry: Retry) -> None:
        retries.append(retry)
        bluez.add_service(bluez.add_device(ADDRESS), BATTERY)

    client = await establish_connection(
        BleakClientWithServiceCache, device, "Kettle", on_retry=return_then
    )
    assert client.is_connected
    await client.disconnect()
    assert [one.kind for one in retries] == [ErrorKind.DEVICE_NOT_FOUND]


@pytest.fixture
async def bare(bluez: FakeBlueZ, path: str) -> AsyncIterator[BlueZClient]:
    """Return a client without bleak's in front of it, of a device with one more service."""
    bluez.add_service(path, HEART, 0x20, Flags=Variant("as", ["notify"]))
    (char,) = (one for one in bluez.objects if one.endswith("char0021"))
    for number, uuid in ((0x22, "2902"), (0x23, "2904")):
        bluez.add(
            f"{char}/desc{number:04x}",
            "org.bluez.GattDescriptor1",
            {
                "UUID": Variant("s", f"0000{uuid}-0000-1000-8000-00805f9b34fb"),
                "Characteristic": Variant("o", char),
            },
        )
    device = await get_device(ADDRESS)
    assert device is not None
    client = BlueZClient(device)
    await client.connect(False)
    yield client
    await client.disconnect()


@pytest.mark.parametrize("options", [{}, {"bluez": {}}])
async def test_notifications(bluez: FakeBlueZ, bare: BlueZClient, options: dict[str, Any]) -> None:
    """Whoever has our client without bleak's in front of it need not pass bleak's arguments."""
    assert bare.services
    (char,) = (one for one in bare.services.characteristics.values() if one.descriptors)
    await bare.start_notify(char, lambda data: None, **options)
    assert [at[-8:] for at, member in bluez.calls if member == "StartNotify"] == ["char0021"]


async def test_a_cccd_is_for_bluez(bluez: FakeBlueZ, bare: BlueZClient) -> None:
    """The write of one is refused with what to do; other descriptors are written."""
    assert bare.services
    cccd, other = sorted(bare.services.descriptors.values(), key=lambda one: one.uuid)
    with pytest.raises(UnsupportedError, match="start_notify"):
        await bare.write_gatt_descriptor(cccd, b"\1\0")
    await bare.write_gatt_descriptor(other, b"\1\0")
    assert [at[-8:] for at, member in bluez.calls if member == "WriteValue"] == ["desc0023"]
