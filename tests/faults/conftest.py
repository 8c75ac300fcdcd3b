"""A house with a fault: virtual proxies, a real fleet, and how long it takes to get over it."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import pytest
from bleak import BleakClient
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, establish_connection
from proxyconn.radio import Radio, RadioState
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.events import Disconnected, OpenFailed, ProxyEvent
from proxyconn_virtual.fault_catalogue import CATALOGUE, FaultName
from proxyconn_virtual.faults import Injector, Passed
from proxyconn_virtual.firmware.profiles import KNOWN, FirmwareProfile
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.named_faults.model import everywhere
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk
from proxyconn_virtual.simulated import SimulatedAir

RECORD = "PROXYCONN_RECOVERY_FILE"
"""Environment variable with the file that measurements are appended to, as JSON lines."""

VALUE, OTHER, ECHO, SECRET = (f"0000fff{n}-0000-1000-8000-00805f9b34fb" for n in (1, 2, 3, 4))

M = TypeVar("M", bound=Message)

Record = Callable[[str, str, float, str], None]


@pytest.fixture
def record_recovery() -> Iterator[Record]:
    """Return what records a measurement: fault, firmware profile, seconds and what came of it."""
    lines: list[str] = []

    def record(fault: str, profile: str, seconds: float, outcome: str) -> None:
        line = {"fault": fault, "profile": profile, "seconds": seconds, "outcome": outcome}
        lines.append(json.dumps(line) + "\n")

    yield record
    # Here no event loop is running that writing would block.
    if file := os.environ.get(RECORD):
        with Path(file).open("a", encoding="utf-8") as recorded:
            recorded.writelines(lines)


def in_profiles(
    name: FaultName, only: Callable[[FirmwareProfile], bool] = everywhere
) -> pytest.MarkDecorator:
    """Run a test in every firmware that has a fault, or in those of them that `only` names."""
    chosen = [profile for profile in CATALOGUE[name].profiles if only(KNOWN[profile])]
    return pytest.mark.parametrize("profile", chosen)


def connects(firmware: FirmwareProfile) -> bool:
    """Whether a proxy opens links; for tests of what links suffer."""
    return firmware.connects


def address(number: int) -> str:
    """Return the address of the numbered device."""
    return f"C4:00:00:00:00:{number:02X}"


def peripheral(number: int, rooms: list[str]) -> Peripheral:
    """Return a device that the first room hears best."""
    both = Properties.READ | Properties.WRITE | Properties.WRITE_WITHOUT_RESPONSE
    return Peripheral(
        address(number),
        f"device {number}",
        services=[
            ServiceSpec(
                0xFFF0,
                [
                    CharacteristicSpec(0xFFF1, Properties.READ, b"value"),
                    CharacteristicSpec(0xFFF2, both, b"other"),
                    CharacteristicSpec(
                        0xFFF3, both | Properties.NOTIFY, b"", on_write=lambda data: data[::-1]
                    ),
                ],
            ),
            ServiceSpec(
                0xFFE0,
                [CharacteristicSpec(0xFFF4, Properties.READ, b"secret", encrypted=True)],
            ),
        ],
        rssi={room: -50 - 20 * index for index, room in enumerate(rooms)},
        interval=1.0,
        latency=0.1,
        att_latency=0.01,
    )


class Tap(Injector):
    """Keeps what the first proxy sends, behind its fault."""

    def __init__(self) -> None:
        self.sent: list[Message] = []

    def outgoing(self, message: Message) -> Passed:
        """Keep a message, and let it pass."""
        self.sent.append(message)
        return (message,)


class Home:
    """Virtual proxies, the fleet that uses them, and the clock of a fault.

    Attributes:
        near: the proxy that hears every device best.
        drops: address of each disconnected callback.
        events: what the first proxy has told since the fault struck.
    """

    def __init__(
        self, fault: FaultName, profile: str, virtual: VirtualFleet, fleet: Fleet, record: Record
    ) -> None:
        self.fault = fault
        self.profile = profile
        self.virtual = virtual
        self.fleet = fleet
        self.drops: list[str] = []
        self.events: list[ProxyEvent] = []
        self._tap = Tap()
        self._record = record
        self._struck: float | None = None
        self._recorded = False

    @property
    def near(self) -> VirtualProxy:
        """The first proxy."""
        return next(iter(self.virtual.proxies.values()))

    @property
    def radio(self) -> Radio:
        """The fleet's side of the first proxy."""
        return next(radio for radio in self.fleet.radios if radio.name == self.near.name)

    @property
    def slots(self) -> int:
        """How many links the first proxy can have; none where it only scans."""
        return self.near.snapshot().limit if self.near.profile.connects else 0

    @property
    def now(self) -> float:
        """The present moment of the clock that the test runs on."""
        return asyncio.get_running_loop().time()

    @property
    def since(self) -> float:
        """Seconds since the fault struck."""
        assert self._struck is not None
        return self.now - self._struck

    def strike(self, argument: str | float | None = None, *, seed: int = 0) -> Callable[[], None]:
        """Inject the fault into the first proxy; return what ends it."""
        self._struck = self.now
        self.near.add_observer(self.events.append)
        undo = self.near.inject(self.fault, argument, seed=seed)
        self.near.injectors.append(self._tap)
        return undo

    def begin(self) -> None:
        """Count the seconds from now on: only now the fault is felt."""
        self._struck = self.now

    def notices(self) -> list[tuple[bool, int, int]]:
        """Return connected, MTU and error of each notice that the first proxy has sent since."""
        return [
            (message.connected, message.mtu, message.error)
            for message in self._tap.sent
            if isinstance(message, pb.BluetoothDeviceConnectionResponse)
        ]

    def sent(self, message_class: type[M]) -> list[M]:
        """Return each message of a class that the first proxy has sent since the fault struck."""
        return [message for message in self._tap.sent if isinstance(message, message_class)]

    def reasons(self) -> list[int]:
        """Return the reason of each attempt that failed, and link that ended, since."""
        ends = (OpenFailed, Disconnected)
        return [event.reason for event in self.events if isinstance(event, ends)]

    def record(self, outcome: str) -> None:
        """Record how long it took since the fault struck."""
        self._record(self.fault, self.profile, self.since, outcome)
        self._recorded = True

    def recovered_at(self, struck: float, outcome: str) -> None:
        """Record how long it took since a moment, of many faults together."""
        self._record("chaos", self.profile, self.now - struck, outcome)
        self._recorded = True

    async def connect(self, number: int = 1, **options: Any) -> BleakClientWithServiceCache:
        """Connect a device, as a user does."""
        device = await self.fleet.find_device(address(number), timeout=60.0)
        return await establish_connection(
            BleakClientWithServiceCache, device, f"device {number}", self._dropped, **options
        )

    async def links(self, count: int = 1) -> list[BleakClientWithServiceCache]:
        """Connect the first devices: as many as are asked for and the first proxy has slots for."""
        return [await self.connect(number) for number in range(1, min(count, self.slots) + 1)]

    async def cut_off(self, links: Sequence[BleakClient], within: float) -> None:
        """Wait until links of the first proxy are over; each is told once."""
        await until(lambda: not any(link.is_connected for link in links), within)
        await asyncio.sleep(0.1)
        assert self.drops == [link.address for link in links]

    async def attempt(self, number: int = 1) -> BleakClientWithServiceCache:
        """Make a single attempt to connect a device."""
        device = await self.fleet.find_device(address(number), timeout=60.0)
        client_class = self.fleet.client_class(BleakClientWithServiceCache)
        client = client_class(device, disconnected_callback=self._dropped)
        await client.connect()
        return client

    def _dropped(self, client: BleakClient) -> None:
        self.drops.append(client.address)

    def drop_link(self, reason: int, number: int = 1) -> None:
        """Let a device drop its link."""
        assert isinstance(self.virtual.air, SimulatedAir)
        assert self.virtual.air.drop_link(address(number), reason)

    async def works(self, number: int = 1, *, within: float = 30.0) -> None:
        """Check that a device is heard, and can be connected, read and disconnected, if any can."""
        async with asyncio.timeout(within):
            await self.hears(number)
            if not self.slots:
                return
            client = await self.connect(number)
            assert await client.read_gatt_char(VALUE) == b"value"
            await client.disconnect()

    async def hears(self, number: int = 1) -> None:
        """Wait for the next advertisement of a device."""
        async for device, _ in self.fleet.advertisements():
            if device.address == address(number):
                return

    async def all_free(self, within: float = 30.0) -> None:
        """Wait until every proxy, and the fleet, know of no slot that is held.

        Callbacks of what has ended have been called then.
        """

        def free() -> bool:
            snapshots = [proxy.snapshot() for proxy in self.virtual.proxies.values()]
            known = self.fleet.allocations()
            return all(s.free == s.limit for s in snapshots) and all(
                report.free == report.slots for report in known
            )

        await asyncio.sleep(0.1)
        await until(free, within)
        assert self._recorded, "no recovery time was recorded"

    async def ready(self, within: float) -> None:
        """Wait until the fleet uses the first proxy."""
        await until(lambda: self.radio.state is RadioState.READY, within)


