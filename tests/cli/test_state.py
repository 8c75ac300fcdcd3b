"""`proxyconn state`: what is remembered is shown, exported and forgotten."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import FILE, StateFile
from tests.cli.conftest import LAMP, LOCK, Program

RADIO = "aabbcc000001"


async def remember(folder: Path) -> None:
    """Write what a run has learned."""
    now = time.time()
    facts = [
        (Key("bond", RADIO, LOCK), Fact(True, now - 7200)),
        (Key("services", "", LAMP), Fact({"mtu": 247, "told": ["x" * 100]}, now)),
    ]
    file = StateFile(folder)
    await asyncio.to_thread(file.write, facts)
    await asyncio.to_thread(file.close)


async def test_shown_and_exported(program: Program, tmp_path: Path) -> None:
    """People see a table, programs all of it."""
    await remember(tmp_path)
    shown = await program.run("state", "--state", tmp_path)
    assert shown.code == 0
    words = ("bond", "AA:BB:CC:00:00:01", LOCK, "2 h", "services", LAMP)
    assert all(word in shown.out for word in words)
    exported = (await program.run("state", "--state", tmp_path, "--json")).json
    assert exported["file"] == str(tmp_path / FILE)
    assert [fact["kind"] for fact in exported["facts"]] == ["bond", "services"]
    assert exported["facts"][1]["value"] == {"mtu": 247, "told": ["x" * 100]}


async def test_forgotten(program: Program, tmp_path: Path) -> None:
    """One device is forgotten, then everything; an address in any spelling will do."""
    await remember(tmp_path)
    one = await program.run("state", "--state", tmp_path, "--forget", LOCK.lower(), "--json")
    assert (one.json["forgotten"], [fact["device"] for fact in one.json["facts"]]) == (1, [LAMP])
    rest = await program.run("state", "--state", tmp_path, "--forget-all")
    assert rest.code == 0
    assert "1 facts forgotten" in rest.out
    assert "Nothing is remembered" in (await program.run("state", "--state", tmp_path)).out


async def test_unreadable(program: Program, tmp_path: Path) -> None:
    """A state that cannot be read is an error that says what to do."""
    await asyncio.to_thread((tmp_path / FILE).mkdir)
    done = await program.run("state", "--state", tmp_path)
    assert done.code == 1
    assert "another folder" in " ".join(done.err.split())
