"""Everything a bleak client can do, over the native API."""

from __future__ import annotations

import asyncio

import pytest
from bleak import BleakClient
from bleak.exc import BleakCharacteristicNotFoundError, BleakError, BleakGATTProtocolErrorCode

from proxyconn import (
    BleakClientWithServiceCache,
    ErrorKind,
    GATTError,
    LinkError,
    NotConnectedError,
    PairingError,
    UnsupportedError,
)
from proxyconn_esphome import ConnectionReason
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Delay, Drop
from proxyconn_virtual.firmware.profiles import PROFILES
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.radio import LinkParameters
from tests.esphome.conftest import (
    COMMAND,
    DEADLINE,
    ECHO,
    INDICATE,
    NOTIFY,
    READ,
    SECRET,
    SERVICE,
    House,
    Open,
    address,
    peripheral,
    until,
)


@pytest.fixture(params=["simulated", "bumble"])
async def house(request: pytest.FixtureRequest, open_house: Open) -> House:
    """Return a house over each of the virtual radios."""
    return await open_house(radio=request.param)


async def test_client_learns_services(house: House) -> None:
    """Connecting learns the whole table: UUIDs, properties and descriptors."""
    async with BleakClientWithServiceCache(house.device()) as client:
        characteristic = client.services.get_characteristic(NOTIFY)
        assert characteristic is not None
        assert characteristic.service_uuid == SERVICE
        assert characteristic.properties == ["notify"]
        assert [d.uuid[4:8] for d in characteristic.descriptors] == ["2902"]
        assert client.mtu_size > 23
        assert characteristic.max_write_without_response_size == client.mtu_size - 3
    await house.all_free()


async def test_client_reads_and_writes(house: House) -> None:
    """What is written is read back; a missing characteristic is bleak's own error."""
    async with BleakClientWithServiceCache(house.device()) as client:
        assert await client.read_gatt_char(READ) == b"hello"
        await client.write_gatt_char(ECHO, b"abc", response=True)
        assert await client.read_gatt_char(ECHO) == b"abc"
        with pytest.raises(BleakCharacteristicNotFoundError):
            await client.read_gatt_char("2a00aaaa-0000-1000-8000-00805f9b34fb")
        with pytest.raises(ValueError, match="at most 512 bytes"):
            await client.write_gatt_char(ECHO, bytes(513), response=True)


@pytest.mark.parametrize("uuid", [NOTIFY, INDICATE])
async def test_client_is_notified(uuid: str, house: House) -> None:
    """Subscribing writes the CCCD; data arrives until the subscription ends."""
    received: list[bytes] = []
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.start_notify(uuid, lambda _, data: received.append(bytes(data)))
        await until(lambda: len(received) >= 3)
        with pytest.raises(BleakError, match="already on"):
            await client.start_notify(uuid, lambda *_: None)
        await client.stop_notify(uuid)
        count = len(received)
        await client.read_gatt_char(READ)
        assert len(received) <= count + 1
        with pytest.raises(BleakError, match="neither notify nor indicate"):
            await client.start_notify(READ, lambda *_: None)


async def test_client_pairs(house: House) -> None:
    """An encrypted characteristic is refused before pairing and readable after it."""
    async with BleakClientWithServiceCache(house.device()) as client:
        with pytest.raises(GATTError) as caught:
            await client.read_gatt_char(SECRET)
        assert caught.value.code is BleakGATTProtocolErrorCode.INSUFFICIENT_AUTHENTICATION
        assert caught.value.kind is ErrorKind.SECURITY
        assert "ESP_GATT_INSUF_AUTHENTICATION" in str(caught.value)
        await client.pair()
        assert await client.read_gatt_char(SECRET) == b"secret"
        await client.unpair()


async def test_client_pairs_on_connect(house: House) -> None:
    """pair=True pairs as part of connecting."""
    async with BleakClientWithServiceCache(house.device(), pair=True) as client:
        assert await client.read_gatt_char(SECRET) == b"secret"


async def test_client_sets_connection_parameters(house: House) -> None:
    """The parameters arrive at the proxy as they were given."""
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.set_connection_params(800, 800, 0, 600)
        received = house.proxy.snapshot().parameters[address(1)]
        assert received == LinkParameters(800, 800, 0, 600)
        with pytest.raises(ValueError, match="min_interval must be 6 to 3200, not 5"):
            await client.set_connection_params(5, 800, 0, 600)


