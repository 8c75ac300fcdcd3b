"""Crashes: a fleet dies again and again amid faults, and comes back with what it had written down.

Each life of the fleet uses its devices and is then cut off: nothing of it reaches a proxy any more,
and what it remembers is what was in the file at that moment. Another client comes now and then
while the fleet is away, takes a proxy, opens a link of its own and goes silent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from bleak import BleakClient
from bleak.exc import BleakError
from google.protobuf.message import Message

from proxyconn import BleakClientWithServiceCache, Fleet, Proxy, RadioState, establish_connection
from proxyconn.radio import KeepsLinks
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual.faults import Injector, Passed
from proxyconn_virtual.firmware.profiles import KNOWN
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

from .clock import VirtualLoop
from .noise_client import NoiseClient
from .run import HEALING, QUIET, until
from .setting import Setting
from .sides import ADDRESS_TYPE
from .storm import Storm
from .world import VALUE, identity

FIRMWARE: Final = [
    name for name, one in KNOWN.items() if one.newest_subscriber_wins and one.connects
]
"""Whose links outlive a client that has gone silent, once another one subscribes."""

OURS: Final = "proxyconn"
"""What the fleet calls itself."""

DEVICES: Final = 6
STRANGERS: Final = 4
"""Devices that only the other client wants."""

PLACES: Final = ("hall", "study", "attic")
SLOTS: Final = 4

LIFE: Final = (20.0, 60.0)
AWAY: Final = (0.5, 15.0)
"""Seconds of a life, and between two."""

LINKED: Final = 30.0
"""Seconds that the other client waits for its link."""

REST: Final = 120.0
"""Seconds in which every slot must come free that is not the other client's."""

_CONNECT = pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_CONNECT_V3_WITHOUT_CACHE
_DISCONNECT = pb.BluetoothDeviceRequestType.BLUETOOTH_DEVICE_REQUEST_TYPE_DISCONNECT


def _address(number: int) -> str:
    return (0xC40000000000 + number).to_bytes(6, "big").hex(":").upper()


def _number(address: str) -> int:
    return int(address.replace(":", ""), 16)


@dataclass
class Found:
    """What was found.

    Attributes:
        violations: what must not have happened.
        counts: lives, sessions, links of the other client, links that were there after a crash.
    """

    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


class _Guard(Injector):
    """Tells of requests to end what another client has."""

    def __init__(self, place: str, found: Found) -> None:
        self._place = place
        self._found = found

    def incoming(self, message: Message) -> Passed:
        """Look at a request; the other client never makes such a one."""
        if (
            isinstance(message, pb.BluetoothDeviceRequest)
            and message.request_type == _DISCONNECT
            and _number(_address(DEVICES)) < message.address <= _number(_address(1000))
        ):
            self._found.violations.append(f"{self._place}: a foreign link was to be ended")
        return (message,)


