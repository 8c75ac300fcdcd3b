"""Tables of services that are out of date, and the proxies that keep them."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import pytest
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache, Fleet, GATTError, Proxy
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Injector, Passed, Replace
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec

from .conftest import BEDROOM, KEY, KITCHEN, VALUE, address, peripheral, until

CLEAR = pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CLEAR_CACHE


class Clearings(Injector):
    """Notes which proxies are told to clear what they keep."""

    def __init__(self, name: str, cleared: list[str]) -> None:
        self._name = name
        self._cleared = cleared

    def incoming(self, message: Message) -> Passed:
        """Note a request to clear."""
        if isinstance(message, pb.BluetoothDeviceRequest) and message.request_type == CLEAR:
            self._cleared.append(self._name)
        return (message,)


@dataclass
class Place:
    """A device that two proxies hear, and their fleet."""

    virtual: VirtualFleet
    fleet: Fleet
    cleared: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        for name, proxy in self.virtual.proxies.items():
            proxy.injectors.append(Clearings(name, self.cleared))

    async def client(self, through: str) -> BleakClientWithServiceCache:
        """Return a client for the device that takes one proxy, once both have heard it."""
        await until(lambda: len(self.fleet.paths(address(1))) == 2)
        device = await self.fleet.find_device(address(1), timeout=5, require=[through])
        assert device
        return BleakClientWithServiceCache(device)

    async def visit(self, through: str) -> int:
        """Connect through one proxy, and leave; return how often it was asked for services."""
        received = self.virtual.proxies[through].snapshot().received
        before = received.get("BluetoothGATTGetServicesRequest", 0)
        client = await self.client(through)
        await client.connect(dangerous_use_bleak_cache=True)
        assert await client.read_gatt_char(VALUE) == b"value 1"
        await client.disconnect()
        received = self.virtual.proxies[through].snapshot().received
        return received.get("BluetoothGATTGetServicesRequest", 0) - before

    async def stumble(self, through: str) -> None:
        """Find through one proxy that a handle is none, and leave."""
        client = await self.client(through)
        await client.connect(dangerous_use_bleak_cache=True)
        error = Replace(pb.BluetoothGATTReadResponse, by=_invalid)
        self.virtual.proxies[through].injectors.append(error)
        with pytest.raises(GATTError):
            await client.read_gatt_char(VALUE)
        self.virtual.proxies[through].injectors.remove(error)
        await client.disconnect()


def _invalid(message: Message) -> Passed:
    assert isinstance(message, pb.BluetoothGATTReadResponse)
    return [pb.BluetoothGATTErrorResponse(address=message.address, handle=message.handle, error=1)]


@asynccontextmanager
async def place() -> AsyncIterator[Place]:
    """Run two proxies and a fleet that knows them."""
    specs = [ProxySpec(name=name, noise_psk=KEY) for name in (KITCHEN, BEDROOM)]
    devices = [peripheral(1, kitchen=-50, bedroom=-70)]
    async with VirtualFleet(specs, devices, announce=False) as virtual:
        proxies = [
            Proxy("127.0.0.1", proxy.port, noise_psk=KEY, name=name)
            for name, proxy in virtual.proxies.items()
        ]
        async with Fleet(proxies, discover=False, local_adapters=False) as fleet:
            await fleet.ready(2, timeout=5)
            yield Place(virtual, fleet)


async def test_the_proxy_that_keeps_a_stale_table_is_cleared() -> None:
    """It is cleared though the next connect goes through another proxy, and only once."""
    async with place() as here:
        await here.stumble(KITCHEN)
        assert await here.visit(BEDROOM) == 1
        assert here.cleared == [KITCHEN]
        assert await here.visit(KITCHEN) == 0
        assert here.cleared == [KITCHEN]


async def test_every_proxy_that_may_keep_a_stale_table_is_cleared() -> None:
    """The device has changed, not the proxy: each one that discovered it knows the old table."""
    async with place() as here:
        await here.visit(BEDROOM)
        client = await here.client(KITCHEN)
        await client.connect()
        await client.disconnect()
        await here.stumble(KITCHEN)
        await here.visit(KITCHEN)
        assert sorted(here.cleared) == sorted([KITCHEN, BEDROOM])


async def test_a_proxy_that_is_away_is_cleared_when_it_is_back() -> None:
    """Its table is not forgotten to be forgotten, and nobody waits for it meanwhile."""
    async with place() as here:
        await here.stumble(KITCHEN)
        kitchen = here.virtual.proxies[KITCHEN]
        await kitchen.kill()
        await here.visit(BEDROOM)
        assert here.cleared == []
        await kitchen.start()
        await here.fleet.ready(2, timeout=15)
        await here.visit(KITCHEN)
        assert here.cleared == [KITCHEN]


async def test_clear_cache_without_a_usable_radio_forgets() -> None:
    """It says that the proxy is still to be cleared; what is known here is known no more."""
    async with place() as here:
        await here.visit(KITCHEN)
        client = await here.client(KITCHEN)
        await client.connect(dangerous_use_bleak_cache=True)
        kitchen, bedroom = (here.virtual.proxies[name] for name in (KITCHEN, BEDROOM))
        await bedroom.kill()
        await kitchen.kill()
        await until(lambda: not client.is_connected)
        assert await client.clear_cache() is False
        await kitchen.start()
        await here.fleet.ready(1, timeout=15)
        await client.connect(dangerous_use_bleak_cache=True)
        assert here.cleared == [KITCHEN]
        assert kitchen.snapshot().received["BluetoothGATTGetServicesRequest"] == 1
        await client.disconnect()
