"""How much is remembered: every bond, and of each other kind of fact the newest."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxyconn.state.bounds import BOND, REFRESH_AFTER
from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateFile
from proxyconn.state.memory import remembered

NEAR = "aabbcc000001"


def test_the_oldest_facts_of_a_kind_go_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not at every write, but before there are many more than may be; bonds stay."""
    monkeypatch.setattr("proxyconn.state.file.MOST", 10)
    monkeypatch.setattr("proxyconn.state.file.PRUNE_EVERY", 5)
    file = StateFile(tmp_path)
    file.write([(Key("rare", "one"), Fact(1, 0.0))])
    for number in range(25):
        bond = (Key(BOND, NEAR, str(number)), Fact(True, 0.0))
        file.write([bond, (Key("kind", str(number)), Fact(number, float(number)))])
        assert len([key for key in file.read() if key.kind == "kind"]) < 15
    facts = file.read()
    assert {fact.value for key, fact in facts.items() if key.kind == "kind"} == set(range(15, 25))
    assert len([key for key in facts if key.kind == BOND]) == 25
    assert Key("rare", "one") in facts
    file.close()


async def test_the_oldest_facts_go_first_in_memory_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where nothing is written, and what is written follows."""
    monkeypatch.setattr("proxyconn.state.bounds.MOST", 10)
    monkeypatch.setattr("proxyconn.state.bounds.SPARE", 2)
    for state in (await remembered(tmp_path), await remembered(None)):
        for number in range(40):
            state.put(BOND, NEAR, str(number))
            state.put("kind", device=str(number))
            state.put("kind", device="the one that is used")
            assert len(list(state.facts("kind"))) <= 12
        await state.saved()
        for number in range(40, 46):
            state.put("kind", device=str(number))
        await state.aclose()
        assert len(list(state.facts(BOND))) == 40
        assert {"45", "44"} < {key.device for key, _, _ in state.facts("kind")}
    kept = {key.device for key, _, _ in (await remembered(tmp_path)).facts("kind")}
    assert len(kept) <= 12
    assert "the one that is used" in kept


async def test_what_is_put_again_is_not_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link of today does not go for the day of the first one; its age is right to an hour."""
    state = await remembered(tmp_path)
    state.put("kind")
    await state.saved()
    (written,) = (await asyncio.to_thread(StateFile(tmp_path).read)).values()
    now = written.at
    for later, expected in ((REFRESH_AFTER / 2, 0.0), (REFRESH_AFTER, REFRESH_AFTER)):
        monkeypatch.setattr("proxyconn.state.memory.time.time", lambda at=now + later: at)
        state.put("kind")
        await state.saved()
        (written,) = (await asyncio.to_thread(StateFile(tmp_path).read)).values()
        assert written.at == now + expected
    await state.aclose()
