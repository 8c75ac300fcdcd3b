"""A story of a program that is killed while it holds links, and what it finds when it is back."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Self

from aioesphomeapi.client import APIClient

from proxyconn_virtual import events
from proxyconn_virtual.catalogue import household
from proxyconn_virtual.commands.demo_sharing import CLIENT, Program, start, until
from proxyconn_virtual.commands.demo_stage import Stage
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, VirtualProxy, new_noise_psk

HALL = "hall"
HERE = "127.0.0.1"
LINKS_OUTLIVE, LINKS_END = "2026.10", "2026.6.5"
"""Firmware whose links outlive a change of subscriber, and firmware whose links end with theirs."""

HOME_ASSISTANT = "Home Assistant 2026.10"
"""What Home Assistant calls itself to a proxy."""

DISCONNECT_TIME = 5.0
"""Seconds in which a proxy that has noticed that its subscriber is gone has ended every link."""


class Wire:
    """The way to a proxy, which can be cut so that the proxy does not notice."""

    def __init__(self, port: int) -> None:
        self.port = 0
        self._to = port
        self._ends: list[asyncio.StreamWriter] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._join, HERE, 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        assert self._server is not None
        self._server.close()
        await self.cut()
        for end in self._ends:
            end.close()

    async def cut(self) -> None:
        """Let nothing pass any more in either direction, not even the end of a connection."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _join(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection(HERE, self._to)
        self._ends += [writer, far_writer]
        for source, target in ((reader, far_writer), (far_reader, writer)):
            task = asyncio.get_running_loop().create_task(_pump(source, target))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except ConnectionError:
        return
    writer.close()


@dataclass
class Hall:
    """A proxy, the devices around it, and a user whose programs are killed.

    Attributes:
        stage: where the story is told.
        proxy: the proxy.
        addresses: name -> address of the devices.
        folder: where the user's programs remember things.
        opened, ended: how often the proxy has opened, and lost, a link to each device.
    """

    stage: Stage
    proxy: VirtualProxy
    addresses: dict[str, str]
    folder: str
    stack: AsyncExitStack
    opened: Counter[str] = field(default_factory=Counter)
    ended: Counter[str] = field(default_factory=Counter)

    def note(self, event: events.ProxyEvent) -> None:
        """Take note of what the proxy does."""
        if isinstance(event, events.Connected):
            self.opened[event.address] += 1
        elif isinstance(event, events.Disconnected):
            self.ended[event.address] += 1

    def held(self) -> set[str]:
        """Return the names of the devices that the proxy has links to."""
        slots = {address for address, _ in self.proxy.snapshot().slots}
        return {name for name, address in self.addresses.items() if address in slots}

    async def start(self, port: int, *names: str) -> Program:
        """Start the user's program, which reads some devices for ever."""
        key = self.proxy.noise_psk or ""
        devices = (self.addresses[name] for name in names)
        words = (CLIENT, "remembering", str(port), key, "0", *devices)
        return await start(self.stack, *words, STATE_DIRECTORY=self.folder)

    async def reads(self, program: Program, *names: str) -> None:
        """Wait until a program has read devices."""
        wanted = {self.addresses[name] for name in names}
        await until(lambda: wanted <= {line["address"] for line in program.said("read")})


@asynccontextmanager
async def _hall(stage: Stage, profile: str) -> AsyncIterator[Hall]:
    spec = ProxySpec(name=HALL, slots=4, noise_psk=new_noise_psk(), profile=profile)
    devices = household([HALL])
    async with VirtualFleet([spec], devices, announce=False) as house, AsyncExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        addresses = {device.name: device.address for device in devices}
        hall = Hall(stage, house.proxies[HALL], addresses, folder, stack)
        stack.callback(hall.proxy.add_observer(hall.note))
        async with stack:
            yield hall


