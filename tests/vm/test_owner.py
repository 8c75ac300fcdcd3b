"""A Linux box as a proxy: `proxyconn serve` over the real bluetoothd and kernel."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from proxyconn_virtual.peripheral import CharacteristicSpec, Peripheral, Properties, ServiceSpec
from proxyconn_virtual.proxy import new_noise_psk
from tests.vm.hardware import Adapter, Hardware
from tests.vm.household import ADDRESS

PROGRAM = Path(__file__).parent.parent / "interop" / "bleak_esphome_program.py"

SECONDS = 120.0
"""Seconds for a whole program, its start included, on a processor emulated in software."""

KEY = new_noise_psk()


def thing() -> Peripheral:
    """Return what the program expects, within reach of hci0 only."""
    props = Properties
    return Peripheral(
        ADDRESS,
        "Thing",
        services=[
            ServiceSpec(
                0xFFF0,
                [
                    CharacteristicSpec(0xFFF1, props.READ, b"hello"),
                    CharacteristicSpec(
                        0xFFF2,
                        props.READ | props.WRITE | props.NOTIFY,
                        on_write=lambda value: value[::-1],
                    ),
                    CharacteristicSpec(0xFFF4, props.READ, b"hidden", encrypted=True),
                ],
            )
        ],
        rssi={"hci0": -48},
        interval=0.05,
    )


async def process(*arguments: str, **environment: str) -> asyncio.subprocess.Process:
    """Start a Python program."""
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={**os.environ, **environment},
    )


async def ended(program: asyncio.subprocess.Process) -> bytes:
    """Return what a program printed, once it has ended well."""
    async with asyncio.timeout(SECONDS):
        out, err = await program.communicate()
    assert program.returncode == 0, err.decode()
    return out


@asynccontextmanager
async def serving(folder: Path) -> AsyncIterator[dict[str, Any]]:
    """Run an owner of hci0; yield what it says of itself. It must end well."""
    config = folder / "config.toml"
    await asyncio.to_thread(config.write_text, f'[serve]\nnoise_psk = "{KEY}"\n')
    await asyncio.to_thread(config.chmod, 0o600)
    owner = await process(
        *("-m", "proxyconn", "serve", "--config", str(config), "--state", str(folder)),
        *("--adapter", "hci0", "--no-discover", "--no-announce", "--api", "127.0.0.1:0", "--json"),
        HOME=str(folder),
        RUNTIME_DIRECTORY=str(folder / "run"),
    )
    try:
        assert owner.stdout
        async with asyncio.timeout(SECONDS):
            line = await owner.stdout.readline()
        if not line:
            await ended(owner)
        yield json.loads(line)
        owner.terminate()
        await ended(owner)
    finally:
        if owner.returncode is None:
            owner.kill()
            await owner.communicate()


@pytest.mark.timeout(3 * SECONDS)
async def test_a_linux_box_is_a_proxy(
    adapter: Adapter, hardware: Hardware, agent: None, tmp_path: Path
) -> None:
    """bleak-esphome under habluetooth hears, reads, writes, is notified, pairs and leaves."""
    await hardware.add(thing())
    async with serving(tmp_path) as ready:
        (api,) = ready["api"]
        program = await process(str(PROGRAM), "use_and_pair", str(api["port"]), KEY, ADDRESS)
        result = json.loads(await ended(program))
    assert (result["read"], result["notified"], result["written"]) == ("hello", "cba", "abc")
    assert (result["secret"], result["losses"]) == ("hidden", [ADDRESS])
    assert [one.address for one in adapter.created_connections] == [ADDRESS, ADDRESS]
    await hardware.until_disconnected(ADDRESS)
