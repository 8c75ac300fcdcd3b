"""The client and a fleet on top of it, against a proxy that sends what it likes."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable
from typing import Any

from bleak.exc import BleakError

from proxyconn import (
    BleakClientWithServiceCache,
    Fleet,
    Proxy,
    RadioUnavailableError,
    establish_connection,
)
from proxyconn_esphome.backend import ESPHomeRadio
from proxyconn_virtual.firmware.profiles import KNOWN
from proxyconn_virtual.peripheral import (
    CharacteristicSpec,
    Peripheral,
    Properties,
    ServiceSpec,
)
from proxyconn_virtual.proxy import ProxySpec
from proxyconn_virtual.simulated import SimulatedAir

from .choices import Choices
from .hostile_proxy import HostileProxy
from .world import BrokenError, run

KEY = base64.b64encode(bytes(range(32))).decode()

FIRMWARE = tuple(KNOWN)
"""What the proxy runs: an ESP32 of every release, a Pico W, a BK72xx, which only listens."""

READ = "0000fff1-0000-1000-8000-00805f9b34fb"
ECHO = "0000fff2-0000-1000-8000-00805f9b34fb"
NOTIFY = "0000fff3-0000-1000-8000-00805f9b34fb"
ADDRESS = "C4:00:00:00:00:01"
ADDRESS_TYPE = 1

LONGEST_STEP = 150.0
"""Seconds for one step of the program; the longest wait for slot, turn, link and reply together."""

RECOVERY = 300.0
"""Seconds for the fleet to use a proxy again that behaves; the longest backoff is 60 s."""

SETTLED = 10.0
"""Seconds after which nothing is held any more; a slot report may be 5 s old."""

Step = Callable[[BleakClientWithServiceCache], Awaitable[Any]]


async def _read_a_descriptor(client: BleakClientWithServiceCache) -> bytearray:
    return await client.read_gatt_descriptor(max(client.services.descriptors, default=0))


STEPS: tuple[Step, ...] = (
    lambda client: client.read_gatt_char(READ),
    lambda client: client.write_gatt_char(ECHO, b"abc", response=True),
    lambda client: client.write_gatt_char(ECHO, b"abc", response=False),
    lambda client: client.start_notify(NOTIFY, lambda *_: None),
    lambda client: client.stop_notify(NOTIFY),
    _read_a_descriptor,
    lambda client: client.pair(),
    lambda client: client.unpair(),
    lambda client: client.clear_cache(),
    lambda client: client.set_connection_params(800, 800, 0, 600),
    lambda client: client.disconnect(),
)


def fuzz_client(tape: bytes) -> None:
    """Run one hostile session, then a good one. Raises BrokenError."""
    run(_session(Choices(tape)))


def peripherals() -> list[Peripheral]:
    """Return the devices around the proxy."""
    everything = Properties.READ | Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
    return [
        Peripheral(
            f"C4:00:00:00:00:{number:02X}",
            f"device {number}",
            services=[
                ServiceSpec(
                    0xFFF0,
                    [
                        CharacteristicSpec(0xFFF1, Properties.READ, b"hello"),
                        CharacteristicSpec(0xFFF2, everything, b""),
                        CharacteristicSpec(0xFFF3, Properties.NOTIFY, notify_every=0.5),
                    ],
                )
            ],
            rssi={"kitchen": -50},
            interval=1.0,
            latency=0.005,
            att_latency=0.001,
        )
        for number in (1, 2)
    ]


async def _session(choices: Choices) -> None:
    key = KEY if choices.byte() & 1 else None
    spec = ProxySpec(name="kitchen", noise_psk=key, profile=choices.pick(FIRMWARE))
    air = SimulatedAir(peripherals(), 0)
    proxy = HostileProxy(spec, air.radio("kitchen"), choices)
    await air.start()
    await proxy.start()
    try:
        async with Fleet(
            [Proxy(proxy.host, proxy.port, key, name="kitchen")], discover=False
        ) as fleet:
            proxy.poke_on()
            await _misused(fleet, choices)
            proxy.poke_off()
            await proxy.kill()
            choices.bytes(1 << 20)
            await proxy.start()
            await _recovered(fleet, proxy)
    finally:
        proxy.poke_off()
        await proxy.stop()
        await air.stop()


async def _misused(fleet: Fleet, choices: Choices) -> None:
    """Use the fleet as a program would, whatever comes of it."""
    await _step(fleet.ready(timeout=15))
    for _ in range(1 + choices.below(3)):
        client = BleakClientWithServiceCache(fleet.known_device(ADDRESS, 1))
        await _step(client.connect(timeout=10))
        for _ in range(choices.below(6)):
            await _step(choices.pick(STEPS)(client))
        await _step(client.disconnect())
        fleet.diagnostics()


async def _step(operation: Awaitable[Any]) -> None:
    """Await an operation, which ends in time and raises nothing but what is documented."""
    try:
        async with asyncio.timeout(LONGEST_STEP) as limit:
            await operation
    except (BleakError, TimeoutError):
        if limit.expired():
            raise BrokenError(f"{operation!r} is not over after {LONGEST_STEP:g} s") from None


async def _recovered(fleet: Fleet, proxy: HostileProxy) -> None:
    """See that the fleet works with a good proxy, and holds nothing afterwards."""
    [radio] = fleet.radios
    assert isinstance(radio, ESPHomeRadio)
    if radio.session.mac not in (None, proxy.mac.replace(":", "").lower()):
        # It said to be another device before, so this one is refused.
        await _refused(fleet)
        return
    await fleet.ready(timeout=RECOVERY)
    device = await fleet.find_device(ADDRESS, timeout=30)
    if not proxy.profile.connects:
        return
    # A wrong type that was heard is believed until the device says something else.
    device.details["address_type"] = ADDRESS_TYPE
    client = await establish_connection(BleakClientWithServiceCache, device, "device 1")
    if await client.read_gatt_char(READ) != b"hello":
        raise BrokenError("another value was read")
    await client.disconnect()
    await asyncio.sleep(SETTLED)
    if held := {what: value for what, value in _holdings(fleet, radio, proxy).items() if value}:
        raise BrokenError(f"still held: {held}")


async def _refused(fleet: Fleet) -> None:
    try:
        await fleet.ready(timeout=RECOVERY)
    except RadioUnavailableError:
        return
    raise BrokenError("another device was taken for the proxy")


def _holdings(fleet: Fleet, radio: ESPHomeRadio, proxy: HostileProxy) -> dict[str, object]:
    session = radio.session
    return {
        "claims": session.ledger.claims,
        "opening": session.attempts.opening,
        "abandoned": session.attempts.abandoned,
        "links": session.dispatcher.links,
        "loose": session.dispatcher.loose,
        "waiting": session.queue.waiting,
        "turn": session.turn.locked(),
        "queue": fleet.diagnostics()["waiting"],
        "slots": proxy.snapshot().slots,
    }