async def takeover(stage: Stage) -> None:
    """A program is killed with its links up, and finds them again, or frees them; no others."""
    async with _hall(stage, LINKS_OUTLIVE) as hall:
        await _links_outlive(hall)
    async with _hall(stage, LINKS_END) as hall:
        await _links_end(hall)


async def _links_outlive(hall: Hall) -> None:
    stage, addresses = hall.stage, hall.addresses
    theirs, wanted, unwanted = list(addresses)[:3]
    with stage.step(f"ESPHome {LINKS_OUTLIVE}: Home Assistant has a link", "connecting"):
        await _home_assistant(hall, addresses[theirs])
        stage.confirm(hall.held() == {theirs}, f"the proxy holds one link, to {theirs}")
    async with Wire(hall.proxy.port) as wire:
        with stage.step("Our program takes the proxy over, and two devices", "connecting"):
            first = await hall.start(wire.port, wanted, unwanted)
            await hall.reads(first, wanted, unwanted)
            stage.confirm(
                hall.held() == {theirs, wanted, unwanted},
                f"it reads {wanted} and {unwanted}; {theirs} keeps its link, which is not ours",
            )
        with stage.step("kill -9, and the network is gone with it: a power cut", "killing"):
            await wire.cut()
            first.process.kill()
            await first.process.wait()
            await asyncio.sleep(1.0)
            stage.confirm(
                hall.held() == {theirs, wanted, unwanted},
                "the proxy has not noticed, and holds all three links",
            )
        with stage.step(f"It comes back, and asks for {wanted}", "connecting"):
            second = await hall.start(hall.proxy.port, wanted)
            await hall.reads(second, wanted)
            stage.confirm(
                hall.opened[addresses[wanted]] == 1 and not hall.ended[addresses[wanted]],
                f"{wanted} is read over the link that was there: the proxy has opened no other",
            )
            took = await until(lambda: hall.held() == {theirs, wanted})
            stage.confirm(
                hall.ended == {addresses[unwanted]: 1},
                f"nobody asks for {unwanted}: {took:.0f} s later its link is freed, and no other",
            )
        with stage.step("And Home Assistant?", "looking"):
            stage.confirm(
                hall.opened[addresses[theirs]] == 1 and theirs in hall.held(),
                f"its link to {theirs} is up, untouched, for when it takes the proxy back",
            )


async def _links_end(hall: Hall) -> None:
    stage, addresses = hall.stage, hall.addresses
    wanted, unwanted = list(addresses)[1:3]
    with stage.step(f"ESPHome {LINKS_END}: links end with their subscriber", "connecting"):
        first = await hall.start(hall.proxy.port, wanted, unwanted)
        await hall.reads(first, wanted, unwanted)
        first.process.kill()
        await first.process.wait()
        took = await until(lambda: not hall.held(), DISCONNECT_TIME)
        stage.confirm(True, f"{took:.1f} s after kill -9 the proxy has ended both by itself")
    with stage.step(f"It comes back, and asks for {wanted}", "connecting"):
        second = await hall.start(hall.proxy.port, wanted)
        await hall.reads(second, wanted)
        stage.confirm(
            hall.held() == {wanted} and hall.opened[addresses[wanted]] == 2,
            "nothing is there to be taken: the link is a new one, and no slot is left",
        )


async def _home_assistant(hall: Hall, address: str) -> None:
    """Be Home Assistant: listen, and hold one link, until the story ends."""
    client = APIClient(
        HERE, hall.proxy.port, None,
        noise_psk=hall.proxy.noise_psk, client_info=HOME_ASSISTANT,
    )  # fmt: skip
    await client.connect(login=True)
    hall.stack.push_async_callback(client.disconnect)
    client.subscribe_bluetooth_le_raw_advertisements(lambda batch: None)
    info = await client.device_info()
    await client.bluetooth_device_connect(
        int(address.replace(":", ""), 16),
        lambda connected, mtu, error: None,
        feature_flags=info.bluetooth_proxy_feature_flags,
        has_cache=False,
        address_type=1,
    )
