"""The demo's app: it is given an interface, a key and addresses, as it would be in any house."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field

from bleak.backends.characteristic import BleakGATTCharacteristic
from zeroconf.asyncio import AsyncZeroconf

from proxyconn import (
    BleakClientWithServiceCache,
    ErrorKind,
    Fleet,
    GATTError,
    ProxyconnError,
    RadioState,
    Retry,
    establish_connection,
)
from proxyconn.cli.display.rows import Row, device_row, proxy_row
from proxyconn.cli.display.tables import devices_table, proxies_table, slots_table
from proxyconn_virtual.commands.demo_stage import Stage

PROXIES = 3
SLOTS = 3
DEVICES = 10

LATE = "Cellar sensor"
"""The tenth device: it comes when every slot is taken."""

GIVEN_UP = "Wall button"
"""The device that makes room for it."""

SLOT_FREED_AFTER = 1.0
"""Seconds that the tenth device waits before a slot is given back."""

LONGEST_TURNROUND = 4.0
"""Seconds after which the tenth device would have been helped by a timer, not by the report."""

VALUES = 10
BATTERY_LEVEL = "2a19"
MODEL_NUMBER = "2a24"
HEART_RATE_MEASUREMENT = "2a37"
LAMP_STATE = "6d1f0002-52a7-4f3c-9d0a-0a7c1f6e2b10"
LOCK_STATE = "8b2e0002-7c15-4a4e-8f0b-3d9a5c417e22"
BRIGHTNESS = 64
LOCKED = 1
PARAMETERS = (24, 40, 0, 400)
"""30 to 50 ms, no latency, 4 s."""

Clients = dict[str, BleakClientWithServiceCache]


@dataclass(frozen=True, slots=True)
class Access:
    """All the app knows of the house.

    Attributes:
        interface: IP address of the interface that the proxies are on.
        noise_psk: their key.
        addresses: name -> address of the devices.
    """

    interface: str
    noise_psk: str = field(repr=False)
    addresses: Mapping[str, str]


@asynccontextmanager
async def open_fleet(access: Access) -> AsyncIterator[Fleet]:
    """Open a fleet that knows no proxy beforehand."""
    async with AsyncExitStack() as stack:
        zeroconf = AsyncZeroconf(interfaces=[access.interface])
        stack.push_async_callback(zeroconf.async_close)
        fleet = Fleet(
            discover=True, noise_psk=access.noise_psk, zeroconf=zeroconf, state=None, owner=False
        )
        yield await stack.enter_async_context(fleet)


def joined(fleet: Fleet) -> list[Row]:
    """Return the proxies that are ready, by name; the key opens no others."""
    rows = [proxy_row(radio) for radio in fleet.radios if radio.state is RadioState.READY]
    return sorted(rows, key=lambda row: str(row["name"]))


async def join(fleet: Fleet, stage: Stage) -> None:
    """Find the proxies and join them."""
    with stage.step("Find the proxies by mDNS and join them with Noise", "waiting for proxies"):
        await fleet.ready(PROXIES, timeout=15.0)
        rows = joined(fleet)
        stage.show(proxies_table(rows))
        stage.confirm(
            len(rows) == PROXIES, f"{PROXIES} proxies are ready; none was named beforehand"
        )
        stage.confirm(all(row["encrypted"] for row in rows), "every session is encrypted")


async def listen(fleet: Fleet, stage: Stage, access: Access) -> None:
    """Hear every device through every proxy."""
    with stage.step("Listen", "waiting for advertisements"):
        heard = set(access.addresses.values())
        async with asyncio.timeout(15.0):
            async for _ in fleet.advertisements():
                if all(len(fleet.paths(address)) == PROXIES for address in heard):
                    break
        rows = [device_row(fleet, device) for device in fleet.devices]
        stage.show(devices_table(rows, [row["name"] for row in joined(fleet)]))
        stage.confirm(
            len(rows) == len(heard) == DEVICES,
            f"{DEVICES} devices heard, each by {PROXIES} proxies (signal strength in dBm)",
        )


@dataclass(frozen=True, slots=True)
class Retried:
    """An attempt that failed, and when, in the loop's time."""

    name: str
    retry: Retry
    at: float