async def test_plain_bleak_client_takes_the_backend(open_house: Open) -> None:
    """bleak's own BleakClient works with backend=, and says what it runs on."""
    from proxyconn_esphome import ESPHomeClient

    house = await open_house()
    async with BleakClient(house.device(), backend=ESPHomeClient) as client:
        assert client.backend_id == "ESPHomeClient"
        assert await client.read_gatt_char(READ) == b"hello"
        assert client.name == "device 1"


async def test_pairing_refused_is_an_error(open_house: Open) -> None:
    """A device that does not pair says so by code, and the failed connect frees the slot."""
    stubborn = peripheral()
    stubborn.pairable = False
    house = await open_house(stubborn)
    client = BleakClientWithServiceCache(house.device(), pair=True)
    with pytest.raises(PairingError) as caught:
        await client.connect()
    assert caught.value.kind is ErrorKind.SECURITY
    assert caught.value.code is not None
    await house.all_free()


async def test_disconnect_is_idempotent_and_tells_once(open_house: Open) -> None:
    """The callback comes once per connection, and a second disconnect does nothing."""
    house = await open_house()
    dropped: list[BleakClient] = []
    client = BleakClientWithServiceCache(house.device(), disconnected_callback=dropped.append)
    for count in (1, 2):
        await client.connect()
        await client.disconnect()
        await client.disconnect()
        await asyncio.sleep(0)
        assert dropped == [client] * count
        assert not client.is_connected
        assert house.proxy.snapshot().free == 3
    with pytest.raises(BleakError):
        await client.read_gatt_char(READ)


async def test_disconnect_waits_for_the_slot(open_house: Open) -> None:
    """It is over once the proxy reports the slot free, however late after the link's end."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    house.proxy.injectors.append(Delay(pb.BluetoothConnectionsFreeResponse, seconds=0.3))
    await client.disconnect()
    assert house.session.ledger.free == 3


async def test_another_disconnect_waits_for_the_first(open_house: Open) -> None:
    """Whoever calls it finds the link down, and its slot free, when it returns."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    house.proxy.injectors.append(Delay(pb.BluetoothConnectionsFreeResponse, seconds=0.3))
    first = asyncio.create_task(client.disconnect())
    await asyncio.sleep(0)
    await client.disconnect()
    assert house.session.ledger.free == 3
    await first


async def test_connecting_twice_is_refused(open_house: Open) -> None:
    """Neither the same client nor another one of this program opens a second link."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        with pytest.raises(BleakError, match="already connected"):
            await client.connect()
        with pytest.raises(LinkError, match="another client of this program"):
            await BleakClientWithServiceCache(house.device()).connect()
        assert await client.read_gatt_char(READ) == b"hello"


async def test_second_connect_uses_the_cache(open_house: Open) -> None:
    """With the cache allowed the services are not asked for again, and the MTU is ours."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    await client.connect()
    mtu = client.mtu_size
    await client.disconnect()
    await client.connect(dangerous_use_bleak_cache=True)
    asked = house.proxy.snapshot().received
    assert asked["BluetoothGATTGetServicesRequest"] == 1
    assert client.mtu_size == mtu
    assert await client.read_gatt_char(READ) == b"hello"
    assert await client.clear_cache() is True
    await client.disconnect()
    await client.connect(dangerous_use_bleak_cache=True)
    assert house.proxy.snapshot().received["BluetoothGATTGetServicesRequest"] == 2
    await client.disconnect()


async def test_clear_cache_works_without_a_link(open_house: Open) -> None:
    """Neither clear_cache nor its answer needs a connection."""
    house = await open_house()
    client = BleakClientWithServiceCache(house.device())
    assert await client.clear_cache() is True
    assert house.proxy.snapshot().received["BluetoothDeviceRequest"] == 1


