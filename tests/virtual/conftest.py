"""What the tests of virtual proxies share: a fleet, and aioesphomeapi as its peer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any

import pytest
from aioesphomeapi import api_pb2
from aioesphomeapi.connection import APIConnection, ConnectionParams
from aioesphomeapi.core import MESSAGE_TYPE_TO_PROTO
from aioesphomeapi.zeroconf import ZeroconfManager

from proxyconn_virtual.firmware.profiles import NEWEST
from proxyconn_virtual.firmware.timings import Timings
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy

api: Any = api_pb2
"""aioesphomeapi's messages, whose generated module has no types."""

DEADLINE = 5.0
"""Seconds within which anything that should happen has happened."""

QUICK = Timings(orphan=0.02, advert_flush=0.02, close_lost=0.1)

WITH_CACHE = api.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITH_CACHE
WITHOUT_CACHE = api.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
DISCONNECT = api.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT

FIRST = 0xC40000000001


def address(number: int) -> str:
    """Return the address text of the numbered peripheral."""
    return f"C4:00:00:00:00:{number:02X}"


def peripheral(number: int = 1, **changes: Any) -> Peripheral:
    """Return a quick peripheral that the proxy named "kitchen" hears."""
    values: dict[str, Any] = {
        "address": address(number),
        "name": f"device {number}",
        "services": (
            ServiceSpec(
                0x180F,
                (CharacteristicSpec(0x2A19, Properties.READ | Properties.NOTIFY, b"\x58"),),
            ),
        ),
        "rssi": {"kitchen": -60},
        "interval": 0.02,
        "latency": 0.0,
        "att_latency": 0.0,
    }
    return Peripheral(**(values | changes))


class Peer:
    """aioesphomeapi's connection, with everything that it receives in order."""

    def __init__(self, proxy: VirtualProxy, *, noise_psk: str | None = None) -> None:
        params = ConnectionParams(
            addresses=["127.0.0.1"],
            port=proxy.port,
            password=None,
            client_info="peer",
            keepalive=20.0,
            zeroconf_manager=ZeroconfManager(),
            noise_psk=noise_psk or proxy.noise_psk,
            expected_name=None,
            expected_mac=None,
        )
        self.stopped = asyncio.Event()
        self.connection = APIConnection(params, self._stop, False, "peer")
        self.inbox: asyncio.Queue[Any] = asyncio.Queue()

    def _stop(self, expected: bool) -> None:
        self.stopped.set()

    async def connect(self) -> None:
        """Connect and say Hello."""
        classes = tuple(c for n, c in MESSAGE_TYPE_TO_PROTO.items() if n > 10)
        self.connection.add_message_callback(self.inbox.put_nowait, classes)
        await self.connection.start_resolve_host()
        await self.connection.start_connection()
        await self.connection.finish_connection(login=False)

    async def close(self) -> None:
        """Leave, as a client does."""
        if self.connection.is_connected:
            await self.connection.disconnect()

    def send(self, message: Any) -> None:
        """Send a message."""
        self.connection.send_message(message)

    def subscribe(self) -> None:
        """Ask for advertisements, and with them everything else."""
        self.send(api.SubscribeBluetoothLEAdvertisementsRequest(flags=1))

    def ask(self, kind: int, device: int = FIRST, address_type: int | None = 1) -> None:
        """Send message 68."""
        self.send(
            api.BluetoothDeviceRequest(
                address=device,
                request_type=kind,
                has_address_type=address_type is not None,
                address_type=address_type or 0,
            )
        )

    async def next(self, *skip: type[Any]) -> Any:
        """Return the next message, in order, that is no advertisement or scanner state."""
        unwanted = (
            api.BluetoothLERawAdvertisementsResponse,
            api.BluetoothScannerStateResponse,
            *skip,
        )
        async with asyncio.timeout(DEADLINE):
            while isinstance(message := await self.inbox.get(), unwanted):
                pass
        return message

    async def wait_for(self, wanted: type[Any]) -> Any:
        """Return the next message of a class, and forget those before it."""
        async with asyncio.timeout(DEADLINE):
            while not isinstance(message := await self.inbox.get(), wanted):
                pass
        return message

    async def steps(self, count: int) -> list[tuple[Any, ...]]:
        """Return the next messages in brief; see `brief`."""
        return [brief(await self.next()) for _ in range(count)]

    async def reconnect(self) -> None:
        """Disconnect from the first peripheral, and connect again."""
        self.ask(DISCONNECT)
        await self.steps(2)
        self.ask(WITHOUT_CACHE)
        await self.steps(3)

    async def quiet(self) -> list[tuple[Any, ...]]:
        """Return what comes before the answer to a message that is always answered at once."""
        self.send(api.ListEntitiesRequest())
        seen: list[tuple[Any, ...]] = []
        while True:
            message = await self.next()
            if isinstance(message, api.ListEntitiesDoneResponse):
                return seen
            seen.append(brief(message))


