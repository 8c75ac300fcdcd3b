"""The story of sharing: one owner, several programs in processes of their own, nobody robbed."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from proxyconn_virtual.catalogue import household
from proxyconn_virtual.commands.demo_stage import Stage
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk

ROOMS = ("kitchen", "bedroom")
PATIENCE = 60.0
"""Seconds for anything that is to happen."""

CLIENT = "proxyconn_virtual.commands.sharing_client"


@dataclass
class Program:
    """A process that prints lines of JSON.

    Attributes:
        process: the process.
        lines: all that it has said.
    """

    process: Process
    lines: list[dict[str, Any]] = field(default_factory=list)

    async def listen(self) -> None:
        """Take what it says, until it ends."""
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            with suppress(ValueError):
                self.lines.append(json.loads(line))

    def said(self, event: str, since: int = 0) -> list[dict[str, Any]]:
        """Return the lines of a kind, from a number of lines on."""
        return [line for line in self.lines[since:] if line.get("event") == event]


async def start(stack: AsyncExitStack, *arguments: str, **environment: str) -> Program:
    """Run a module of Python until the stack is left."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        *arguments,
        stdin=DEVNULL,
        stdout=PIPE,
        stderr=DEVNULL,
        env=os.environ | environment,
    )
    program = Program(process)
    listening = asyncio.get_running_loop().create_task(program.listen())

    async def end() -> None:
        if process.returncode is None:
            process.kill()
        await process.wait()
        await listening

    stack.push_async_callback(end)
    return program


@dataclass
class Share:
    """Virtual proxies, and the processes that use them.

    Attributes:
        stage: where the story is told.
        house: the virtual proxies.
        folder: home, state and runtime folder of the user whose processes they are.
    """

    stage: Stage
    house: VirtualFleet
    folder: Path
    stack: AsyncExitStack
    port: int = 0
    key: str = ""

    async def start(self, *arguments: str) -> Program:
        """Run a module of Python."""
        folder = str(self.folder)
        return await start(self.stack, *arguments, HOME=folder, RUNTIME_DIRECTORY=folder)

    async def owner(self) -> Program:
        """Start the owner, and wait until clients are welcome."""
        options = ("--config", str(self.folder / "config.toml"), "--state", str(self.folder))
        owner = await self.start(
            "proxyconn", "serve", *options, "--json", "--no-announce",
            "--api", f"127.0.0.1:{self.port}",
        )  # fmt: skip
        await until(lambda: bool(owner.said("ready")))
        self.port = owner.said("ready")[0]["api"][0]["port"]
        if not self.key:
            shown = await self.start("proxyconn", "serve", *options, "--show-key")
            await shown.process.wait()
            state = await asyncio.to_thread((self.folder / "owner.json").read_text)
            self.key = json.loads(state)["noise_psk"]
        return owner

    def held(self) -> set[str]:
        """Return the devices that hold a slot of a virtual proxy."""
        slots = [slot for proxy in self.house.proxies.values() for slot in proxy.snapshot().slots]
        return {address for address, _ in slots}

    def subscribers(self) -> list[tuple[str, ...]]:
        """Return who is connected to each virtual proxy."""
        return [proxy.snapshot().clients for proxy in self.house.proxies.values()]


async def until(met: Callable[[], bool], seconds: float = PATIENCE) -> float:
    """Wait until something holds; return the seconds that took. Raises TimeoutError."""
    started = time.monotonic()
    async with asyncio.timeout(seconds):
        while not met():  # noqa: ASYNC110 - processes tell nothing of it
            await asyncio.sleep(0.02)
    return time.monotonic() - started


async def sharing(stage: Stage) -> None:
    """Home Assistant's libraries and a program of ours use one fleet at once, through one owner."""
    async with _share(stage) as share:
        addresses = [one.address for one in share.house.peripherals]
        with stage.step("Start the owner", "starting"):
            owner = await share.owner()
            stage.say(f"proxyconn serve is one proxy at 127.0.0.1:{share.port}, with six slots")
        with stage.step("Two programs and a scan, all at once", "listening and connecting"):
            first, second = await _two_programs(share, addresses)
        with stage.step("More connects than slots", "taking turns"):
            await _more_than_there_are(share, addresses, first, second)
        with stage.step("Kill one program", "killing"):
            second.process.send_signal(signal.SIGKILL)
            others = set(addresses[:3])
            took = await until(lambda: share.held() <= others, 1.0)
            stage.confirm(True, f"within {took:.2f} s of SIGKILL its slots were free")
        with stage.step("Kill the owner with kill -9, and start it again", "killing"):
            await _restart(share, owner, first)


