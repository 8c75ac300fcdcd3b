"""`proxyconn virtual`: a fleet of its own process, used by other commands."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import signal
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

from proxyconn.cli.config_file import parse_config
from tests.cli.conftest import Done, Invoke, Program

CELL = re.compile(r"\s{2,}")


def read(file: Path) -> str:
    """Return what stands in a file; nothing if it is not there yet."""
    return file.read_text() if file.exists() else ""


def own_prefix(file: Path) -> str:
    """Return a prefix that no fleet of another test, or of another run, has."""
    return f"t{hashlib.sha256(str(file).encode()).hexdigest()[:8]}{os.getpid():x}-"


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

    options = ("virtual", "--write-config", str(file), "--prefix", own_prefix(file), *arguments)
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
        assert (read.code, read.out) == (0, '4c 61 6d 70  1886216524  "Lamp"\n')

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


async def test_virtual_beside_another(program: Program, tmp_path: Path) -> None:
    """Names that another fleet announces are refused, and can be chosen."""
    file = tmp_path / "virtual.toml"
    prefix = own_prefix(file)

    async def work() -> None:
        second = ("virtual", "--write-config", tmp_path / "second.toml", "--proxies", "3")
        done = await program.run(*second, "--prefix", prefix)
        assert (done.code, done.out) == (1, "")
        assert f"already announced on 127.0.0.1: {prefix}kitchen, {prefix}bedroom; " in done.err
        assert "--prefix" in done.err
        assert not await asyncio.to_thread((tmp_path / "second.toml").exists)

    done = await use(program, file, work, "--proxies", "2")
    assert done.code == 130
    assert f" {prefix}kitchen " in done.out


SENSOR = """
[[peripheral]]
name = "My sensor"
address = "C4:00:00:00:09:01"
rssi = { kitchen = -50 }
interval = 0.1
service_data = { fcd2 = "40" }
"""
TAG = """
from proxyconn_virtual.advertising import Advertisement, payload
from proxyconn_virtual.peripheral import Peripheral

def tags(proxies):
    said = Advertisement(data=payload(manufacturer_data={0x4C: bytes((len(proxies),))}))
    return [Peripheral("C4:00:00:00:09:02", "Tag", interval=0.1, advertising=said)]
"""


async def test_virtual_peripherals(program: Program, tmp_path: Path) -> None:
    """Peripherals of a TOML and of a Python file are heard instead of the household."""
    file = tmp_path / "virtual.toml"
    await asyncio.to_thread((tmp_path / "sensor.toml").write_text, SENSOR)
    await asyncio.to_thread((tmp_path / "tag.py").write_text, TAG)

    async def work() -> None:
        found = await program.run("scan", "--config", file, "--json", "--for", "1")
        assert found.code == 0
        rows = {row["address"]: row for row in found.lines}
        sensor = rows.pop("C4:00:00:00:09:01")
        assert sensor["name"] == "My sensor"
        assert sensor["rssi"] in range(-53, -46)
        assert rows.pop("C4:00:00:00:09:02")["manufacturer_data"] == {"0x004c": "01"}
        assert not rows

    files = (str(tmp_path / "sensor.toml"), f"{tmp_path / 'tag.py'}:tags")
    given = (f"--peripherals={one}" for one in files)
    done = await use(program, file, work, "--proxies", "1", *given)
    assert done.code == 130
    assert "2 devices around" in done.out


def test_virtual_peripherals_wrong(invoke: Invoke, tmp_path: Path) -> None:
    """A file that cannot be used is named, with the key and what to do."""
    file = tmp_path / "sensor.toml"
    file.write_text(SENSOR.replace("kitchen", "cellar"))
    result = invoke("virtual", "--peripherals", file, "--proxies", "2")
    assert result.exit_code == 2
    assert "no proxy 'cellar'; there are: kitchen, bedroom" in " ".join(result.output.split())
