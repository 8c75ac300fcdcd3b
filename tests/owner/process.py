"""`proxyconn serve` as a process of its own, for tests."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from proxyconn import Fleet, Proxy
from proxyconn_virtual.fleet import VirtualFleet

SECONDS = 25.0
"""Seconds within which any process has done what it is to do."""


class Serve:
    """Runs `proxyconn serve`.

    Args:
        folder: home, state and runtime folder of the user.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config = folder / "config.toml"
        self.config_options: tuple[str, ...] = ("--config", str(self.config))
        self.environment = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("PROXYCONN_", "COV_"))
        } | {"HOME": str(folder), "RUNTIME_DIRECTORY": str(folder / "run"), "LC_ALL": "C.UTF-8"}

    async def start(
        self, *arguments: str, stdout: int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start it."""
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "proxyconn",
            "serve",
            *self.config_options,
            "--state",
            str(self.folder / "state"),
            *arguments,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=stdout,
            stderr=asyncio.subprocess.PIPE,
            env=self.environment,
        )

    async def fails(self, *arguments: str) -> tuple[int, str]:
        """Return how it ends that cannot serve: its exit code, and its complaint on one line."""
        process = await self.start(*arguments)
        async with asyncio.timeout(SECONDS):
            _, err = await process.communicate()
        assert process.returncode is not None
        return process.returncode, " ".join(err.decode().split())

    @asynccontextmanager
    async def running(self, *arguments: str) -> AsyncIterator[Running]:
        """Run it until the block is left, with a port of its own on loopback."""
        options = ("--api", "127.0.0.1:0", "--no-announce", "--json")
        process = await self.start(*options, *arguments)
        try:
            assert process.stdout is not None
            async with asyncio.timeout(SECONDS):
                line = await process.stdout.readline()
            if not line:
                _, err = await process.communicate()
                raise AssertionError(err.decode())
            yield Running(process, json.loads(line))
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()


class Running:
    """An owner that runs."""

    def __init__(self, process: asyncio.subprocess.Process, ready: dict[str, Any]) -> None:
        self.process = process
        self.ready = ready

    @property
    def port(self) -> int:
        """Port of the first proxy."""
        return int(self.ready["api"][0]["port"])

    async def event(self, name: str) -> dict[str, Any]:
        """Return the next event of a kind."""
        assert self.process.stdout is not None
        async with asyncio.timeout(SECONDS):
            while line := await self.process.stdout.readline():
                event: dict[str, Any] = json.loads(line)
                if event["event"] == name:
                    return event
        raise AssertionError(f"no {name}")

    async def end(self, number: signal.Signals) -> int:
        """Send a signal; return the exit code."""
        self.process.send_signal(number)
        async with asyncio.timeout(SECONDS):
            await self.process.communicate()
        assert self.process.returncode is not None
        return self.process.returncode


async def configure(serve: Serve, virtual: VirtualFleet, more: str = "") -> None:
    """Write the configuration."""
    text = "discover = false\n" + more
    for proxy in virtual.proxies.values():
        text += (
            f'[[proxy]]\nhost = "127.0.0.1"\nport = {proxy.port}\n'
            f'key = "{proxy.noise_psk}"\nname = "{proxy.name}"\n'
        )
    await asyncio.to_thread(serve.config.write_text, text)
    await asyncio.to_thread(serve.config.chmod, 0o600)


async def key_of(serve: Serve) -> str:
    """Return the key that `--show-key` prints."""
    process = await serve.start("--show-key")
    async with asyncio.timeout(SECONDS):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    return out.decode().strip()


@asynccontextmanager
async def program(running: Running, key: str) -> AsyncIterator[Fleet]:
    """Run a program's fleet on an owner."""
    proxy = Proxy("127.0.0.1", running.port, noise_psk=key)
    async with Fleet([proxy], discover=False, owner=False) as fleet:
        await fleet.ready(1, SECONDS)
        yield fleet
