"""`proxyconn virtual`: a fleet of its own process, used by other commands."""

from __future__ import annotations

import asyncio
import re
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from proxyconn._config import parse_config
from tests.cli.conftest import Done, Invoke, Program

CELL = re.compile(r"\s{2,}")


def read(file: Path) -> str:
    """Return what stands in a file; nothing if it is not there yet."""
    return file.read_text() if file.exists() else ""


async def use(
    program: Program, file: Path, work: Callable[[], Awaitable[None]], *arguments: str
) -> Done:
    """Run a virtual fleet, do some work once it has written its configuration, and end it."""
    done = asyncio.Event()

    async def worker() -> None:
        try:
            async with asyncio.timeout(15.0):
                while not (text := await asyncio.to_thread(read, file)):  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
            # What it holds must not be printed by anybody.
            config = parse_config(text, file.name)
            program.secrets += [proxy.noise_psk for proxy in config.proxies if proxy.noise_psk]
            await work()
        finally:
            done.set()

    options = ("virtual", "--write-config", str(file), *arguments)
    async with asyncio.TaskGroup() as group:
        group.create_task(worker())
        run = group.create_task(program.run_until(done, signal.SIGINT, *options))
    return run.result()


async def test_virtual(program: Program, tmp_path: Path) -> None:
    """The fleet is used with the configuration it wrote; it tells what its proxies see."""
    file = tmp_path / "virtual.toml"

    async def work() -> None:
        found = await program.run("discover", "--config", file, "--json")
        assert [row["slots"]["limit"] for row in found.json["proxies"]] == [1, 1]
        assert all(row["encrypted"] for row in found.json["proxies"])
        assert (found.code, found.err) == (0, "")
        read = await program.run("read", "Lamp", "2a24", "--config", file)
        assert (read.code, read.out) == (0, '4c 61 6d 70  "Lamp"\n')

    done = await use(program, file, work, "--proxies", "2", "--slots", "1")
    assert (done.code, done.err) == (130, "")
    assert stat.S_IMODE((await asyncio.to_thread(file.stat)).st_mode) == 0o600
    assert "10 devices around" in done.out
    lines = [CELL.split(line) for line in done.out.splitlines()]
    seen = [line[2:] for line in lines if len(line) > 3 and line[2].startswith("C4:")]
    lamp = "C4:00:00:00:00:03"
    assert seen == [
        [lamp, "connecting", "Lamp"],
        [lamp, "connected, slot 1", "Lamp"],
        [lamp, "disconnected", "Lamp"],
    ]


async def test_virtual_plaintext_crowd(program: Program, tmp_path: Path) -> None:
    """A fleet may do without encryption, and stand among as many devices as wanted."""
    file = tmp_path / "virtual.toml"

    async def work() -> None:
        assert "key" not in await asyncio.to_thread(read, file)
        found = await program.run("scan", "--config", file, "--json", "--for", "1.2")
        assert found.code == 0
        assert len({row["address"] for row in found.lines}) == 20

    done = await use(program, file, work, "--plaintext", "--devices", "20", "--proxies", "1")
    assert done.code == 130


def test_virtual_keeps_files(invoke: Invoke, tmp_path: Path) -> None:
    """A file that is there is not overwritten."""
    file = tmp_path / "mine.toml"
    file.write_text("mine")
    result = invoke("virtual", "--write-config", file)
    assert (result.exit_code, file.read_text()) == (2, "mine")
    assert "not overwritten" in result.output


def test_virtual_fails(invoke: Invoke, tmp_path: Path) -> None:
    """A fleet that cannot listen says why, and leaves no file behind."""
    file = tmp_path / "new.toml"
    result = invoke("virtual", "--write-config", file, "--interface", "203.0.113.1")
    assert result.exit_code == 1
    assert "203.0.113.1" in result.output
    assert not file.exists()