class Connector:
    """Connects devices by name, and keeps every retry.

    Args:
        fleet: the fleet.
        stage: told of every retry.
        access: where the devices are.
    """

    def __init__(self, fleet: Fleet, stage: Stage, access: Access) -> None:
        self.fleet = fleet
        self.stage = stage
        self.access = access
        self.retries: list[Retried] = []
        self.connected_at: dict[str, float] = {}
        self._loop = asyncio.get_running_loop()

    async def connect(self, name: str) -> BleakClientWithServiceCache:
        """Connect one device."""

        def retried(retry: Retry) -> None:
            self.retries.append(Retried(name, retry, self._loop.time()))
            self.stage.retry(
                f"{name}, attempt {retry.attempt}: {retry.error}; next within {retry.wait:g} s"
            )

        device = await self.fleet.find_device(self.access.addresses[name])
        client = await establish_connection(
            BleakClientWithServiceCache, device, name, deadline=30.0, on_retry=retried
        )
        self.connected_at[name] = self._loop.time()
        return client

    async def connect_all(self, names: Iterable[str]) -> Clients:
        """Connect several devices at once."""
        async with asyncio.TaskGroup() as group:
            tasks = {name: group.create_task(self.connect(name)) for name in names}
        return {name: task.result() for name, task in tasks.items()}

    def confirm_recovery(self, kind: ErrorKind, code: str, times: int) -> None:
        """Confirm that so many attempts failed so, and that each device was then connected."""
        found = [
            one
            for one in self.retries
            if one.retry.kind is kind and _code_name(one.retry.error) == code
        ]
        self.stage.confirm(len(found) == times, f"{code} was reported {times} times")
        for one in found:
            took = self.connected_at[one.name] - one.at
            self.stage.confirm(
                took >= one.retry.wait,
                f"{one.name} was tried again after {one.retry.wait:g} s, and is connected",
            )


def _code_name(error: BaseException) -> str | None:
    code = error.code if isinstance(error, ProxyconnError) else None
    return None if code is None else code.name


async def connect_nine(connector: Connector) -> Clients:
    """Take every slot there is; two devices fail at first."""
    fleet, stage, access = connector.fleet, connector.stage, connector.access
    show_slots(fleet, stage, access, "Connection slots before")
    with stage.step("Connect nine devices at once", "connecting"):
        clients = await connector.connect_all(name for name in access.addresses if name != LATE)
        up = sum(client.is_connected for client in clients.values())
        stage.confirm(up == PROXIES * SLOTS, f"{up} devices are connected at once")
        # From firmware 2026.8 on, what the radio knew of a failed open stays in the proxy.
        connector.confirm_recovery(ErrorKind.STACK_ERROR, "ESP_GATT_ERROR", 2)
    show_slots(fleet, stage, access, "Connection slots during")
    return clients


def show_slots(fleet: Fleet, stage: Stage, access: Access, title: str) -> None:
    """Print the slots of every proxy as it reports them."""
    names = {address: name for name, address in access.addresses.items()}
    stage.title(title)
    stage.show(slots_table(joined(fleet), names.get, stage.console))


async def connect_tenth(connector: Connector, clients: Clients) -> None:
    """Wait for a slot, with every one taken, and go on as soon as one is reported free."""
    fleet, stage, access = connector.fleet, connector.stage, connector.access
    with stage.step("Connect a tenth device while all nine slots are taken", "waiting for a slot"):
        async with asyncio.TaskGroup() as group:
            waiting = group.create_task(connector.connect(LATE))
            await asyncio.sleep(SLOT_FREED_AFTER)
            stage.confirm(
                fleet.waiting == [access.addresses[LATE]],
                f"{LATE} waits in the queue: no slot is free, so no proxy is asked for one",
            )
            stage.say(f"{GIVEN_UP} is disconnected after {SLOT_FREED_AFTER:g} s.")
            await clients.pop(GIVEN_UP).disconnect()
            freed_at = asyncio.get_running_loop().time()
            clients[LATE] = await waiting
        took = connector.connected_at[LATE] - freed_at
        stage.confirm(
            took < LONGEST_TURNROUND and not any(one.name == LATE for one in connector.retries),
            f"{LATE} is connected {took:.2f} s after that slot came free, at its first attempt",
        )