async def _two_programs(share: Share, addresses: list[str]) -> tuple[Program, Program]:
    stage, options = share.stage, (str(share.port), share.key)
    # What one of them holds by then does not advertise any more.
    first = await share.start(CLIENT, "ours", *options, str(len(addresses) - 2), *addresses[:3])
    second = await share.start(CLIENT, "theirs", *options, str(len(addresses) - 3), *addresses[3:5])
    scan = await share.start("proxyconn", "scan", "--for", "4", "--json", "--no-discover")
    await until(lambda: bool(first.said("heard") and second.said("heard")))
    kind = second.said("started")[0]["kind"]
    who = "bleak-esphome and habluetooth" if kind == "theirs" else "aioesphomeapi's client"
    stage.confirm(True, f"a program of ours, and one of {who}, heard every device")
    await until(lambda: len({line["address"] for line in first.said("read")}) == 3)
    if kind == "theirs":
        await until(lambda: len({line["address"] for line in second.said("read")}) == 2)
    stage.confirm(not first.said("lost"), "each holds its own links and reads over them")
    await scan.process.wait()
    heard = {line.get("address") for line in scan.lines}
    stage.confirm(
        scan.process.returncode == 0 and set(addresses[5:]) <= heard,
        "`proxyconn scan` of the same user hears them too, through the owner that it found",
    )
    stage.confirm(
        share.subscribers() == [("proxyconn",)] * len(ROOMS),
        "the virtual proxies see one subscriber each, and nobody else",
    )
    stage.confirm(not first.said("lost"), "nobody lost a link")
    return first, second


async def _more_than_there_are(
    share: Share, addresses: list[str], first: Program, second: Program
) -> None:
    stage = share.stage
    options = (str(share.port), share.key, "1")
    crowd = await share.start(CLIENT, "ours", *options, *addresses[5:])
    free = 6 - len(share.held())
    await until(lambda: len({line["address"] for line in crowd.said("connected")}) >= free)
    stage.say(f"{len(addresses[5:])} more devices want the {free} slots that are left")
    stage.confirm(len(share.held()) == 6, "every slot is in use, none twice")
    stage.confirm(not first.said("lost"), "nobody was robbed for it")
    crowd.process.kill()
    await crowd.process.wait()
    held = set(addresses[:5]) if second.said("connected") else set(addresses[:3])
    await until(lambda: share.held() <= held)


async def _restart(share: Share, owner: Program, first: Program) -> None:
    stage, before = share.stage, len(first.lines)
    owner.process.kill()
    await owner.process.wait()
    await share.owner()

    def back() -> bool:
        return len({line["address"] for line in first.said("read", before)}) == 3

    await until(lambda: bool(first.said("lost", before)) or back())
    took = await until(back)
    stage.confirm(True, f"its client reads all three devices again, {took:.1f} s after the loss")
    stage.confirm(
        share.subscribers() == [("proxyconn",)] * len(ROOMS), "and each proxy has one subscriber"
    )


@asynccontextmanager
async def _share(stage: Stage) -> AsyncIterator[Share]:
    key = new_noise_psk()
    specs = [ProxySpec(name=name, noise_psk=key) for name in ROOMS]
    async with (
        AsyncExitStack() as stack,
        VirtualFleet(specs, household(ROOMS), announce=False) as house,
    ):
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        text = "discover = false\n" + "".join(
            f'[[proxy]]\nhost = "127.0.0.1"\nport = {one.port}\nkey = "{key}"\n'
            for one in house.proxies.values()
        )
        file = folder / "config.toml"
        await asyncio.to_thread(file.write_text, text)
        await asyncio.to_thread(file.chmod, 0o600)
        async with AsyncExitStack() as processes:
            yield Share(stage, house, folder, processes)
