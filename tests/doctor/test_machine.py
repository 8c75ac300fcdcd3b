"""What the doctor finds out about this machine, its network and its configuration."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from zeroconf.asyncio import AsyncZeroconf

from proxyconn import Fleet
from proxyconn.cli.examination import examine as examination
from proxyconn.models import Finding, Level
from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateFile
from proxyconn_esphome.checks.network import multicast, names
from proxyconn_owner.service import serving
from proxyconn_owner.settings import Listen, ServeSettings
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from tests.cli.conftest import PROGRAM, Program, program, secrets
from tests.doctor.conftest import KEY, Look, later, near, way
from tests.owner.conftest import Noted

__all__ = ["program", "secrets"]

OK, NOTE, WARNING, PROBLEM = Level.OK, Level.NOTE, Level.WARNING, Level.PROBLEM
KITCHEN = f"kitchen-{os.getpid():x}"


async def test_clock_that_was_ahead_once(look: Look, home: Path) -> None:
    """Something that was remembered in the future shows that the clock is wrong."""
    file = StateFile(home / "state")
    await asyncio.to_thread(file.write, [(Key("x"), Fact(1, later(0)))])
    assert (await look())[None, "clock"].level is OK
    await asyncio.to_thread(file.write, [(Key("y"), Fact(1, later(3600)))])
    assert (await look())[None, "clock"].level is WARNING
    await asyncio.to_thread(file.close)


async def test_configuration(look: Look, home: Path) -> None:
    """It is told which file is read, and whether others can read it too."""
    file = home / "config.toml"
    missing = (await look(file=file))[None, "configuration"]
    assert (missing.level, "proxyconn init" in (missing.advice or "")) == (NOTE, True)
    file.touch(mode=0o600)
    assert (await look(file=file))[None, "configuration"].level is OK
    file.chmod(0o644)
    open_ = (await look(file=file))[None, "configuration"]
    assert (open_.level, open_.advice) == (WARNING, f"run: chmod 600 {file}")


async def test_names_that_nobody_has(look: Look) -> None:
    """A key or a pin for a radio that is not there is told, with what may have been meant."""
    async with VirtualFleet([ProxySpec(name="kitchen", noise_psk=KEY)], [], announce=False) as one:
        proxy = one.proxies["kitchen"]
        found = await look(
            way(proxy),
            noise_psk={"kitchem": KEY, proxy.mac: KEY},
            prefer={"C4:00:00:00:00:01": ("kitchen", "attic")},
        )
        assert found[None, "keys"].advice == "did you mean kitchen?"
        assert "attic" in found[None, "pins"].seen


async def test_owner_that_does_not_answer(look: Look, home: Path) -> None:
    """A socket that an owner has left behind is told."""
    await asyncio.to_thread((home / "run" / "owner.sock").touch)
    assert (await look())[None, "owner"].level is WARNING


async def test_owner_holds_what_it_shares(look: Look, home: Path) -> None:
    """What this user's own owner holds is as it should be."""
    spec = ProxySpec(name="kitchen", noise_psk=KEY)
    async with VirtualFleet([spec], [near("kitchen")], announce=False) as virtual:
        proxy = virtual.proxies["kitchen"]
        settings = ServeSettings(
            noise_psk=new_noise_psk(), api=Listen("127.0.0.1", 0), announce=False
        )
        async with Fleet([way(proxy)], discover=False) as fleet:
            await fleet.ready()
            async with serving(fleet, settings, home, home / "run", Noted()):
                proxy.inject("slot_leak")
                found = await look(way(proxy))
        assert found[None, "owner"].level is OK
        assert found["kitchen", "subscription"].level is OK


@pytest.fixture
async def loopback() -> AsyncZeroconf:
    """Return what speaks mDNS on loopback alone; to be closed."""
    return AsyncZeroconf(interfaces=["127.0.0.1"])


async def test_multicast_is_tried(loopback: AsyncZeroconf) -> None:
    """A question of our own comes back; without anything to speak mDNS on, none does."""
    try:
        one = await multicast(loopback)
    finally:
        await loopback.async_close()
    assert (one.level, "127.0.0.1" in one.seen) == (OK, True)
    assert (await multicast(None)).level is PROBLEM


