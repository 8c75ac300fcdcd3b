"""`proxyconn init`, on a terminal of its own, and the configuration that it makes."""

from __future__ import annotations

import asyncio
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from proxyconn import RadioState
from proxyconn.cli.config_file import ConfigError, parse_config
from proxyconn.cli.setup.configuration import configured, read, without_secrets, write
from proxyconn.cli.setup.found_proxies import FoundProxy
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec
from tests.cli.conftest import Program, program, secrets
from tests.cli.test_taking import Terminal
from tests.doctor.conftest import KEY, SUBSCRIBE, WRONG_KEY

__all__ = ["program", "secrets"]

KITCHEN = FoundProxy(
    "kitchen", "AA:BB:CC:00:00:01", "10.0.0.7", 6053, RadioState.READY, None, True, "2026.8.0", KEY
)
KEPT = '# mine\nadapters = ["hci0"]\n\n[[proxy]]  # upstairs\nhost = "10.0.0.7"\n'


def test_keys_of_found_proxies() -> None:
    """A new file has the keys by name, or by address where the name is not its own."""
    second = replace(KITCHEN, name="kitchen (00:02)", mac="AA:BB:CC:00:00:02", key=WRONG_KEY)
    config = parse_config(configured("", "x", [KITCHEN, second]), "x")
    assert config.keys == {"kitchen": KEY, "AA:BB:CC:00:00:02": WRONG_KEY}


def test_what_is_there_is_kept() -> None:
    """Comments, order and other values stay; a table of the same proxy takes the key."""
    text = configured(KEPT, "x", [replace(KITCHEN, by_mdns=False)])
    assert text == KEPT + f'key = "{KEY}"\n'
    assert configured(text, "x", [replace(KITCHEN, by_mdns=False)]) == text


@pytest.mark.parametrize("state", [RadioState.WRONG_KEY, RadioState.GONE])
def test_a_key_that_did_not_open_replaces_none(state: RadioState) -> None:
    """What a proxy has refused, or nobody could try, is not written over what is there."""
    text = KEPT + f'key = "{KEY}"\n'
    refused = replace(KITCHEN, by_mdns=False, state=state, problem="no", key=WRONG_KEY)
    assert configured(text, "x", [refused]) == text


def test_proxies_that_mdns_does_not_find() -> None:
    """Those that were named, all where nothing is looked for, and those with a password."""
    far = replace(KITCHEN, by_mdns=False, host="10.1.0.8", port=6054)
    text = configured(KEPT, "x", [far, replace(far, host="10.1.0.9", key=None, password="secret")])
    one, two, three = tomllib.loads(text)["proxy"]
    assert one == {"host": "10.0.0.7"}
    assert two == {"host": "10.1.0.8", "port": 6054, "name": "kitchen", "key": KEY}
    assert three == {"host": "10.1.0.9", "port": 6054, "name": "kitchen", "password": "secret"}
    [only] = tomllib.loads(configured("discover = false\n", "x", [KITCHEN]))["proxy"]
    assert (only["host"], only["key"]) == ("10.0.0.7", KEY)


def test_what_else_may_stand_there_is_where_it_says() -> None:
    """The document that a new configuration names is there, and is about it."""
    name = configured("", "x", [KITCHEN]).partition("\n")[0].rpartition(" ")[2]
    text = (Path(__file__).parents[2] / name).read_text(encoding="utf-8")
    assert "## `[[proxy]]`" in text


async def test_scan_is_no_option_of_it(program: Program) -> None:
    """It would be without effect: how proxies scan is no part of what init asks about."""
    done = await program.run("init", "--scan", "active")
    assert done.code == 2
    assert "No such option" in done.err


def test_shown_without_secrets() -> None:
    """What is shown has no key, wherever it stands."""
    text = f'key = "{KEY}"\n[keys]\nx = "{KEY}"\n[[proxy]]\nhost = "h"\npassword = "swordfish"\n'
    text += f'[serve]\nnoise_psk = "{KEY}"\n'
    shown = without_secrets(text)
    assert KEY not in shown
    assert "swordfish" not in shown
    assert shown.count("…") == 4
    assert 'host = "h"' in shown


def test_written_for_its_user_alone(tmp_path: Path) -> None:
    """The file is whole, private, and not written over what somebody else has changed."""
    file = tmp_path / "new" / "config.toml"
    write(file, "discover = true\n", instead_of="")
    assert (read(file), file.stat().st_mode & 0o777) == ("discover = true\n", 0o600)
    file.chmod(0o644)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        write(file, "discover = false\n", instead_of="")
    assert read(file) == "discover = true\n"
    link = tmp_path / "link.toml"
    link.symlink_to(file)
    write(link, "discover = false\n", instead_of="discover = true\n")
    assert (read(file), file.stat().st_mode & 0o777, link.is_symlink()) == (
        "discover = false\n",
        0o600,
        True,
    )
    assert [one.name for one in file.parent.iterdir()] == ["config.toml"]


async def test_dialogue(program: Program, secrets: list[str], tmp_path: Path) -> None:
    """A wrong key is refused, the right one taken, tried on others, and written, never shown."""
    file = tmp_path / "new.toml"
    specs = [ProxySpec(name=name, noise_psk=secrets[0]) for name in ("kitchen", "cellar")]
    async with VirtualFleet(specs, [], announce=False) as fleet:
        kitchen, cellar = (f"127.0.0.1:{one.port}" for one in fleet.proxies.values())
        way = ("init", "--interface", "127.0.0.1", "--no-discover", "--proxy", kitchen)
        terminal = await Terminal.start(program, *way, "--config", str(file))
        for key in ("nonsense", secrets[1], secrets[0]):
            await terminal.until("leave it out)")
            terminal.shown = ""
            await terminal.type(f"{key}\n")
        await terminal.until("opens with its key")
        await terminal.until("for no more)")
        await terminal.type(f"{cellar}\n")
        await terminal.until(f"cellar ({cellar}, 2026.10.0): opens with its key")
        await terminal.type("\n")
        await terminal.until(f"Write {file}? [y/N]")
        assert not await asyncio.to_thread(file.exists)
        await terminal.type("y\n")
        await terminal.until("proxyconn scan --config")
        code, out = await terminal.end()
        assert code == 0
        for secret in secrets:
            assert secret not in terminal.shown + out
        assert all(SUBSCRIBE not in one.snapshot().received for one in fleet.proxies.values())
    config = parse_config(await asyncio.to_thread(read, file), "x")
    assert [(one.name, one.noise_psk) for one in config.proxies] == [
        ("kitchen", secrets[0]),
        ("cellar", secrets[0]),
    ]
    assert (await asyncio.to_thread(file.stat)).st_mode & 0o777 == 0o600


async def test_needs_a_terminal(program: Program) -> None:
    """Without a terminal there is nobody to ask."""
    done = await program.run("init", "--no-discover", "--proxy", "127.0.0.1:1")
    assert done.code == 2
    assert "run it on a terminal" in done.err
