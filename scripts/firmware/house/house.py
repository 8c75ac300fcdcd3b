"""Several real-code proxies among the same peripherals, and a fleet over them."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from proxyconn import Fleet, Proxy
from proxyconn_proto import bluetooth_proxy_pb2 as pb
from scripts.firmware.real_world import RealWorld
from scripts.firmware.wire import Wire
from scripts.firmware.world import ScriptedCharacteristic, ScriptedService

FIRST: Final = 0xAA0000000001
"""Address of the first peripheral, a public one; the others follow."""

VALUE, ECHO = "2a19", "2a1a"
"""Characteristics of every peripheral: its address, to read; anything, to write and to read."""

READY_TIME: Final = 20.0
"""Seconds for the fleet to have every proxy."""

SLOTS: Final = 3
"""Of each proxy (SIM_SLOTS in stack/shim)."""


def address_text(number: int) -> str:
    """Return an address as text."""
    return number.to_bytes(6, "big").hex(":").upper()


def services_of(address: int) -> Sequence[ScriptedService]:
    """Return the services of a peripheral, which tell its address."""
    said = ScriptedCharacteristic(VALUE, 3, 0x02, address.to_bytes(6, "big"))
    return (ScriptedService("180f", 1, 9, (said, ScriptedCharacteristic(ECHO, 6, 0x0A, b"-"))),)


class RealHouse:
    """Real-code proxies, peripherals that all of them hear, and a fleet; a context manager.

    Attributes:
        proxies: the proxies; the first one hears every peripheral best.
        addresses: of the peripherals.
        fleet: the fleet over the proxies.
    """

    def __init__(self, binary: Path, proxies: int, devices: int) -> None:
        self.proxies = [
            RealWorld(binary, f"real{number}", f"02514D0000{number:02X}")
            for number in range(proxies)
        ]
        self.addresses = [FIRST + number for number in range(devices)]
        self._off: set[RealWorld] = set()
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        async with AsyncExitStack() as stack:
            for proxy in self.proxies:
                stack.push_async_callback(proxy.stop)
                await proxy.start()
                await self.fill(proxy)
            self.fleet = Fleet(
                [Proxy("127.0.0.1", proxy.port) for proxy in self.proxies],
                discover=False,
                state=None,
                owner=False,
            )
            await stack.enter_async_context(self.fleet)
            await self.fleet.ready(len(self.proxies), READY_TIME)
            self._stack = stack.pop_all()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def fill(self, proxy: RealWorld) -> None:
        """Put every peripheral on the air of a proxy that has just booted."""
        rssi = -50 - 10 * self.proxies.index(proxy)
        for address in self.addresses:
            await proxy.device(address, services_of(address), advert_ms=400, rssi=rssi)

    async def links(self, proxy: RealWorld) -> list[int]:
        """Return the addresses of the peripherals that are linked; none while it has no power."""
        if proxy in self._off:
            return []
        return [FIRST - (FIRST & 0xFF) + octet for octet in await proxy.links()]

    async def drop(self, proxy: RealWorld, address: int, reason: int, gap: int) -> None:
        """Lose a link; the stack's close event comes `gap` milliseconds later."""
        if proxy not in self._off:
            await proxy.drop(address, reason, gap)

    async def reboot(self, proxy: RealWorld, *, off: float) -> None:
        """Take the power from a proxy for some seconds."""
        self._off.add(proxy)
        await proxy.kill()
        await asyncio.sleep(off)
        await proxy.restart()
        await self.fill(proxy)
        self._off.discard(proxy)

    async def held(self) -> list[str]:
        """Return every link and every taken slot, as the proxies themselves tell it."""
        found = []
        for proxy in self.proxies:
            links = await proxy.links()
            found += [f"{proxy.name}: link to {octet:02x}" for octet in links]
            wire = await Wire(proxy.port, "onlooker").open(subscribe=False)
            wire.send(pb.SubscribeBluetoothConnectionsFreeRequest())
            await asyncio.sleep(0.5)
            await wire.close()
            reports = [
                said.message
                for said in wire.seen
                if isinstance(said.message, pb.BluetoothConnectionsFreeResponse)
            ]
            if not reports or reports[-1].free != SLOTS:
                found.append(f"{proxy.name}: {reports[-1] if reports else 'no slot report'}")
        return found
