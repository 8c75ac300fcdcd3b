"""Several programs that share the proxies through an owner."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from bleak import BleakClient

from proxyconn import Alarm, Allocations, KeptConnection
from proxyconn_owner.service import Owner, serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.proxy import new_noise_psk

from .guests import HANGS_ON, NAME, Guest
from .record import Record
from .setting import Setting
from .sides import Lost, Ours, Way
from .wire import LOOPBACK, SMALL, Wire
from .world import addresses, guest_addresses

FORGOTTEN: Final = 2 * HANGS_ON
"""Seconds after which the last bad client has gone."""

GONE: Final = 1.0
"""Seconds in which an owner forgets a client that has closed its connection."""


class Quiet:
    """Is told of clients, and says nothing."""

    def served(self, owner: Owner) -> None:
        """A proxy is served."""

    def client_came(self, proxy: str, client: str) -> None:
        """A client has said Hello."""

    def client_went(self, proxy: str, client: str) -> None:
        """A client has gone."""


class Owned:
    """An owner of all proxies, and programs that have a wire to it each.

    Attributes:
        owner: the owner, once it has started.
        counts: how often each fault of clients and their wires was there.
        guests: the bad clients.
        key, port: the owner's.
    """

    def __init__(self, setting: Setting, record: Record) -> None:
        self.guests: list[Guest] = []
        self._setting = setting
        self._record = record
        self._behind = Ours()
        self._programs: list[Ours] = [Ours() for _ in range(setting.programs)]
        self._wires: list[Wire] = []
        self._visits: list[asyncio.Task[None]] = []
        self._program_of = {
            address: self._programs[number % setting.programs]
            for number, address in enumerate(addresses(setting))
        }
        self.owner: Owner
        self.key = new_noise_psk()
        self.port = 0

    async def start(self, stack: AsyncExitStack, ways: Sequence[Way]) -> None:
        """Connect the owner to the proxies, and the programs to the owner."""
        setting = self._setting
        await self._behind.start(stack, ways)
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        settings = ServeSettings(api=Listen(LOOPBACK, 0), announce=False, noise_psk=self.key)
        self.owner = await stack.enter_async_context(
            serving(self._behind.fleet, settings, folder, folder, Quiet())
        )
        (served,) = self.owner.proxies.values()
        self.port = served.port
        if setting.strikes != "proxies":
            served.send_buffer = SMALL
        for number, program in enumerate(self._programs):
            wire = Wire(self.port, f"{setting.seed} {number}")
            await wire.start()
            stack.push_async_callback(wire.aclose)
            self._wires.append(wire)
            await program.start(stack, [Way(LOOPBACK, wire.port, self.key)])
        self.guests = [
            Guest(address, self, setting.seed, self._record) for address in guest_addresses(setting)
        ]
        stack.push_async_callback(self._send_off)

    async def _send_off(self) -> None:
        for visit in self._visits:
            visit.cancel()
        await asyncio.gather(*self._visits, return_exceptions=True)

    def is_served(self, name: str) -> bool:
        """Whether the owner serves a client that calls itself so."""
        return any(client.name == name for client in self.owner.clients)

    def is_held(self, address: str) -> bool:
        """Whether a slot is held for a device, of proxies that have no fault."""
        return self._setting.strikes == "clients" and any(
            address in slots.allocated for slots in self._behind.reported().values()
        )

    @property
    def counts(self) -> Counter[str]:
        """How often each fault of clients and their wires was there."""
        counts = [wire.counts for wire in self._wires] + [guest.counts for guest in self.guests]
        return sum(counts, Counter())

    async def rage(self, seconds: float) -> None:
        """Let the wires suffer and bad clients come, for so long; some of these stay for longer."""
        setting = self._setting
        self._visits = [asyncio.create_task(guest.run()) for guest in self.guests]
        try:
            async with asyncio.timeout(seconds), asyncio.TaskGroup() as group:
                for wire in self._wires:
                    group.create_task(
                        wire.rage(setting.rate / 10, setting.shortest, setting.longest)
                    )
        except TimeoutError:
            pass
        for guest in self.guests:
            guest.stop()

    async def forget(self) -> None:
        """Wait for the last bad client to go; see then that the owner has forgotten them all."""
        if not self._visits:
            return
        _, still = await asyncio.wait(self._visits, timeout=FORGOTTEN)
        if still:
            self._record.violate("every bad client goes", repr(still))
        await asyncio.sleep(GONE)
        if why := self.left():
            self._record.violate("an owner forgets who has gone", why)

    def left(self) -> str | None:
        """Return what the owner still has of clients that have gone; None for nothing."""
        bad = [one for one in self.owner.clients if one.name.startswith(NAME)]
        # A program whose wire was cut may be served twice, until a half open connection is dropped.
        return f"clients: {bad}" if bad else None

    def ready(self) -> int:
        """Return how many proxies can be used; one less unless every program can use the owner."""
        return self._behind.ready() - (not all(program.ready() for program in self._programs))

    def unready(self) -> str:
        """Say what is wrong with the other proxies."""
        return "; ".join(text for one in (self._behind, *self._programs) if (text := one.unready()))

    def hears(self, address: str) -> bool:
        """Whether the program of a device has heard it."""
        return self._program_of[address].hears(address)

    async def connect(self, address: str, deadline: float, lost: Lost) -> BleakClient:
        """Connect, in the program of the device."""
        return await self._program_of[address].connect(address, deadline, lost)

    def keep(self, address: str, lost: Callable[[], None]) -> KeptConnection[Any] | None:
        """Keep a device connected, in its program."""
        return self._program_of[address].keep(address, lost)

    def signals(self) -> list[tuple[str, str, int]]:
        """Return proxy, device and dBm of each path that the owner has."""
        return self._behind.signals()

    def alarms(self) -> list[Alarm]:
        """Return what the monitors of the owner and of every program find."""
        return [alarm for one in (self._behind, *self._programs) for alarm in one.alarms()]

    def reported(self) -> dict[str, Allocations]:
        """Return the slots as the owner knows them, and as each program is told of them."""
        return self._behind.reported() | {
            f"{name} of program {number}": slots
            for number, program in enumerate(self._programs)
            for name, slots in program.reported().items()
        }