def _in_empty_network(*command: str) -> list[str]:
    return ["unshare", "--user", "--map-root-user", "--net", *command]


def _can_unshare() -> bool:
    if shutil.which("unshare") is None:
        return False
    return (
        subprocess.run(_in_empty_network("true"), capture_output=True, check=False).returncode == 0
    )


@pytest.mark.skipif(sys.platform != "linux" or not _can_unshare(), reason="needs user namespaces")
async def test_machine_without_network(program: Program) -> None:
    """Where no interface is up, the first thing wrong is multicast."""
    command = _in_empty_network(str(PROGRAM), "doctor", "--json", "--timeout", "1")
    done = await program.run(*command[1:], program=command[0])
    assert (done.code, done.err) == (1, "")
    problems = [one["check"] for one in done.json["findings"] if one["level"] == "problem"]
    assert problems == ["multicast", "discovery"]


async def test_nobody_answers() -> None:
    """No device at all is a problem only if none is named either."""
    [one] = names({}, [])
    assert (one.check, one.level) == ("discovery", PROBLEM)


async def test_doctor_by_mdns(program: Program, secrets: list[str]) -> None:
    """What mDNS finds is examined; a proxy that announces another name than its own is told."""
    spec = ProxySpec(name=KITCHEN, announced_as=f"{KITCHEN}-2", noise_psk=secrets[0])
    async with VirtualFleet([spec], []):
        done = await program.run(
            "doctor", "--interface", "127.0.0.1", "--json", "--timeout", "6",
            PROXYCONN_KEY=secrets[0],
        )  # fmt: skip
    # Other proxies may be announced on this machine, too, and be a problem.
    assert done.code in (1, 3)
    assert not done.json["well"]
    found = [Finding(**one) for one in done.json["findings"]]
    by_check = {one.check: one for one in found if one.subject in (None, KITCHEN)}
    assert by_check["multicast"].level == OK
    assert by_check["discovery"].level == OK
    assert by_check["name"].level == WARNING
    assert f"announces itself as {KITCHEN}-2" in by_check["name"].seen
    assert by_check["session"].level == OK


async def test_exit_codes(program: Program) -> None:
    """0 if all is well, 1 for problems, and people read what to do; 3 is for warnings only."""
    spec = ProxySpec(name="kitchen")
    async with VirtualFleet([spec], [], announce=False) as fleet:
        way = ("doctor", "--no-discover", "--proxy", f"127.0.0.1:{fleet.proxies['kitchen'].port}")
        well = await program.run(*way)
        failed = await program.run(*way, "--proxy", "127.0.0.1:1", COLUMNS="80")
    assert (well.code, well.err) == (0, "")
    assert "all is well" in well.out
    assert failed.code == 1
    assert "→ check host and port, and that `api:` is on" in failed.out
    assert max(map(len, failed.out.splitlines())) <= 80
    assert "1 problem" in failed.out


async def test_exit_code_of_warnings_alone(program: Program, tmp_path: Path) -> None:
    """What works, but could be better, is 3, on the screen and as JSON."""
    file = tmp_path / "config.toml"
    async with VirtualFleet([ProxySpec(name="kitchen")], [], announce=False) as fleet:
        port = fleet.proxies["kitchen"].port
        text = f'discover = false\n[[proxy]]\nhost = "127.0.0.1"\nport = {port}\n'
        await asyncio.to_thread(file.write_text, text)
        await asyncio.to_thread(file.chmod, 0o644)
        shown = await program.run("doctor", "--config", file)
        told = await program.run("doctor", "--config", file, "--json")
    assert (shown.code, told.code) == (3, 3)
    levels = [one["level"] for one in told.json["findings"]]
    assert (levels.count("warning"), levels.count("problem"), told.json["well"]) == (1, 0, False)


async def test_nothing_that_could_look(look: Look, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no backend's checks are installed, nothing was looked at, and that is a problem."""
    monkeypatch.setattr(examination, "CHECKS_GROUP", "proxyconn.checks.of.nobody")
    found = await look()
    assert found[None, "installation"].level is PROBLEM
