"""The virtual proxy against a client that sends what it likes."""

from __future__ import annotations

import asyncio
from typing import Protocol

from bleak.backends.device import BLEDevice

from proxyconn import BleakClientWithServiceCache, Proxy
from proxyconn.radio import ROUTE
from proxyconn_esphome import ESPHomeClient, ProxySession
from proxyconn_esphome.session_route import SessionRoute
from proxyconn_native_api.frames import PlaintextFrames
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy
from proxyconn_virtual.simulated import SimulatedAir
from scripts.chaos_run.noise_client import Initiator

from .choices import Choices
from .client_target import ADDRESS, FIRMWARE, KEY, READ, peripherals
from .messages import KNOWN_ADDRESS, TO_PROXY, mutated, random_message
from .world import BrokenError, run

MOST_FRAMES = 60
"""Frames that a hostile client sends at most."""

SETTLED = 40.0
"""Seconds in which a proxy gives up whatever a client that has gone asked of it."""

CONNECT = pb.BluetoothDeviceRequest(
    address=KNOWN_ADDRESS,
    request_type=pb.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE,
    has_address_type=True,
    address_type=1,
)

OPENINGS = (
    (),
    ((1, pb.HelloRequest(api_version_major=1, api_version_minor=12)),),
    (
        (1, pb.HelloRequest(api_version_major=1, api_version_minor=12)),
        (66, pb.SubscribeBluetoothLEAdvertisementsRequest(flags=1)),
    ),
    (
        (1, pb.HelloRequest(api_version_major=1, api_version_minor=12)),
        (66, pb.SubscribeBluetoothLEAdvertisementsRequest(flags=1)),
        (68, CONNECT),
    ),
)
"""How far a client behaves before it does not."""


class Server(Protocol):
    """Where a hostile client goes."""

    host: str
    port: int
    noise_psk: str | None


def fuzz_server(tape: bytes) -> None:
    """Run one hostile client, then a good one. Raises BrokenError."""
    run(_session(Choices(tape)))


async def _session(choices: Choices) -> None:
    key = KEY if choices.byte() & 1 else None
    profile = choices.pick(FIRMWARE)
    air = SimulatedAir(peripherals(), 0)
    spec = ProxySpec(name="kitchen", noise_psk=key, profile=profile)
    proxy = VirtualProxy(spec, air.radio("kitchen"))
    await air.start()
    await proxy.start()
    try:
        for _ in range(1 + choices.below(3)):
            await hostile(proxy, choices)
        await asyncio.sleep(SETTLED)
        await good(proxy, connects=proxy.profile.connects)
        await asyncio.sleep(1)
        if held := proxy.snapshot().slots:
            raise BrokenError(f"still held: {held}")
        if left := proxy.server.sessions:
            raise BrokenError(f"sessions left: {left}")
    finally:
        await proxy.stop()
        await air.stop()


async def hostile(proxy: Server, choices: Choices) -> None:
    """Run a hostile client of a proxy."""
    reader, writer = await asyncio.open_connection(proxy.host, proxy.port)
    try:
        frames: Initiator | PlaintextFrames = PlaintextFrames()
        if proxy.noise_psk:
            frames = await _shake(reader, writer, choices)
        for number, message in choices.pick(OPENINGS):
            writer.write(frames.encode(number, message.SerializeToString()))
        await asyncio.sleep(choices.below(8) / 4)
        for _ in range(choices.below(MOST_FRAMES)):
            writer.write(_frame(frames, choices))
            if choices.chance(4):
                await asyncio.sleep(choices.below(40) / 4)
        if choices.chance(2):
            writer.transport.abort()
    except (ConnectionError, asyncio.IncompleteReadError):
        pass  # the proxy has hung up, as it should
    finally:
        writer.close()


async def _shake(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, choices: Choices
) -> Initiator | PlaintextFrames:
    initiator = Initiator(KEY)
    opening = initiator.opening()
    if choices.chance(4):
        writer.write(mutated(opening, choices))
        return PlaintextFrames()
    writer.write(opening)
    async with asyncio.timeout(10):
        for _ in range(2):
            header = await reader.readexactly(3)
            body = await reader.readexactly(int.from_bytes(header[1:], "big"))
    initiator.answered(body[1:])
    return initiator


def _frame(frames: Initiator | PlaintextFrames, choices: Choices) -> bytes:
    number, payload = random_message(choices, TO_PROXY)
    how = choices.below(12)
    if how == 0:
        return frames.encode(number, mutated(payload, choices))
    if how == 1:
        return mutated(frames.encode(number, payload), choices)
    if how == 2:
        return choices.bytes(choices.below(64))
    if how == 3:
        return frames.encode(choices.number(16), payload)
    if how == 4:
        return frames.encode(number, payload * (1 + choices.below(600)))[:40000]
    if how == 5:
        return b"".join(frames.encode(number, payload) for _ in range(choices.below(300)))
    return frames.encode(number, payload)


def device_of(session: ProxySession) -> BLEDevice:
    """Return the device as a session reaches it."""
    details = {"address_type": 1, ROUTE: SessionRoute(session, -50, ESPHomeClient)}
    return BLEDevice(ADDRESS, "device 1", details)


async def good(proxy: Server, *, connects: bool = True) -> None:
    """See that a client which behaves is served, if only by listening. Raises BrokenError."""
    async with ProxySession(Proxy(proxy.host, proxy.port, proxy.noise_psk)) as session:
        await session.ready(60)
        if not connects:
            return
        device = device_of(session)
        async with BleakClientWithServiceCache(device) as client:
            if await client.read_gatt_char(READ) != b"hello":
                raise BrokenError("another value was read")
