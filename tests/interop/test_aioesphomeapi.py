"""aioesphomeapi's own client against our virtual proxy."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest
from aioesphomeapi.client import APIClient
from aioesphomeapi.core import BluetoothGATTAPIError, InvalidEncryptionKeyAPIError
from aioesphomeapi.model import BluetoothProxyFeature

from proxyconn_virtual.firmware.profiles import NEWEST
from proxyconn_virtual.peripheral import Outcome
from proxyconn_virtual.proxy import VirtualProxy, new_noise_psk
from proxyconn_virtual.radio import LinkParameters

from .conftest import DEADLINE, ECHO, READ, TELLS_REASONS, OpenProxy, address, peripheral

NUMBER = 0xC40000000001
ALL = 255
"""Feature flags of an active proxy, as of 2026.10."""

Notice = tuple[bool, int, int]
"""connected, MTU in bytes, error."""


class Peer:
    """An APIClient that is subscribed, with all that it was told."""

    def __init__(self, client: APIClient) -> None:
        self.client = client
        self.slots: asyncio.Queue[tuple[int, int, list[int]]] = asyncio.Queue()
        self.notices: asyncio.Queue[Notice] = asyncio.Queue()

    def subscribe(self) -> None:
        """Take the proxy's one subscription."""
        self.client.subscribe_bluetooth_le_raw_advertisements(lambda batch: None)
        self.client.subscribe_bluetooth_connections_free(
            lambda free, limit, allocated: self.slots.put_nowait((free, limit, list(allocated)))
        )

    async def connect(self) -> Callable[[], None]:
        """Connect the first device; returns what ends the listening for its notices."""
        return await self.client.bluetooth_device_connect(
            NUMBER,
            lambda connected, mtu, error: self.notices.put_nowait((connected, mtu, error)),
            timeout=DEADLINE,
            feature_flags=ALL,
            address_type=1,
        )

    async def notice(self) -> Notice:
        """Return the next notice about the device."""
        async with asyncio.timeout(DEADLINE):
            return await self.notices.get()

    async def handle(self, uuid: str) -> int:
        """Return the handle of a characteristic."""
        found: dict[str, int] = {
            characteristic.uuid: characteristic.handle
            for service in (await self.client.bluetooth_gatt_get_services(NUMBER)).services
            for characteristic in service.characteristics
        }
        return found[uuid]

    async def slots_are(self, free: int) -> tuple[int, int, list[int]]:
        """Return the first slot report with so many free slots."""
        async with asyncio.timeout(DEADLINE):
            while (report := await self.slots.get())[0] != free:
                pass
            return report


@asynccontextmanager
async def peer_of(proxy: VirtualProxy, noise_psk: str | None = None) -> AsyncIterator[Peer]:
    """Connect a client with the proxy's key, or another one."""
    client = APIClient(proxy.host, proxy.port, None, noise_psk=noise_psk or proxy.noise_psk)
    await client.connect(login=True)
    try:
        peer = Peer(client)
        peer.subscribe()
        yield peer
    finally:
        await client.disconnect()


async def test_api_client_sees_proxy(open_proxy: OpenProxy) -> None:
    """It takes the virtual proxy for an active Bluetooth proxy with every feature."""
    proxy = await open_proxy()
    async with peer_of(proxy) as peer:
        info = await peer.client.device_info()
        version = peer.client.api_version
        assert version
        flags = BluetoothProxyFeature(info.bluetooth_proxy_feature_flags_compat(version))
        assert (info.name, info.esphome_version) == ("kitchen", "2026.10.0")
        assert flags == BluetoothProxyFeature(ALL)
        assert await peer.slots_are(3) == (3, 3, [])


async def test_api_client_wrong_key(open_proxy: OpenProxy) -> None:
    """A wrong key is told from every other failure."""
    proxy = await open_proxy()
    with pytest.raises(InvalidEncryptionKeyAPIError):
        async with peer_of(proxy, new_noise_psk()):
            pass


async def test_api_client_connects_and_reads(open_proxy: OpenProxy) -> None:
    """It connects, finds the services, reads, and gives the slot back."""
    proxy = await open_proxy()
    async with peer_of(proxy) as peer:
        stop = await peer.connect()
        assert await peer.notice() == (True, 247, 0)
        assert await peer.slots_are(2) == (2, 3, [NUMBER])
        handle = await peer.handle(READ)
        assert await peer.client.bluetooth_gatt_read(NUMBER, handle) == b"hello"
        await peer.client.bluetooth_device_disconnect(NUMBER)
        assert await peer.notice() == (False, 0, 0)
        assert await peer.slots_are(3) == (3, 3, [])
        stop()


async def test_api_client_writes_and_is_notified(open_proxy: OpenProxy) -> None:
    """What it writes is read back, and notified once the CCCD is written."""
    proxy = await open_proxy()
    notified: asyncio.Queue[bytes] = asyncio.Queue()
    async with peer_of(proxy) as peer:
        client, stop = peer.client, await peer.connect()
        handle = await peer.handle(ECHO)
        stop_notify, _ = await client.bluetooth_gatt_start_notify(
            NUMBER, handle, lambda of, data: notified.put_nowait(bytes(data))
        )
        await client.bluetooth_gatt_write_descriptor(NUMBER, handle + 1, b"\1\0")
        await client.bluetooth_gatt_write(NUMBER, handle, b"abc", True)
        async with asyncio.timeout(DEADLINE):
            assert await notified.get() == b"cba"
        assert await client.bluetooth_gatt_read(NUMBER, handle) == b"abc"
        assert await client.bluetooth_gatt_read_descriptor(NUMBER, handle + 1) == b"\1\0"
        await stop_notify()
        await client.bluetooth_device_disconnect(NUMBER)
        stop()


async def test_api_client_reads_error(open_proxy: OpenProxy) -> None:
    """An ATT error reaches it with its number."""
    proxy = await open_proxy()
    async with peer_of(proxy) as peer:
        stop = await peer.connect()
        with pytest.raises(BluetoothGATTAPIError) as caught:
            await peer.client.bluetooth_gatt_read(NUMBER, 999)
        assert (caught.value.error.handle, caught.value.error.error) == (999, 1)
        stop()


async def test_api_client_pairs_and_sets_parameters(open_proxy: OpenProxy) -> None:
    """It pairs, unpairs, clears the cache and sets connection parameters."""
    proxy = await open_proxy()
    async with peer_of(proxy) as peer:
        client, stop = peer.client, await peer.connect()
        assert (await client.bluetooth_device_pair(NUMBER)).paired
        await client.bluetooth_device_set_connection_params(NUMBER, 80, 90, 1, 600)
        assert (await client.bluetooth_device_unpair(NUMBER)).success
        assert (await client.bluetooth_device_clear_cache(NUMBER)).success
        assert proxy.snapshot().parameters == {address(1): LinkParameters(80, 90, 1, 600)}
        stop()


@pytest.mark.parametrize(("profile", "notices"), [(TELLS_REASONS, [0x3E, 0x85]), (NEWEST, [0x85])])
async def test_api_client_hears_failure(
    open_proxy: OpenProxy, profile: str, notices: list[int]
) -> None:
    """A failed attempt is told with the generic error, before 2026.8 with its reason first."""
    proxy = await open_proxy(peripheral(1, [Outcome(reason=0x3E)]), profile=profile)
    async with peer_of(proxy) as peer:
        stop = await peer.connect()
        assert [await peer.notice() for _ in notices] == [(False, 0, error) for error in notices]
        await asyncio.sleep(0.1)
        assert peer.notices.empty()
        stop()
