"""Running other people's programs by `proxyconn run`."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

TIMEOUT = 30.0
"""Seconds within which any program has ended."""


class Runner:
    """Runs programs by `proxyconn run`.

    Args:
        proxyconn: the installed command.
        environment: environment variables of the programs.
        config: configuration of the fleet.
        folder: where programs are put and run.
    """

    def __init__(
        self, proxyconn: Path, environment: dict[str, str], config: Path, folder: Path
    ) -> None:
        self._proxyconn = proxyconn
        self.environment = environment
        self._config = config
        self.options = ["run", "--config", str(config)]
        self.folder = folder

    async def write(self, text: str, name: str = "program.py") -> Path:
        """Write a program."""
        file = self.folder / name
        await asyncio.to_thread(file.write_text, text)
        await asyncio.to_thread(file.chmod, 0o755)
        return file

    async def configure(self, change: Callable[[str], str]) -> None:
        """Change the configuration."""

        def rewrite() -> None:
            self._config.write_text(change(self._config.read_text()))

        await asyncio.to_thread(rewrite)

    def start(
        self, *arguments: object, python: bool = False, **environment: str
    ) -> subprocess.Popen[str]:
        """Start `proxyconn run`, or for comparison `python`, with these arguments."""
        command = [sys.executable] if python else [self._proxyconn, *self.options]
        return subprocess.Popen(
            [*command, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.folder,
            env=self.environment | environment,
        )

    async def run(
        self, *arguments: object, python: bool = False, stdin: str = "", **environment: str
    ) -> tuple[int, str, str]:
        """Run a program to its end; return exit code, output and errors."""

        def run() -> tuple[int, str, str]:
            with self.start(*arguments, python=python, **environment) as process:
                out, err = process.communicate(stdin, timeout=TIMEOUT)
            return process.returncode, out, err

        return await asyncio.to_thread(run)

    @contextlib.asynccontextmanager
    async def running(self, *arguments: object) -> AsyncIterator[subprocess.Popen[str]]:
        """Run a program that goes on until it is killed."""
        process = await asyncio.to_thread(self.start, *arguments)
        try:
            yield process
        finally:
            process.kill()
            await asyncio.to_thread(process.communicate)
