"""services, read, write, notify and params, on virtual proxies."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

from proxyconn_virtual import events
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import CharacteristicSpec, Outcome
from proxyconn_virtual.radio import LinkParameters
from proxyconn_virtual.simulated import SimulatedAir
from tests.cli.conftest import BEATS, LAMP, LOCK, PROGRAM, STATE, STRAP, Program, all_free


@pytest.fixture
def state(house: VirtualFleet) -> CharacteristicSpec:
    """Return the state of the lamp, which keeps what is written to it."""
    return house.peripherals[0].services[0].characteristics[0]


def connected(house: VirtualFleet) -> asyncio.Event:
    """Return what is set as soon as the kitchen has a link."""
    event = asyncio.Event()
    house.proxies["kitchen"].add_observer(
        lambda seen: event.set() if isinstance(seen, events.Connected) else None
    )
    return event


async def test_services(program: Program, house: VirtualFleet, config: Path) -> None:
    """The GATT table is a tree with handles, names and properties."""
    done = await program.run("services", "Lamp", "--config", config)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith(f"Lamp  {LAMP}\n")
    [line] = [line for line in done.out.splitlines() if "Model Number String" in line]
    assert line.split()[-5:] == ["Model", "Number", "String", "2a24", "read"]
    await all_free(house)


async def test_services_json(program: Program, house: VirtualFleet, config: Path) -> None:
    """With --json it is one document."""
    done = await program.run("services", STRAP, "--config", config, "--json")
    assert done.code == 0
    found = done.json
    assert (found["address"], found["name"], found["mtu"]) == (STRAP, "Strap", 247)
    [service] = [one for one in found["services"] if one["name"] == "Heart Rate"]
    beats, _ = service["characteristics"]
    assert beats["uuid"].startswith("00002a37-")
    assert beats["properties"] == ["notify"]
    assert beats["descriptors"][0]["uuid"].startswith("00002902-")


async def test_read(program: Program, house: VirtualFleet, config: Path) -> None:
    """A value is printed as bytes and, if it is some, as text; in JSON as both."""
    done = await program.run("read", LAMP.lower(), "2A24", "--config", config)
    assert (done.code, done.err) == (0, "")
    assert done.out == '4d 6f 64 65 6c 20 5b 58 5d  "Model [X]"\n'
    done = await program.run("read", LAMP, "2a24", "--config", config, "--json")
    handle = done.json["handle"]
    assert done.json == {
        "address": LAMP,
        "uuid": "00002a24-0000-1000-8000-00805f9b34fb",
        "handle": handle,
        "name": "Model Number String",
        "hex": b"Model [X]".hex(),
        "text": "Model [X]",
    }
    done = await program.run("read", LAMP, handle, "--config", config, "--json")
    assert (done.code, done.json["text"]) == (0, "Model [X]")


@pytest.mark.parametrize(
    ("device", "characteristic", "words"),
    [
        (LAMP, "2a00cafe", "no characteristic with UUID 2a00cafe"),
        (LAMP, "999", "no characteristic with handle 999; it has 3 (2a00), "),
        (LOCK, "0x2a19", "; for the UUID write 2a19\n"),
        (STRAP, "2a37", "cannot be read; its properties are notify; try `proxyconn notify`"),
        (LOCK, "2a19", "2 characteristics have the UUID 2a19; choose one by its handle"),
        (LOCK, STATE, "ESP_GATT_INSUF_AUTHENTICATION"),
    ],
)
async def test_read_fails(
    program: Program,
    house: VirtualFleet,
    config: Path,
    device: str,
    characteristic: str,
    words: str,
) -> None:
    """What cannot be read ends with 1 and one line that says why, and the slot is freed."""
    done = await program.run("read", device, characteristic, "--config", config)
    assert (done.code, done.out) == (1, "")
    assert words in done.err
    assert done.err.count("\n") == 1
    await all_free(house)


async def test_read_paired(program: Program, house: VirtualFleet, config: Path) -> None:
    """--pair opens what needs pairing."""
    done = await program.run("read", LOCK, STATE, "--pair", "--config", config)
    assert (done.code, done.out) == (0, "01  1\n")


async def test_unknown_device(program: Program, house: VirtualFleet, config: Path) -> None:
    """A device that nobody hears is reported after --timeout, with the state of the proxies."""
    arguments = ("--config", config, "--timeout", "1")
    done = await program.run("read", "C4:00:00:00:00:99", "2a19", *arguments)
    assert done.code == 1
    [line] = done.err.splitlines()
    assert "C4:00:00:00:00:99: no radio heard it within 1 s (garage, kitchen: ready)" in line
    assert "`proxyconn scan`" in line


async def test_write(
    program: Program, house: VirtualFleet, config: Path, state: CharacteristicSpec
) -> None:
    """Bytes reach the device, with and without a response."""
    done = await program.run("write", LAMP, STATE, "0x2a", "--config", config)
    assert (done.code, done.out) == (0, f"wrote 1 byte to {STATE}, acknowledged\n")
    assert state.value == b"\x2a"
    arguments = ("--no-response", "--json", "--config", config)
    done = await program.run("write", LAMP, STATE, "01:02", *arguments)
    assert (done.code, done.json["response"], done.json["hex"]) == (0, False, "0102")
    await all_free(house)
    assert state.value == b"\x01\x02"


@pytest.mark.parametrize(
    ("device", "characteristic", "options", "words"),
    [
        (LAMP, "2a24", (), "2a24 cannot be written; its properties are read"),
        (LOCK, STATE, ("--no-response",), "cannot be written without response"),
    ],
)
async def test_write_refused(
    program: Program,
    house: VirtualFleet,
    config: Path,
    device: str,
    characteristic: str,
    options: tuple[str, ...],
    words: str,
) -> None:
    """A write that the characteristic does not take is not claimed to have worked."""
    done = await program.run("write", device, characteristic, "00", "--config", config, *options)
    assert done.code == 1
    assert words in done.err


async def test_write_too_long(program: Program, house: VirtualFleet, config: Path) -> None:
    """A value that no characteristic can hold is bad usage."""
    done = await program.run("write", LAMP, STATE, "00" * 513, "--config", config)
    assert done.code == 2
    assert "512" in done.err
    await all_free(house)


async def test_notify_count(program: Program, house: VirtualFleet, config: Path) -> None:
    """--count ends after so many values."""
    arguments = ("--count", "3", "--config", config)
    done = await program.run("notify", STRAP, BEATS, *arguments, "--json")
    assert (done.code, len(done.lines)) == (0, 3)
    assert [line["hex"] for line in done.lines] == ["00", "01", "02"]
    done = await program.run("notify", STRAP, BEATS, *arguments)
    assert [line.split()[1:] for line in done.out.splitlines()] == [
        ["00", "0"],
        ["01", "1"],
        ["02", "2"],
    ]
    await all_free(house)


@pytest.mark.parametrize(("characteristic", "lines"), [(BEATS, 1), ("2a38", 0)])
async def test_notify_reader_gone(
    program: Program, house: VirtualFleet, config: Path, characteristic: str, lines: int
) -> None:
    """A reader that goes ends the command quietly, though no other value may ever come."""
    command = f"{PROGRAM} notify {STRAP} {characteristic} --config {config} --json --for 60"
    done = await program.run("-c", f"{command} | head -n {lines}", program="/bin/sh")
    assert (len(done.lines), done.err) == (lines, "")
    await all_free(house)


async def test_notify_too_few(program: Program, house: VirtualFleet, config: Path) -> None:
    """--for ends after so long; it is a failure only if there are fewer values than --count."""
    arguments = ("notify", STRAP, "2a38", "--for", "0.1", "--config", config)
    done = await program.run(*arguments)
    assert (done.code, done.out) == (0, "")
    done = await program.run(*arguments, "--count", "2")
    assert done.code == 1
    assert "only 0 of 2 values came within 0.1 s" in done.err


async def test_notify_refused(program: Program, house: VirtualFleet, config: Path) -> None:
    """A characteristic that does not notify is refused."""
    done = await program.run("notify", LAMP, "2a24", "--config", config)
    assert done.code == 1
    assert "does not notify; its properties are read" in done.err


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
async def test_notify_interrupted(
    program: Program, house: VirtualFleet, config: Path, sign: signal.Signals, code: int
) -> None:
    """Ctrl-C, and being told to end, close the link before the program is gone."""
    closed: list[int] = []
    house.proxies["kitchen"].add_observer(
        lambda seen: closed.append(seen.reason) if isinstance(seen, events.Disconnected) else None
    )
    done = await program.run_until(
        connected(house), sign, "notify", STRAP, BEATS, "--config", str(config)
    )
    assert (done.code, done.err) == (code, "")
    assert closed == [0]
    assert house.proxies["kitchen"].snapshot().free == 2
    await all_free(house)


async def test_interrupted_while_connecting(
    program: Program, house: VirtualFleet, config: Path
) -> None:
    """Ctrl-C in the middle of an attempt: the slot is free once firmware has ended the attempt."""
    house.peripherals[0].outcomes.append(Outcome(after=1.5))
    connecting = asyncio.Event()
    house.proxies["kitchen"].add_observer(
        lambda seen: connecting.set() if isinstance(seen, events.Connecting) else None
    )
    done = await program.run_until(
        connecting, signal.SIGINT, "read", LAMP, STATE, "--config", str(config)
    )
    assert (done.code, done.err) == (130, "")
    await all_free(house)


async def test_notify_link_lost(
    program: Program, house: VirtualFleet, config: Path, air: SimulatedAir
) -> None:
    """A link that is lost ends the command with 1."""
    link = connected(house)
    run = asyncio.create_task(
        program.run("notify", STRAP, BEATS, "--for", "20", "--config", config)
    )
    async with asyncio.timeout(10.0):
        await link.wait()
        while not air.notify(STRAP, BEATS, b"!"):  # noqa: ASYNC110 - only asking tells
            await asyncio.sleep(0.01)
    assert air.drop_link(STRAP)
    done = await run
    assert done.code == 1
    assert "the link was lost after" in done.err


async def test_params(program: Program, house: VirtualFleet, config: Path) -> None:
    """The parameters reach the proxy."""
    done = await program.run("params", LAMP, 24, 40, 1, 400, "--config", config)
    assert (done.code, done.out) == (
        0,
        "Lamp was asked for 30 to 50 ms, latency 1, timeout 4 s\n",
    )
    received = house.proxies["kitchen"].snapshot().parameters[LAMP]
    assert received == LinkParameters(24, 40, 1, 400)


async def test_retry_is_shown(program: Program, house: VirtualFleet, config: Path) -> None:
    """A retry is printed with its reason on stderr, and the output stays clean."""
    house.peripherals[0].outcomes.append(Outcome(reason=0x3E))
    done = await program.run("read", LAMP, STATE, "--config", config)
    assert (done.code, done.out) == (0, "00  0\n")
    assert done.err.startswith("retry: Lamp: attempt 1 on kitchen failed: ")
    assert "ESP_GATT_ERROR" in done.err
    assert "(next within 1 s)" in done.err
