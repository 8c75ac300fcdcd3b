"""Which links are ours: by the run that asked for them, and whether that one is gone."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateFile
from proxyconn.state.held_links import GHOST_TIME, HELD, HeldLinks, Whose
from proxyconn.state.memory import FileMemory, remembered
from proxyconn.state.runs import Runs
from proxyconn.state.subscribers import Subscribers

Changes = Iterable[tuple[Key, Fact | None]]

RADIO, DEVICE, OTHER = "aabbcc000001", "C4:00:00:00:00:01", "C4:00:00:00:00:02"

PROGRAM = f"""
import asyncio, sys
from pathlib import Path
from proxyconn.state.held_links import HeldLinks
from proxyconn.state.memory import remembered
from proxyconn.state.runs import Runs

async def main():
    state = await remembered(Path(sys.argv[1]))
    held = HeldLinks(state)
    held.asked("{RADIO}", "{DEVICE}")
    held.saw("{RADIO}", "{OTHER}")
    await state.saved()
    print(state.run, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@contextmanager
def program(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Run a program that holds a link, and has seen one of another client."""
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, str(folder)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith(f"{process.pid}-")
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def whose(folder: Path, *devices: str) -> list[Whose]:
    """Return whose links are, as a run sees it that starts now."""

    async def look() -> list[Whose]:
        state = await remembered(folder)
        held = HeldLinks(state)
        try:
            return [held.whose(RADIO, device, 0.0) for device in devices]
        finally:
            await state.aclose()

    return asyncio.run(look())


def test_a_link_is_ours_once_the_run_that_asked_for_it_is_killed(tmp_path: Path) -> None:
    """While that program lives it is its own; long after, it may be anybody's."""
    with program(tmp_path) as process:
        assert whose(tmp_path, DEVICE, OTHER) == [Whose.PROGRAM, Whose.UNKNOWN]
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert whose(tmp_path, DEVICE, OTHER) == [Whose.EARLIER, Whose.UNKNOWN]
    [file] = tmp_path.glob("run-*.lock")
    at = time.time() - GHOST_TIME - 1
    os.utime(file, (at, at))
    assert whose(tmp_path, DEVICE) == [Whose.UNKNOWN]
    assert file.exists()
    os.utime(file, (0, 0))
    assert whose(tmp_path, DEVICE) == [Whose.UNKNOWN]
    assert not file.exists()


async def test_a_run_that_ends_leaves_no_sign_of_life(tmp_path: Path) -> None:
    """What it leaves behind all the same is nobody's that is known."""
    state = await remembered(tmp_path)
    HeldLinks(state).asked(RADIO, DEVICE)
    async with asyncio.timeout(10):
        while not await asyncio.to_thread(lambda: list(tmp_path.glob("run-*.lock"))):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
    await state.aclose()
    assert not await asyncio.to_thread(lambda: list(tmp_path.glob("run-*.lock")))
    later = await remembered(tmp_path)
    assert HeldLinks(later).whose(RADIO, DEVICE, 0.0) is Whose.UNKNOWN
    await later.aclose()


async def test_links_that_have_left_are_forgotten(tmp_path: Path) -> None:
    """Those of another program that lives stay its own to forget."""
    state = await remembered(tmp_path)
    held = HeldLinks(state)
    held.asked(RADIO, DEVICE)
    held.asked(RADIO, OTHER)
    held.left(RADIO, {OTHER})
    assert held.whose(RADIO, DEVICE, 0.0) is Whose.UNKNOWN
    assert held.whose(RADIO, OTHER, 0.0) is Whose.OURS
    assert [key.device for key, _, _ in state.facts(HELD)] == [OTHER]
    await state.aclose()


@pytest.mark.parametrize(("seconds", "expected"), [(5, Whose.OURS), (200, Whose.UNKNOWN)])
def test_links_of_a_session_that_was_cut_off(seconds: float, expected: Whose) -> None:
    """They are ours for as long as the proxy may take the session for alive."""
    held = HeldLinks()
    held.asked(RADIO, DEVICE)
    held.cut_off(RADIO, 100.0)
    assert held.whose(RADIO, DEVICE, 100.0 + seconds) is expected


def test_a_run_that_has_ended_in_order_lives_no_more(tmp_path: Path) -> None:
    """It takes its file along; who looks again knows that it ended."""
    ours, other = Runs(tmp_path), Runs(tmp_path)
    other.begin()
    ours.look()
    assert ours.silence(other.me) is None
    asyncio.run(other.aclose())
    ours.look()
    silence = ours.silence(other.me)
    assert silence is not None
    assert silence < 60.0


async def ask(state: FileMemory) -> HeldLinks:
    """Ask the radio for both devices, and wait until that is written down."""
    held = HeldLinks(state)
    held.asked(RADIO, DEVICE)
    held.asked(RADIO, OTHER)
    await state.saved()
    return held


async def test_a_run_forgets_nothing_that_another_has_asked_for(tmp_path: Path) -> None:
    """Both have asked one radio for one device; what becomes of the first is not the second's."""
    second = await remembered(tmp_path)
    await ask(second)
    first = await remembered(tmp_path)
    held = await ask(first)
    held.left(RADIO, {OTHER})
    held.cut_off(RADIO, 0.0)
    await first.aclose()
    third = await remembered(tmp_path)
    links = HeldLinks(third)
    assert links.whose(RADIO, DEVICE, 0.0) is Whose.PROGRAM
    assert links.whose(RADIO, OTHER, 0.0) is not Whose.OURS
    await second.aclose()
    runs = {key.radio for key, _, _ in third.facts(HELD) if key.device == DEVICE}
    assert runs == {f"{RADIO} {second.run}"}
    await third.aclose()


async def test_who_finds_a_link_that_was_asked_for_finds_its_run(tmp_path: Path) -> None:
    """The run shows that it lives before it writes down what it asks for."""
    there: list[bool] = []

    class Watched(StateFile):
        def write(
            self, changes: Iterable[tuple[Key, Fact | None]], *, synced: bool = False
        ) -> None:
            there.append(any(tmp_path.glob("run-*.lock")))
            super().write(changes, synced=synced)

    state = FileMemory(Watched(tmp_path))
    await state.open()
    HeldLinks(state).asked(RADIO, DEVICE)
    await state.saved()
    assert there == [True]
    await state.aclose()


@pytest.mark.skipif(sys.platform == "win32", reason="there are no locks of this kind")
def test_where_nothing_can_be_locked_signs_of_life_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Some network file systems have no locks."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr("proxyconn.state.runs.fcntl.flock", refuse)
    ours, other = Runs(tmp_path / "new"), Runs(tmp_path / "new")
    other.begin()
    ours.look()
    assert ours.silence(other.me) is None
    [file] = (tmp_path / "new").glob("run-*.lock")
    os.utime(file, (time.time() - 100, time.time() - 100))
    ours.look()
    assert ours.silence(other.me) == pytest.approx(100, abs=20)
    asyncio.run(other.aclose())


async def test_who_asked_for_a_subscription_last(tmp_path: Path) -> None:
    """It is known to other programs while it lives, and until one of them asks itself."""
    ours, theirs = await remembered(tmp_path), await remembered(tmp_path)
    us, them = Subscribers(ours), Subscribers(theirs)
    try:
        assert await us.other(RADIO) is None
        us.asked(RADIO)
        await ours.saved()
        assert await us.other(RADIO) is None
        assert await them.other(RADIO) == str(os.getpid())
        assert await them.other("aabbcc000002") is None
        them.asked(RADIO)
        await theirs.saved()
        assert (await us.other(RADIO), await them.other(RADIO)) == (str(os.getpid()), None)
        us.asked(RADIO)
        await ours.saved()
        assert (await us.other(RADIO), await them.other(RADIO)) == (None, str(os.getpid()))
        await ours.aclose()
        assert await them.other(RADIO) is None
    finally:
        await theirs.aclose()


async def test_nobody_is_known_without_a_state() -> None:
    """What is kept nowhere is known to nobody, and a value of another form is none."""
    nowhere = Subscribers()
    nowhere.asked(RADIO)
    assert await nowhere.other(RADIO) is None
    assert await Subscribers(FileMemory()).other(RADIO) is None