async def read_and_write(stage: Stage, clients: Clients) -> None:
    """Read a value, write another and read it back."""
    with stage.step("Read and write", "reading and writing"):
        model = bytes(await clients["Thermometer"].read_gatt_char(MODEL_NUMBER)).decode()
        level = (await clients["Thermometer"].read_gatt_char(BATTERY_LEVEL))[0]
        stage.confirm(0 <= level <= 100, f'read: model "{model}", battery {level} %')
        lamp = clients["Lamp"]
        before = (await lamp.read_gatt_char(LAMP_STATE))[0]
        await lamp.write_gatt_char(LAMP_STATE, bytes((BRIGHTNESS,)), response=True)
        after = (await lamp.read_gatt_char(LAMP_STATE))[0]
        stage.confirm(
            before != BRIGHTNESS == after,
            f"written: the lamp's brightness was {before}, {after} is read back",
        )


async def notifications(stage: Stage, clients: Clients) -> None:
    """Receive what a device notifies by itself."""
    beats: list[int] = []
    enough = asyncio.Event()

    def take(sender: BleakGATTCharacteristic, value: bytearray) -> None:
        beats.append(value[1])
        if len(beats) == VALUES:
            enough.set()

    with stage.step("Receive notifications", "waiting for notifications"):
        strap = clients["Heart rate strap"]
        started = time.monotonic()
        await strap.start_notify(HEART_RATE_MEASUREMENT, take)
        async with asyncio.timeout(10.0):
            await enough.wait()
        took = time.monotonic() - started
        await strap.stop_notify(HEART_RATE_MEASUREMENT)
        shown = " ".join(map(str, beats[:VALUES]))
        stage.confirm(len(beats) >= VALUES, f"{VALUES} heart rates in {took:.2f} s: {shown}")


async def pair(stage: Stage, clients: Clients) -> None:
    """Be refused by a lock, pair, and be let in."""
    with stage.step("Pair", "pairing"):
        lock = clients["Front door lock"]
        refused: GATTError | None = None
        try:
            await lock.read_gatt_char(LOCK_STATE)
        except GATTError as exc:
            refused = exc
        stage.confirm(
            refused is not None and refused.kind is ErrorKind.SECURITY,
            f"before pairing the lock refuses a read: {refused}",
        )
        await lock.pair()
        state = (await lock.read_gatt_char(LOCK_STATE))[0]
        stage.confirm(state == LOCKED, "after pairing it can be read: the door is locked")


async def parameters(stage: Stage, clients: Clients) -> None:
    """Ask a device for other connection parameters."""
    await clients["Thermometer"].set_connection_params(*PARAMETERS)
    shortest, longest, latency, timeout = PARAMETERS
    stage.say(
        f"Thermometer is asked for {shortest * 1.25:g} to {longest * 1.25:g} ms, "
        f"latency {latency}, timeout {timeout / 100:g} s."
    )


async def leave(fleet: Fleet, stage: Stage, access: Access, clients: Clients) -> None:
    """Disconnect everything; every slot is free again."""
    with stage.step("Disconnect", "disconnecting"):
        count = len(clients)
        await asyncio.gather(*(client.disconnect() for client in clients.values()))
        free = sum(slots.free for slots in fleet.allocations())
        stage.confirm(
            free == PROXIES * SLOTS, f"{count} devices disconnected, {free} slots free again"
        )
    show_slots(fleet, stage, access, "Connection slots after")
