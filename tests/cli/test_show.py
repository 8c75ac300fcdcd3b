"""discover, scan and slots, on virtual proxies."""

from __future__ import annotations

import asyncio
import re
import signal
import socket
from pathlib import Path
from typing import Any

import pytest

from proxyconn_proto import bluetooth_proxy_pb2 as pb
from proxyconn_virtual import events
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from tests.cli.conftest import LAMP, LOCK, PROGRAM, STRAP, Program, all_free, peripherals


async def test_discover(program: Program, house: VirtualFleet, config: Path) -> None:
    """Every proxy is listed with its address, firmware, state and slots."""
    done = await program.run("discover", "--config", config)
    assert (done.code, done.err) == (0, "")
    for name, proxy in house.proxies.items():
        [line] = [line for line in done.out.splitlines() if name in line]
        assert line.split() == [name, f"127.0.0.1:{proxy.port}", "2026.10.0", "ready", "2/2"]


async def test_discover_json(program: Program, house: VirtualFleet, config: Path) -> None:
    """With --json the same comes as one document."""
    done = await program.run("discover", "--config", config, "--json")
    assert done.code == 0
    garage, kitchen = done.json["proxies"]
    assert (garage["name"], kitchen["name"]) == ("garage", "kitchen")
    assert kitchen == {
        "name": "kitchen",
        "host": "127.0.0.1",
        "port": house.proxies["kitchen"].port,
        "encrypted": True,
        "firmware": "2026.10.0",
        "state": "ready",
        "problem": None,
        "holder": None,
        "connectable": True,
        "scan_mode": None,
        "configured_scan_mode": None,
        "slots": {"limit": 2, "free": 2, "allocated": []},
    }


async def test_discover_by_mdns(program: Program, secrets: list[str]) -> None:
    """Proxies that nobody named are found on the interface, and joined with the one key."""
    # The answer to the first question goes to one of loopback's sockets alone, and not to ours; the
    # second question comes after 1 s (RFC 6762 sections 5.2 and 15.1).
    name = f"hall-{secrets[0][:4].encode().hex()}"
    async with VirtualFleet([ProxySpec(name=name, noise_psk=secrets[0])], []) as fleet:
        done = await program.run(
            "discover",
            "--interface",
            "127.0.0.1",
            "--timeout",
            "4",
            "--json",
            PROXYCONN_KEY=secrets[0],
        )
        [found] = [row for row in done.json["proxies"] if row["name"] == name]
        assert (found["state"], found["port"]) == ("ready", fleet.proxies[name].port)
    assert done.code == 0


async def test_discover_prompted_key(
    program: Program, house: VirtualFleet, secrets: list[str]
) -> None:
    """--key asks for the key, and takes it from a pipe too."""
    proxy = f"127.0.0.1:{house.proxies['kitchen'].port}"
    arguments = ("discover", "--no-discover", "--proxy", proxy, "--key")
    done = await program.run(*arguments, stdin=f"{secrets[0]}\n", PROXYCONN_KEY=secrets[1])
    assert (done.code, done.err) == (0, "")
    assert "kitchen" in done.out


@pytest.mark.parametrize(
    ("given", "words"), [(None, "wants an encryption key"), (1, "refused the encryption key")]
)
async def test_discover_wrong_key(
    program: Program, house: VirtualFleet, secrets: list[str], given: int | None, words: str
) -> None:
    """A proxy whose key is wrong or missing says so, and the exit code is 1."""
    proxy = f"127.0.0.1:{house.proxies['kitchen'].port}"
    environment = {} if given is None else {"PROXYCONN_KEY": secrets[given]}
    arguments = ("--no-discover", "--proxy", proxy)
    done = await program.run("discover", *arguments, "--json", **environment)
    assert done.code == 1
    [row] = done.json["proxies"]
    assert row["state"] == "wrong key"
    assert words in row["problem"]
    assert proxy in done.err
    done = await program.run("read", LAMP, "2a24", *arguments, **environment)
    assert done.code == 1
    assert words in done.err
    assert "PROXYCONN_KEY" in done.err


async def test_discover_problems(program: Program, house: VirtualFleet) -> None:
    """At 80 columns no host is broken; a problem that several share stands under the table once."""
    hosts = sorted(f"127.0.0.1:{proxy.port}" for proxy in house.proxies.values())
    arguments = [word for host in hosts for word in ("--proxy", host)]
    done = await program.run("discover", "--no-discover", *arguments, COLUMNS="80")
    assert done.code == 1
    lines = done.out.splitlines()
    for host in hosts:
        [line] = [line for line in lines if line.startswith(f" {host} ")]
        assert line.split() == [host, host, "-", "wrong", "key", "-"]
    problem = (
        "it wants an encryption key and none was given; give the `key` that its YAML has under "
        "`api: encryption:` (`noise_psk=` in Python)"
    )
    hint = "(keys come from --key, the configuration file or PROXYCONN_KEY)"
    assert lines[-2:] == [f"{', '.join(hosts)}: {problem}", hint]