def brief(message: Any) -> tuple[Any, ...]:
    """Return message 69 as ("conn", connected, mtu, error), 81 as ("slots", free, *last octets)."""
    if isinstance(message, api.BluetoothDeviceConnectionResponse):
        return ("conn", message.connected, message.mtu, message.error)
    if isinstance(message, api.BluetoothConnectionsFreeResponse):
        return ("slots", message.free, *(a & 0xFF for a in message.allocated))
    values = [value for field, value in message.ListFields() if field.name != "address"]
    return (type(message).__name__, *values)


class Bench:
    """Starts fleets and peers, and ends them after the test.

    Args:
        stack: ends what is started.
        profile: firmware of proxies for which none is named.
    """

    def __init__(self, stack: AsyncExitStack, profile: str = NEWEST) -> None:
        self._stack = stack
        self._profile = profile

    async def fleet(self, specs: list[ProxySpec], devices: list[Peripheral]) -> VirtualFleet:
        """Start a fleet that is not announced."""
        fleet = VirtualFleet(specs, devices, announce=False)
        return await self._stack.enter_async_context(fleet)

    async def proxy(self, *devices: Peripheral, **spec: Any) -> VirtualProxy:
        """Start one proxy, named "kitchen"."""
        values: dict[str, Any] = {
            "name": "kitchen",
            "timings": QUICK,
            "profile": self._profile,
        } | spec
        fleet = await self.fleet([ProxySpec(**values)], list(devices))
        return fleet.proxies["kitchen"]

    async def peer(self, proxy: VirtualProxy, *, subscribe: bool = False) -> Peer:
        """Connect a peer."""
        peer = Peer(proxy)
        await peer.connect()
        self._stack.push_async_callback(peer.close)
        if subscribe:
            peer.subscribe()
            await peer.wait_for(api.BluetoothLERawAdvertisementsResponse)
        return peer

    async def pair(self, *devices: Peripheral, **spec: Any) -> tuple[VirtualProxy, Peer]:
        """Start one proxy, and connect a peer that is subscribed."""
        proxy = await self.proxy(*devices, **spec)
        return proxy, await self.peer(proxy, subscribe=True)


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    """Return a bench."""
    async with AsyncExitStack() as stack:
        yield Bench(stack)


LONG_UUID = "12345678-9abc-def0-1122-334455667788"
EVERYTHING = (
    Properties.READ
    | Properties.WRITE
    | Properties.WRITE_WITHOUT_RESPONSE
    | Properties.NOTIFY
    | Properties.INDICATE
)
OPEN, OPEN_CCCD, SECRET, WRITE_ONLY, READ_ONLY = 12, 13, 15, 17, 19
"""Handles; 1..9 are Generic Access and Generic Attribute."""


def device(number: int = 1, **changes: object) -> Peripheral:
    """Return a peripheral with a value of every manner."""
    service = ServiceSpec(
        LONG_UUID,
        (
            CharacteristicSpec(0x2A19, EVERYTHING, b"\x58", on_write=lambda value: value),
            CharacteristicSpec(
                LONG_UUID, Properties.READ | Properties.WRITE, b"\1", encrypted=True
            ),
            CharacteristicSpec(0x2A06, Properties.WRITE),
            CharacteristicSpec(0x2A00, Properties.READ, bytes(600)),
        ),
    )
    return peripheral(number, services=(service,), **changes)


async def linked(bench: Bench, *, kind: int = WITHOUT_CACHE, **spec: object) -> Peer:
    """Return a peer that has a link to the device."""
    _, peer = await bench.pair(device(), **spec)
    peer.ask(kind)
    await peer.steps(3)
    return peer


def read(handle: int, device: int = FIRST) -> object:
    """Return a read request."""
    return api.BluetoothGATTReadRequest(address=device, handle=handle)


async def until(condition: Callable[[], bool]) -> None:
    """Wait, within the deadline, for something that tells nobody when it happens."""
    async with asyncio.timeout(DEADLINE):
        while not condition():  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0.001)
