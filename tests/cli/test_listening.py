"""`--listen`, `listen =` and `proxyconn virtual --dial`: proxies that call, on the command line."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from proxyconn import Fleet
from proxyconn.cli.arguments import with_port
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.ports import LISTEN_PORT
from proxyconn.radio import FleetOptions
from proxyconn_native_api.dialling import OutgoingConnection
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.peripheral import Peripheral
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from tests.fleet.place import free_port

from .conftest import Program
from .test_virtual import use

KEY = new_noise_psk()


def calling(port: int, *names: str) -> VirtualFleet:
    """Return proxies that call a port as soon as they are started."""
    calls = OutgoingConnection(host="127.0.0.1", port=port, delay=0.2, longest_retry=0.5)
    specs = [
        ProxySpec(name=name, noise_psk=KEY, profile="2026.10", outgoing_connection=calls)
        for name in names
    ]
    near = Peripheral("C4:00:00:00:00:01", "near", rssi={names[0]: -50}, interval=0.2)
    return VirtualFleet(specs, [near], announce=False, host="127.0.0.2")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        (["--listen"], [f"--listen={LISTEN_PORT}"]),
        (["--listen", "--json"], [f"--listen={LISTEN_PORT}", "--json"]),
        (["--listen", "7000", "x"], ["--listen", "7000", "x"]),
        (["--listen=7000"], ["--listen=7000"]),
        (["--config", "--listen"], ["--config", "--listen"]),
        (["prog", "--listen"], ["prog", "--listen"]),
        (["--config", "f", "prog", "--listen"], ["--config", "f", "prog", "--listen"]),
        (["--listen", "prog", "--listen"], [f"--listen={LISTEN_PORT}", "prog", "--listen"]),
        (["--", "--listen"], ["--", "--listen"]),
    ],
)
def test_the_port_may_be_left_out(given: list[str], taken: list[str]) -> None:
    """And nothing of a program's own arguments is touched."""
    assert with_port(given, {"--config"}, program=True) == taken


@pytest.mark.parametrize(("text", "listen"), [("true", True), ("false", False), ("7000", 7000)])
def test_the_configuration(text: str, listen: object) -> None:
    """`listen` is a switch or a port."""
    assert parse_config(f"listen = {text}", "f").listen is listen or listen == 7000


@pytest.mark.parametrize("text", ['"yes"', "0", "70000", "1.5", "[1]"])
def test_what_the_configuration_cannot_say(text: str) -> None:
    """The error names the value."""
    with pytest.raises(ConfigError, match="listen must be"):
        parse_config(f"listen = {text}", "f")


@pytest.mark.parametrize(("listen", "port"), [(True, 6054), (False, None), (7000, 7000)])
def test_the_port_of_a_fleet(listen: bool | int, port: int | None) -> None:
    """True is the port that ESPHome calls."""
    options: FleetOptions = Fleet(listen=listen)._options  # noqa: SLF001 - what backends get
    assert options.listen == port


@pytest.mark.parametrize("listen", [0, -1, 65536])
def test_a_port_that_is_none(listen: int) -> None:
    """It is refused at once."""
    with pytest.raises(ValueError, match="no TCP port"):
        Fleet(listen=listen)


def config(folder: Path, *lines: str) -> str:
    """Write a configuration; return its path."""
    file = folder / "config.toml"
    file.write_text("\n".join(("discover = false", *lines)), encoding="utf-8")
    file.chmod(0o600)
    return str(file)


async def test_discover_shows_who_calls(program: Program, tmp_path: Path) -> None:
    """Also who is refused, with MAC address, name and what to do."""
    port = free_port()
    async with calling(port, "shed", "gate") as outside:
        shed, gate = outside.proxies.values()
        file = await asyncio.to_thread(
            config, tmp_path, f"listen = {port}", "[keys]", f'"{shed.mac}" = "{KEY}"'
        )
        done = await program.run("discover", "--config", file, "--json")
        rows: dict[str, Any] = {row["name"]: row for row in done.json["proxies"]}
        assert rows["shed"]["state"] == "ready"
        assert (rows["shed"]["host"], rows["shed"]["port"]) == ("127.0.0.2", None)
        refused = rows[f"gate ({gate.mac})"]
        assert refused["state"] == "wrong key"
        assert f"no key is known for it; give one for {gate.mac} or for gate" in refused["problem"]
        assert done.code == 0
        done = await program.run("discover", "--config", file, COLUMNS="120")
        assert "127.0.0.2 (calls)" in done.out
        assert f"give one for {gate.mac}" in " ".join(done.out.split())


async def test_a_device_is_reached_through_a_caller(program: Program, tmp_path: Path) -> None:
    """`--listen PORT` is all that it takes, beside the key."""
    port = free_port()
    async with calling(port, "shed"):
        file = await asyncio.to_thread(config, tmp_path, f'key = "{KEY}"')
        done = await program.run("services", "near", "--config", file, "--listen", str(port))
        assert done.code == 0, done.err


async def test_nobody_calls(program: Program, tmp_path: Path) -> None:
    """That is said, and how long to wait."""
    file = await asyncio.to_thread(config, tmp_path, f"listen = {free_port()}")
    done = await program.run("scan", "--config", file, "--timeout", "1")
    assert done.code == 1
    assert "no proxy has called within 1 s" in done.err


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--dial", "house.example"], "IP address"),
        (["--dial", "127.0.0.1:99999"], "IP:PORT"),
        (["--dial", "127.0.0.1", "--plaintext"], "--plaintext"),
        (["--dial", "127.0.0.1", "--profile", "2026.9"], "2026.10"),
    ],
)
async def test_what_virtual_proxies_cannot_dial(
    program: Program, options: list[str], why: str
) -> None:
    """The error says what to give."""
    done = await program.run("virtual", *options)
    assert done.code == 2
    assert why in " ".join(done.err.replace("│", " ").split())


async def test_virtual_proxies_that_dial(program: Program, tmp_path: Path) -> None:
    """The configuration that they write is all that another command needs to be called."""
    file = tmp_path / "virtual.toml"

    async def work() -> None:
        found = await program.run("discover", "--config", file, "--json")
        assert [row["port"] for row in found.json["proxies"]] == [None, None]
        assert (found.code, found.err) == (0, "")
        read = await program.run("read", "Lamp", "2a24", "--config", file)
        assert (read.code, read.out) == (0, '4c 61 6d 70  1886216524  "Lamp"\n')

    dial = f"127.0.0.1:{free_port()}"
    done = await use(program, file, work, "--proxies", "2", "--dial", dial)
    assert (done.code, done.err) == (130, "")