async def test_discover_unreachable(
    program: Program, house: VirtualFleet, config: Path, secrets: list[str]
) -> None:
    """A port that refuses and a host that is none are told apart from proxies that are ready."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        refused = f"127.0.0.1:{taken.getsockname()[1]}"
        arguments = ("--proxy", refused, "--proxy", "nowhere.invalid", "--json")
        done = await program.run("discover", "--config", config, *arguments)
    assert done.code == 1
    rows = {row["name"]: row for row in done.json["proxies"]}
    assert "no connection to its port" in rows[refused]["problem"]
    assert "cannot be resolved" in rows["nowhere.invalid:6053"]["problem"]
    assert rows["kitchen"]["problem"] is rows["garage"]["problem"] is None
    assert refused in done.err
    assert "nowhere.invalid" in done.err


async def test_discover_plaintext(program: Program) -> None:
    """A proxy that does not encrypt is joined without a key, and is not spoken to with one."""
    spec = ProxySpec(name="kitchen")
    async with VirtualFleet([spec], [], announce=False) as fleet:
        arguments = ("discover", "--no-discover", "--json", "--proxy")
        proxy = f"127.0.0.1:{fleet.proxies['kitchen'].port}"
        done = await program.run(*arguments, proxy)
        assert (done.code, done.json["proxies"][0]["encrypted"]) == (0, False)
        done = await program.run(*arguments, proxy, PROXYCONN_KEY=program.secrets[0])
        assert done.code == 1
        assert "does not encrypt" in done.json["proxies"][0]["problem"]


async def test_discover_nothing(program: Program) -> None:
    """No proxy at all is a failure that says what to do."""
    done = await program.run("scan", "--interface", "127.0.0.1", "--timeout", "0.1")
    assert done.code == 1
    assert "no proxy" in done.err


async def test_scan(program: Program, house: VirtualFleet, config: Path) -> None:
    """Every device is listed with its strength at every proxy; names are not read as markup."""
    done = await program.run("scan", "--config", config, "--for", "1")
    assert (done.code, done.err) == (0, "")
    header = next(line for line in done.out.splitlines() if "Address" in line)
    assert header.split() == ["Device", "Address", "dBm", "garage", "kitchen", "Age"]
    for address, name in ((LAMP, "Lamp"), (LOCK, "[red]Lock"), (STRAP, "Strap")):
        [line] = [line for line in done.out.splitlines() if address in line]
        assert line.startswith(f" {name} ")
        best, garage, kitchen = map(int, line.split()[-5:-2])
        assert best == kitchen
        assert abs(kitchen + 50) <= 5
        assert abs(garage + 70) <= 5


@pytest.mark.parametrize("given", ["--mode", "the configuration"])
async def test_scan_mode(program: Program, house: VirtualFleet, config: Path, given: str) -> None:
    """Proxies scan as the option or the configuration says, that is shown, and then as before."""
    arguments: tuple[str, ...] = (given, "passive")
    if not given.startswith("--"):
        arguments = ()
        text = await asyncio.to_thread(config.read_text)
        await asyncio.to_thread(config.write_text, f'scan = "passive"\n{text}')
    done = await program.run("scan", "--config", config, "--for", "1", *arguments)
    assert (done.code, done.err) == (0, "")
    assert "garage, kitchen: scans in mode passive (YAML: active)" in done.out
    await all_free(house)
    for proxy in house.proxies.values():
        assert proxy.snapshot().received["BluetoothScannerSetModeRequest"] == 2
        assert proxy.bluetooth.scanner.mode == pb.BLUETOOTH_SCANNER_MODE_ACTIVE


async def test_scan_proxy_lost(program: Program, house: VirtualFleet, config: Path) -> None:
    """A proxy that dies loses its column, and is told of under the table."""
    lost = []

    async def kill() -> None:
        await house.proxies["garage"].kill()

    house.proxies["kitchen"].add_observer(
        lambda event: (
            lost.append(asyncio.ensure_future(kill()))
            if isinstance(event, events.Subscribed)
            else None
        )
    )
    done = await program.run("scan", "--config", config, "--for", "3")
    await asyncio.gather(*lost)
    assert done.code == 0
    header = next(line for line in done.out.splitlines() if "Address" in line)
    assert header.split() == ["Device", "Address", "dBm", "kitchen", "Age"]
    # Until the first try to reconnect has failed it is not known what is wrong.
    assert re.match(
        "garage: (gone: no connection to its port|connecting)", done.out.splitlines()[-1]
    )


async def test_scan_json(program: Program, house: VirtualFleet, config: Path) -> None:
    """With --json every advertisement is a line."""
    done = await program.run("scan", "--config", config, "--for", "0.5", "--json")
    assert done.code == 0
    assert len(done.lines) > len(peripherals())
    last = {row["address"]: row for row in done.lines}
    assert set(last) == {LAMP, LOCK, STRAP}
    assert last[LAMP]["name"] == "Lamp"
    assert [path["source"] for path in last[LAMP]["paths"]] == ["kitchen", "garage"]


async def test_scan_reader_gone(program: Program, house: VirtualFleet, config: Path) -> None:
    """A reader that has seen enough ends the scan, quietly, and the proxies are left."""
    command = f"{PROGRAM} scan --config {config} --json --for 20 | head -n 1"
    done = await program.run("-c", command, program="/bin/sh")
    assert (len(done.lines), done.err) == (1, "")
    await all_free(house)


async def test_scan_interrupted(program: Program, house: VirtualFleet, config: Path) -> None:
    """Ctrl-C ends a scan with 130, and the proxies are left."""
    scanning = asyncio.Event()
    house.proxies["kitchen"].add_observer(
        lambda event: scanning.set() if isinstance(event, events.Subscribed) else None
    )
    done = await program.run_until(
        scanning, signal.SIGINT, "scan", "--config", str(config), "--for", "20"
    )
    assert (done.code, done.err) == (130, "")
    await all_free(house)


async def test_slots(program: Program, house: VirtualFleet, config: Path) -> None:
    """Slots are drawn as cells, with how many are free."""
    done = await program.run("slots", "--config", config)
    assert (done.code, done.err) == (0, "")
    for name in house.proxies:
        [line] = [line for line in done.out.splitlines() if name in line]
        assert line.split() == [name, "ready", "□", "□", "2/2", "nobody"]


async def test_slots_json(program: Program, house: VirtualFleet, config: Path) -> None:
    """With --json they come as one document."""
    done = await program.run("slots", "--config", config, "--json")
    slots = {"limit": 2, "free": 2, "allocated": []}
    assert done.code == 0
    assert done.json == {
        "proxies": [
            {"name": name, "state": "ready", "slots": slots} for name in ("garage", "kitchen")
        ]
    }


async def test_slots_of_another_client(program: Program, house: VirtualFleet, config: Path) -> None:
    """Proxies whose advertisements another client has still tell their slots, and no more."""
    held = asyncio.Semaphore(0)
    for proxy in house.proxies.values():
        proxy.add_observer(
            lambda seen: held.release() if isinstance(seen, events.Subscribed) else None
        )
    other = ("scan", "--config", config, "--for", "25", "--json")
    async with program.running(signal.SIGINT, *other) as advertisement, asyncio.timeout(25):
        await advertisement()
        for _ in house.proxies:
            await held.acquire()
        done = await program.run("slots", "--config", config)
    assert (done.code, done.err) == (0, "")
    for name in house.proxies:
        [line] = [line for line in done.out.splitlines() if line.startswith(f" {name} ")]
        assert line.split() == [name, "ready", "□", "□", "2/2", "nobody"]


async def test_slots_watch(program: Program, house: VirtualFleet, config: Path) -> None:
    """--watch goes on when proxies go, even all of them, and come again."""
    watch = ("slots", "--watch", "--json", "--config", config)
    async with program.running(signal.SIGINT, *watch) as next_line:

        async def until(**states: tuple[str, ...]) -> list[dict[str, Any]]:
            while True:
                rows: list[dict[str, Any]] = (await next_line())["proxies"]
                if all(row["state"] in states[row["name"]] for row in rows):
                    return rows

        ready, lost = ("ready",), ("connecting", "gone")
        assert [row["slots"]["free"] for row in await until(garage=ready, kitchen=ready)] == [2, 2]
        await house.proxies["kitchen"].kill()
        assert (await until(garage=ready, kitchen=lost))[1]["slots"] is None
        await house.proxies["garage"].kill()
        await until(garage=lost, kitchen=lost)
        await house.proxies["kitchen"].start()
        assert (await until(garage=lost, kitchen=ready))[1]["slots"]["free"] == 2


async def test_slots_of_nobody(program: Program, house: VirtualFleet, config: Path) -> None:
    """With no proxy that tells its slots, the command fails; one reason is told once."""
    for proxy in house.proxies.values():
        await proxy.kill()
    done = await program.run("slots", "--config", config)
    assert (done.code, done.out) == (1, "")
    assert "no proxy can be used: garage, kitchen: no connection to its port" in done.err


async def test_ascii_terminal(program: Program, house: VirtualFleet, config: Path) -> None:
    """Where only ASCII can be printed, only ASCII is printed."""
    done = await program.run("slots", "--config", config, PYTHONIOENCODING="ascii")
    assert done.code == 0
    assert done.out.isascii()
    assert ". ." in done.out


async def test_verbose(program: Program, house: VirtualFleet, config: Path) -> None:
    """-v logs what is ours to stderr, a line each; -vv what it uses too; no key among it."""
    entry = re.compile(r"[\d-]+ [\d:,]+ DEBUG (\w+)[\w.]*: .+")
    for option, names in (
        ("-v", {"proxyconn_esphome"}),
        ("-vv", {"proxyconn_esphome", "aioesphomeapi"}),
    ):
        done = await program.run("discover", "--config", config, option, "--json", COLUMNS="40")
        assert (done.code, len(done.json["proxies"])) == (0, 2)
        found = [entry.match(line) for line in done.err.splitlines()]
        assert {match[1] for match in found if match} == names
        assert all(found) or option == "-vv"