async def test_only_the_wanted_services_are_shown(open_house: Open) -> None:
    """services= narrows the table."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device(), services=["fff0"]) as client:
        assert [service.uuid for service in client.services] == [SERVICE]
        assert await client.read_gatt_char(READ) == b"hello"
    async with BleakClientWithServiceCache(house.device()) as client:
        assert len(list(client.services)) > 1


async def test_a_reply_to_a_command_answers_no_later_write(open_house: Open) -> None:
    """The firmware may answer a write without response; that answer is nobody else's."""
    house = await open_house()
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.write_gatt_char(COMMAND, b"1", response=False)
        house.proxy.injectors.append(Drop(pb.BluetoothGATTWriteRequest))
        write = asyncio.create_task(client.write_gatt_char(COMMAND, b"2", response=True))
        done, _ = await asyncio.wait({write}, timeout=0.5)
        assert not done
        write.cancel()
        with pytest.raises(asyncio.CancelledError):
            await write


async def test_a_cancelled_read_answers_no_later_read(open_house: Open) -> None:
    """The reply to a cancelled request is consumed before the next request goes out."""
    slow = peripheral()
    slow.att_latency = 0.2
    house = await open_house(slow)
    async with BleakClientWithServiceCache(house.device()) as client:
        await client.write_gatt_char(ECHO, b"old", response=True)
        read = asyncio.create_task(client.read_gatt_char(ECHO))
        await asyncio.sleep(0.05)
        read.cancel()
        with pytest.raises(asyncio.CancelledError):
            await read
        await client.write_gatt_char(ECHO, b"new", response=True)
        assert await client.read_gatt_char(ECHO) == b"new"


async def test_link_loss_is_told_once_with_its_reason(open_house: Open) -> None:
    """A link that drops twice, as the firmware reports it, fails the read and calls back once."""
    house = await open_house()
    dropped = asyncio.Event()
    calls: list[BleakClient] = []

    def on_drop(client: BleakClient) -> None:
        calls.append(client)
        dropped.set()

    client = BleakClientWithServiceCache(house.device(), disconnected_callback=on_drop)
    await client.connect()
    house.proxy.injectors.append(Drop(pb.BluetoothGATTReadRequest))
    read = asyncio.create_task(client.read_gatt_char(READ))
    await asyncio.sleep(0)
    house.drop_link(1, 0x13)
    with pytest.raises(LinkError) as caught:
        await read
    assert caught.value.code is ConnectionReason.ESP_GATT_CONN_TERMINATE_PEER_USER
    async with asyncio.timeout(DEADLINE):
        await dropped.wait()
    await house.all_free()
    assert calls == [client]
    with pytest.raises(NotConnectedError, match=r"the link was lost: .*TERMINATE_PEER_USER"):
        await client.write_gatt_char(ECHO, b"x", response=True)


async def test_operations_without_a_link_say_so(open_house: Open) -> None:
    """Every operation of a client that is not connected raises, and sends nothing."""
    house = await open_house()
    client = house.client()
    with pytest.raises(NotConnectedError):
        await client.pair()
    with pytest.raises(NotConnectedError):
        await client.set_connection_params(800, 800, 0, 600)


async def test_old_firmware_is_named_with_the_version_it_needs(open_house: Open) -> None:
    """A proxy too old for connection parameters is told which version brings them."""
    house = await open_house(profile="2025.9")
    async with BleakClientWithServiceCache(house.device()) as client:
        with pytest.raises(UnsupportedError, match=r"needs ESPHome 2026\.3 or newer.*2025\.9"):
            await client.set_connection_params(800, 800, 0, 600)


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_firmware_profile_connects(profile: str, open_house: Open) -> None:
    """Each firmware the virtual proxy knows is read from and let go of."""
    house = await open_house(profile=profile)
    for _ in range(2):
        async with BleakClientWithServiceCache(house.device(), pair=True) as client:
            assert await client.read_gatt_char(SECRET) == b"secret"
            await client.unpair()
    await house.all_free()


async def test_many_links_at_once(open_house: Open) -> None:
    """Links of one proxy do not see each other's replies."""
    devices: list[Peripheral] = [peripheral(number) for number in range(1, 10)]
    house = await open_house(*devices, slots=9)
    clients = [BleakClientWithServiceCache(house.device(number)) for number in range(1, 10)]
    await asyncio.gather(*(client.connect() for client in clients))

    async def work(client: BleakClient, value: bytes) -> None:
        for _ in range(5):
            await client.write_gatt_char(ECHO, value, response=True)
            assert await client.read_gatt_char(ECHO) == value

    await asyncio.gather(*(work(client, client.address.encode()) for client in clients))
    assert house.proxy.snapshot().free == 0
    await asyncio.gather(*(client.disconnect() for client in clients))
    await house.all_free()