async def until(condition: Callable[[], bool], seconds: float) -> None:
    """Wait until `condition` holds."""
    async with asyncio.timeout(seconds):
        while not condition():  # noqa: ASYNC110 - the condition is not ours to signal
            await asyncio.sleep(0.05)


OpenHome = Callable[..., Awaitable[Home]]


@pytest.fixture
async def open_home(record_recovery: Record) -> AsyncIterator[OpenHome]:
    """Return a maker of homes: fault, firmware, names of the rooms with a proxy, devices."""
    async with AsyncExitStack() as stack:

        async def make(
            fault: FaultName,
            profile: str,
            rooms: str = "kitchen",
            devices: int = 1,
            *,
            wait: bool = True,
            **spec: Any,
        ) -> Home:
            names = rooms.split()
            values = {"noise_psk": new_noise_psk(), "profile": profile, **spec}
            virtual = VirtualFleet(
                [ProxySpec(name=name, **values) for name in names],
                [peripheral(number, names) for number in range(1, devices + 1)],
                announce=False,
            )
            await stack.enter_async_context(virtual)
            fleet = Fleet(
                [Proxy(p.host, p.port, noise_psk=p.noise_psk) for p in virtual.proxies.values()],
                discover=False,
            )
            home = Home(fault, profile, virtual, fleet, record_recovery)
            if wait:
                await stack.enter_async_context(fleet)
                await fleet.ready(len(names), timeout=10.0)
            return home

        yield make
