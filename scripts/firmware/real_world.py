"""The firmware's own code as a process, and the line protocol of its simulated radio."""

from __future__ import annotations

import asyncio
import os
import socket
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .world import BASIC, ScriptedService, Setting

NAME = "simproxy"
_LINE_LIMIT = 1 << 24
_STARTS = 5


def free_port() -> int:
    """Return a TCP port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class RealWorld:
    """A process that runs the firmware's code; see World.

    Args:
        binary: the program.
        name: what the proxy is called.
        mac: 12 hex digits; None for those of all such proxies.
    """

    def __init__(self, binary: Path, name: str = NAME, mac: str | None = None) -> None:
        self.name = name
        self._binary = binary
        self._mac = {} if mac is None else {"SIM_MAC": mac}
        self._port = self._control = 0
        self._process: asyncio.subprocess.Process | None = None
        self._home = tempfile.TemporaryDirectory(prefix="firmware-")
        self._writer: asyncio.StreamWriter | None = None
        self._turn = asyncio.Lock()

    @property
    def port(self) -> int:
        """Of the native API."""
        return self._port

    async def start(self) -> None:
        """Start the process. Raises OSError if it does not come up."""
        for _ in range(_STARTS):
            self._control, self._port = free_port(), free_port()
            # Somebody else may take one of the ports meanwhile.
            if await self._boot():
                await asyncio.sleep(0.4)
                return
        raise OSError(f"{self._binary} does not come up")

    async def kill(self) -> None:
        """Lose power, with all that is known of peripherals."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None
        if self._process is not None:
            await _end(self._process)

    async def restart(self) -> None:
        """Start again after a kill, on the same ports. Raises OSError if it does not come up."""
        for _ in range(_STARTS):
            if await self._boot():
                return
        raise OSError(f"{self._binary} does not come up again")

    async def _boot(self) -> bool:
        process = self._process = await self._spawn()
        try:
            await _listening(self._port, process)
            self._reader, self._writer = await asyncio.open_connection(
                "127.0.0.1", self._control, limit=_LINE_LIMIT
            )
        except OSError:
            await _end(process)
            return False
        return True

    async def _spawn(self) -> asyncio.subprocess.Process:
        env = os.environ | {
            "SIM_NAME": self.name,
            "SIM_PORT": str(self._port),
            "SIM_CONTROL": str(self._control),
            "ESPHOME_PREFDIR": self._home.name,
            **self._mac,
        }
        return await asyncio.create_subprocess_exec(
            self._binary,
            env=env,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def stop(self) -> None:
        """Kill the process; idempotent."""
        await self.kill()
        self._home.cleanup()

    async def device(
        self, address: int, services: Sequence[ScriptedService] = BASIC, **settings: Setting
    ) -> None:
        """Put a peripheral on the air."""
        words = (f"{key.replace('__', '.')}={value}" for key, value in settings.items())
        await self._do(f"dev {address:012X} {' '.join(words)}")
        for service in services:
            await self._do(f"svc {address:012X} {service.uuid} {service.start} {service.end}")
            for one in service.characteristics:
                where = f"{address:012X} {one.uuid} {one.handle}"
                await self._do(f"chr {where} {one.properties}")
                await self._do(f"val {address:012X} {one.handle} {one.value.hex() or '-'}")
                for uuid, handle in one.descriptors:
                    await self._do(f"dsc {address:012X} {uuid} {handle}")

    async def drop(self, address: int, reason: int, close_ms: int) -> None:
        """Lose a link."""
        await self._do(f"drop {address:012X} {reason} {close_ms}")

    async def notify(self, address: int, handle: int, value: bytes, times: int = 1) -> None:
        """Let a peripheral notify."""
        self._write(f"ntf {address:012X} {handle} {value.hex()}\n" * times)
        for _ in range(times):
            await self._reader.readline()

    async def burst(self, address: int, count: int, handle_of: int, handle: int) -> None:
        """Let one device advertise, and another notify at once behind it."""
        self._write(f"burst {address:012X} {count}\nntf {handle_of:012X} {handle} aa\n")
        await self._reader.readline()
        await self._reader.readline()

    async def ask_for_security(self, address: int) -> None:
        """Let a peripheral ask for encryption."""
        await self._do(f"secreq {address:012X}")

    async def links(self) -> Sequence[int]:
        """Return the last octets of the devices that are linked."""
        words = (await self._do("links")).split()[1:]
        return [int(word.split(":")[0], 16) & 0xFF for word in words]

    async def _do(self, line: str) -> str:
        async with self._turn:
            self._write(line + "\n")
            return (await self._reader.readline()).decode().rstrip("\n")

    def _write(self, lines: str) -> None:
        if self._writer is None:
            raise RuntimeError("not started")
        self._writer.write(lines.encode())


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
    await process.wait()


async def _listening(port: int, process: asyncio.subprocess.Process) -> None:
    """Return once a port is served. Raises OSError if the process ends before, or never serves."""
    for _ in range(200):
        await asyncio.sleep(0.05)
        if process.returncode is not None:
            break
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            continue
        writer.close()
        return
    raise OSError(f"nothing listens on port {port}")