class Crashes:
    """One run.

    Args:
        seed: of every decision.
        seconds: how long faults strike, and lives end in crashes.
        folder: where what each life remembers is kept.
    """

    def __init__(self, seed: int, seconds: float, folder: Path) -> None:
        self._rng = random.Random(f"crashes {seed}")
        self._setting = Setting(seed=seed, rate=0.1, longest=8.0)
        self._seconds = seconds
        self._folder = folder
        self._key = new_noise_psk(self._rng)
        self._others: list[NoiseClient] = []
        self._dead: list[asyncio.Task[None]] = []
        self.found = Found()
        specs = [
            ProxySpec(
                name=place, noise_psk=self._key, slots=SLOTS, profile=self._rng.choice(FIRMWARE)
            )
            for place in PLACES
        ]
        devices = [self._device(number) for number in range(1, DEVICES + STRANGERS + 1)]
        self._house = VirtualFleet(specs, devices, announce=False, seed=seed)
        self._loop = asyncio.get_running_loop()

    @property
    def _proxies(self) -> Sequence[VirtualProxy]:
        return list(self._house.proxies.values())

    def _device(self, number: int) -> Peripheral:
        address = _address(number)
        return Peripheral(
            address,
            f"device {number}",
            services=[ServiceSpec(0xFFF0, [CharacteristicSpec(VALUE, value=identity(address))])],
            rssi={place: self._rng.randint(-85, -50) for place in PLACES},
            interval=1.0,
            latency=0.2,
        )

    async def run(self) -> Found:
        """Do everything; return what was found."""
        async with self._house:
            for proxy in self._proxies:
                proxy.injectors.append(_Guard(proxy.place, self.found))
            try:
                storm = Storm(self._setting, self._proxies)
                raging = asyncio.create_task(storm.rage(self._seconds))
                while not raging.done():
                    await self._life(self._rng.uniform(*LIFE))
                    await self._meanwhile()
                await raging
                await self._last_life()
            finally:
                await asyncio.gather(
                    *self._dead, *(one.aclose() for one in self._others), return_exceptions=True
                )
        return self.found

    # A life

    def _fleet(self) -> Fleet:
        proxies = [Proxy(one.host, one.port, noise_psk=self._key) for one in self._proxies]
        return Fleet(proxies, discover=False, owner=False, state=self._state(0))

    def _state(self, later: int) -> Path:
        """Return where this life, or a later one, keeps what it knows."""
        return self._folder / f"life {self.found.counts['lives'] + later}"

    async def _life(self, seconds: float) -> None:
        """Live for a while, and die."""
        stack = AsyncExitStack()
        fleet = await stack.enter_async_context(self._fleet())
        users = [asyncio.create_task(self._use(fleet, number)) for number in self._wanted()]
        looking = asyncio.create_task(self._count_inherited(fleet))
        await asyncio.sleep(seconds)
        for session in [one for proxy in self._proxies for one in proxy.server.sessions]:
            if session.client_info == OURS:
                session.freeze()
        if self._state(0).exists():
            # What the dead one still writes goes to where nobody looks any more.
            shutil.copytree(self._state(0), self._state(1))
        self.found.counts["lives"] += 1
        for task in (*users, looking):
            task.cancel()
        self._dead.append(asyncio.create_task(_bury(stack, *users, looking)))

    def _wanted(self) -> list[int]:
        """Return the devices that a life is interested in: not always all of the last one's."""
        return sorted(self._rng.sample(range(1, DEVICES + 1), DEVICES - self._rng.randrange(4)))

    async def _use(self, fleet: Fleet, number: int) -> None:
        while True:
            with contextlib.suppress(BleakError, TimeoutError):
                client = await self._connect(fleet, number)
                try:
                    await self._read(client, number)
                    await asyncio.sleep(self._rng.uniform(1.0, 40.0))
                finally:
                    await client.disconnect()
            await asyncio.sleep(self._rng.uniform(0.1, 3.0))

    async def _connect(self, fleet: Fleet, number: int) -> BleakClient:
        device = fleet.known_device(_address(number), ADDRESS_TYPE)
        return await establish_connection(
            BleakClientWithServiceCache, device, device.address, deadline=30.0
        )

    async def _read(self, client: BleakClient, number: int) -> None:
        value = await client.read_gatt_char(VALUE)
        self.found.counts["sessions"] += 1
        if value != identity(_address(number)):
            self.found.violations.append(f"device {number} said {value.hex()}")

    async def _count_inherited(self, fleet: Fleet) -> None:
        seen: set[tuple[str, str]] = set()
        while True:
            await asyncio.sleep(0.1)
            present = {
                (radio.name, address)
                for radio in fleet.radios
                if isinstance(radio, KeepsLinks)
                for address in radio.inherited
            }
            self.found.counts["inherited"] += len(present - seen)
            seen |= present

    # The other client

    async def _meanwhile(self) -> None:
        """Be away, and let the other client come now and then."""
        if self._rng.random() < 0.5:
            await self._other(self._rng.choice(self._proxies))
        await asyncio.sleep(self._rng.uniform(*AWAY))

    async def _other(self, proxy: VirtualProxy) -> None:
        """Take a proxy, and open a link that is left alone from then on."""
        number = _number(_address(self._rng.randint(DEVICES + 1, DEVICES + STRANGERS)))
        client = NoiseClient(self._key, lambda message: None)
        self._others.append(client)
        with contextlib.suppress(OSError, EOFError, TimeoutError):
            await client.open(proxy.host, proxy.port, "another")
            client.send(pb.SubscribeBluetoothLEAdvertisementsRequest(flags=1))
            client.send(
                pb.BluetoothDeviceRequest(
                    address=number,
                    request_type=_CONNECT,
                    has_address_type=True,
                    address_type=ADDRESS_TYPE,
                )
            )

            def is_held() -> bool:
                return any(_number(address) == number for address, _ in proxy.snapshot().slots)

            self.found.counts["foreign"] += await until(is_held, LINKED)

    # The end

    async def _last_life(self) -> None:
        """See every device reached after the faults, and every slot free but those of others."""
        async with self._fleet() as fleet:
            await self._demand(
                lambda: all(one.state is RadioState.READY for one in fleet.radios),
                HEALING,
                "every proxy heals",
            )
            reached = [asyncio.create_task(self._reach(fleet, n)) for n in range(1, DEVICES + 1)]
            await asyncio.gather(*reached)
            await self._demand(lambda: not self._ours(), REST, "every slot of ours comes free")

    async def _reach(self, fleet: Fleet, number: int) -> None:
        end = self._loop.time() + HEALING
        while self._loop.time() < end:
            with contextlib.suppress(BleakError, TimeoutError):
                client = await self._connect(fleet, number)
                await self._read(client, number)
                await client.disconnect()
                return
            await asyncio.sleep(1.0)
        self.found.violations.append(f"device {number} is not reached")

    def _ours(self) -> list[str]:
        return [
            f"{proxy.place}: {address}"
            for proxy in self._proxies
            for address, _ in proxy.snapshot().slots
            if _number(address) <= _number(_address(DEVICES))
        ]

    async def _demand(self, met: Any, seconds: float, what: str) -> None:
        if not await until(met, seconds):
            self.found.violations.append(f"{what}: not within {seconds:g} s {self._ours()}")


async def _bury(stack: AsyncExitStack, *tasks: asyncio.Task[None]) -> None:
    """Let what is dead already clear up after itself."""
    await asyncio.gather(*tasks, return_exceptions=True)
    await stack.aclose()


def strike(seed: int, seconds: float) -> Found:
    """Make one run on a loop of its own; return what was found."""
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.CRITICAL)

    async def run() -> Found:
        with tempfile.TemporaryDirectory() as folder:
            return await Crashes(seed, seconds, Path(folder)).run()

    loop = VirtualLoop()
    try:
        asyncio.set_event_loop(loop)
        return loop.run_until_complete(run())
    finally:
        asyncio.set_event_loop(None)
        loop.close()


def main() -> int:
    """Make a run for each seed, and print what was found as JSON; return 1 if anything was."""
    parser = argparse.ArgumentParser(prog="scripts/chaos_run/crashes", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=1, help="runs, a seed for each")
    parser.add_argument("--seconds", type=float, default=300.0, help="of faults, in each")
    chosen = parser.parse_args()
    status = 0
    for seed in range(chosen.seed, chosen.seed + chosen.seeds):
        found = strike(seed, chosen.seconds)
        told = {"seed": seed, "violations": found.violations, **found.counts}
        print(json.dumps(told), flush=True)
        status |= bool(found.violations)
    return status


if __name__ == "__main__":
    sys.exit(main())
