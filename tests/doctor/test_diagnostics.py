"""`proxyconn diagnostics`: what is in the archive, and what is not."""

from __future__ import annotations

import asyncio
import json
import secrets as secrets_of_python
import zipfile
from base64 import b64decode
from pathlib import Path

from proxyconn.cli.archive.redaction import REMOVED, Redaction
from proxyconn_virtual.fleet import VirtualFleet
from proxyconn_virtual.proxy import ProxySpec, new_noise_psk
from tests.cli.conftest import Program, program, secrets
from tests.cli.test_taking import Terminal

__all__ = ["program", "secrets"]

PASSWORD = 'sword"fish'
MAC = "AA:BB:CC:0D:0E:0F"


def contents(path: Path) -> dict[str, str]:
    """Return the files of an archive by name."""
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        return {one.rpartition("/")[2]: archive.read(one).decode() for one in archive.namelist()}


async def test_archive(program: Program, secrets: list[str], tmp_path: Path) -> None:
    """Everything is in it but secrets, in whatever form; hashes are the same in every file."""
    key, other = secrets
    path, log, config = (tmp_path / name for name in ("out.zip", "old.log", "c.toml"))
    spec = ProxySpec(name="kitchen", noise_psk=key, mac=MAC)
    async with VirtualFleet([spec], [], announce=False) as fleet:
        port = fleet.proxies["kitchen"].port
        text = (
            f'discover = false\n# old key: {other}\nkey = "{other}"\n[keys]\ncellar = "{key}"\n'
            f'[[proxy]]\nhost = "127.0.0.1"\nport = {port}\nname = "kitchen"\nkey = "{key}"\n'
            f'password = \'{PASSWORD}\'\n[serve]\nnoise_psk = "{other}"\nname = "the-smiths"\n'
            'web_origin = "https://proxies.smith-family.example"\n[cluster]\nsite = "smithville"\n'
            'servers = "nats://bus.smiths.example:4222"\n'
            '[[client]]\nname = "Smith Assistant"\n'
        )
        raw = b64decode(key).hex()
        said = f"kitchen [{MAC.lower()}] at 127.0.0.1: key {key!r}, {raw}, {PASSWORD!r}\n"
        said += "kitchen_uptime of kitchen, asked for by Smith Assistant\n"

        def write() -> None:
            config.touch(mode=0o600)
            config.write_text(text)
            log.write_text(said + json.dumps({"password": PASSWORD}))

        await asyncio.to_thread(write)
        way = ("diagnostics", "--config", config, "--output", path, "--log", log)
        hashed = ("--hash-addresses", "--hash-names")
        unasked = await program.run(*way, *hashed)
        assert (unasked.code, await asyncio.to_thread(path.exists)) == (1, False)
        assert "--yes" in unasked.err
        done = await program.run(*way, *hashed, "--yes")
        again = await program.run(*way, "--yes")
    assert done.code == 0, done.err
    assert "addresses and names are hashed" in done.out
    assert (again.code, "there already" in again.err) == (1, True)
    files = await asyncio.to_thread(contents, path)
    assert set(files) == {
        "versions.json", "findings.json", "snapshot.json", "state.json", "log.txt",
        "configuration.toml", "log-1.txt",
    }  # fmt: skip
    assert all(name in done.out for name in files)
    for name, file in files.items():
        for secret in (key, other, raw, PASSWORD, json.dumps(PASSWORD)[1:-1]):
            assert secret not in file, name
        for private in ("kitchen", "cellar", "mith", MAC, MAC.lower(), "127.0.0.1", str(tmp_path)):
            assert private not in file, name
    [radio] = json.loads(files["snapshot.json"])["radios"]
    assert radio["mac"].startswith("mac-")
    for told in (radio["mac"], radio["name"], radio["host"]):
        assert told in files["log-1.txt"]
    assert files["configuration.toml"].count(REMOVED) == 5
    assert (await asyncio.to_thread(path.stat)).st_mode & 0o777 == 0o600


async def test_paths_that_cannot_be_are_refused_at_once(program: Program, tmp_path: Path) -> None:
    """A folder that is not there, a log that is not: before anything is looked at, with code 2."""
    refused = [
        ("--output", tmp_path / "nowhere" / "out.zip"),
        ("--output", Path("/proc/out.zip")),
        ("--log", tmp_path / "no.log"),
    ]
    for option, path in refused:
        done = await program.run(
            "diagnostics", "--no-discover", "--yes", option, path, "--proxy", "127.0.0.1:1"
        )
        assert (done.code, done.out) == (2, ""), done.err
        assert option in done.err


def test_names_are_found_between_what_is_no_letter() -> None:
    """Entities and hosts are named after a proxy; a word that only holds its name is another."""
    clean = Redaction([], names=("hall", "a.b"))
    hashed = clean("hall")
    assert hashed.startswith("name-")
    for text in ("hall_uptime", "hall.local", "my_HALL", "'hall'", "hall-1"):
        assert hashed in clean(text), text
    for text in ("challenge", "hall9", "halls", "a-b"):
        assert clean(text) == text


def test_addresses_in_every_form() -> None:
    """One address has one hash, however it is written; times and versions are no addresses."""
    forms = [MAC, MAC.lower(), MAC.replace(":", "_"), MAC.replace(":", "").lower()]
    text = " ".join([*forms, "21:20:33", "2026.8.0", "fe80::1", "10.0.0.7:6053", "hall-0d0e0f"])
    *macs, time, version, v6, v4, name = Redaction([], [text], addresses=True)(text).split()
    assert len(set(macs)) == 1
    assert (time, version) == ("21:20:33", "2026.8.0")
    assert v6.startswith("ip-")
    assert (v4.startswith("ip-"), v4.endswith(":6053")) == (True, True)
    assert name.startswith("hall-end-")
    assert Redaction([], [text], addresses=True)(MAC) != macs[0], "without a salt of its own"


def test_keys_of_strangers_are_removed() -> None:
    """What looks like a key is taken out, known or not; other text stays."""
    key, token = new_noise_psk(), secrets_of_python.token_urlsafe(32)
    clean = Redaction([])
    assert clean(f"noise_psk={key}, ok") == f"noise_psk={REMOVED}, ok"
    for text in (json.dumps(f"key:\n{key}"), f"a/{key}", key[:-1], key[:-1] + "%3D", token):
        left = clean(text)
        assert REMOVED in left
        assert not any(one in left for one in (key[:-1], token))
    assert clean("an ordinary line of a log") == "an ordinary line of a log"


async def test_asked_on_a_terminal(program: Program, tmp_path: Path) -> None:
    """On a terminal the list comes first, and only yes writes."""
    path = tmp_path / "out.zip"
    way = ("diagnostics", "--no-discover", "--proxy", "127.0.0.1:1", "--output", str(path))
    terminal = await Terminal.start(program, *way)
    await terminal.until(f"Write {path}? [y/N]")
    assert not await asyncio.to_thread(path.exists)
    await terminal.type("y\n")
    code, out = await terminal.end()
    assert code == 0
    assert "snapshot.json" in out
    files = await asyncio.to_thread(contents, path)
    assert "no connection to its port" in files["findings.json"]
