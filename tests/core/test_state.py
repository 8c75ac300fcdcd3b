"""What outlives the process: the file, the memory over it, and what becomes of a broken one."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import pytest

from proxyconn.routing.bonds import REFUSED_FOR, Bonds
from proxyconn.state.bounds import BOND
from proxyconn.state.facts import Fact, Key, NoMemory
from proxyconn.state.file import FILE, StateError, StateFile
from proxyconn.state.memory import WRITE_SOON, FileMemory, remembered

DEVICE, NEAR, FAR = "C4:00:00:00:00:01", "aabbcc000001", "aabbcc000002"


async def test_facts_outlive_the_process(tmp_path: Path) -> None:
    """What one run has put, and not dropped, the next one knows, with its age."""
    first = await remembered(tmp_path)
    first.put("kind", NEAR, DEVICE, value={"a": [1, None]})
    first.put("kind", FAR, DEVICE)
    first.drop("kind", FAR, DEVICE)
    await first.aclose()
    second = await remembered(tmp_path)
    ((key, value, age),) = second.facts("kind")
    assert (key, value) == (Key("kind", NEAR, DEVICE), {"a": [1, None]})
    assert 0 <= age < 60
    assert second.get("kind", FAR, DEVICE) is None
    await second.aclose()


async def test_nothing_is_written_where_nothing_is_known(tmp_path: Path) -> None:
    """A run that learns nothing makes no file, nor does one that is to remember nothing."""
    state = await remembered(tmp_path / "one")
    await state.aclose()
    forgetful = await remembered(None)
    forgetful.put("kind")
    await forgetful.aclose()
    assert not await asyncio.to_thread(lambda: list(tmp_path.iterdir()))


async def test_urgent_facts_are_written_at_once(tmp_path: Path) -> None:
    """A bond is in the file long before the next regular write."""
    state = await remembered(tmp_path)
    state.put("slow")
    state.put("bond", NEAR, DEVICE, soon=True)
    async with asyncio.timeout(2):
        while not await asyncio.to_thread(StateFile(tmp_path).read):  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    assert Key("bond", NEAR, DEVICE) in await asyncio.to_thread(StateFile(tmp_path).read)
    await state.aclose()


async def test_two_processes_share_it(tmp_path: Path) -> None:
    """Each writes what it has learned; neither undoes the other's, nor is kept from it.

    Often, for it is a matter of microseconds who makes the file.
    """
    for number in range(40):
        folder = tmp_path / str(number)
        one, two = await remembered(folder), await remembered(folder)
        one.put("kind", NEAR, value=1)
        two.put("kind", FAR, value=2)
        await asyncio.gather(one.aclose(), two.aclose())
        third = await remembered(folder)
        assert {key.radio: value for key, value, _ in third.facts("kind")} == {NEAR: 1, FAR: 2}
        await third.aclose()


def test_file_is_for_its_user_alone(tmp_path: Path) -> None:
    """Nobody else may read it."""
    file = StateFile(tmp_path / "state")
    file.write([(Key("kind"), Fact(1, 0.0))])
    assert file.path.stat().st_mode & 0o077 == 0
    assert file.path.parent.stat().st_mode & 0o077 == 0
    file.close()


@pytest.mark.parametrize("content", [b"", b"nonsense" * 100, b"SQLite format 3\0" + bytes(4000)])
def test_broken_file_is_set_aside(
    tmp_path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    """A file that cannot be used is kept under another name, and said so; work goes on."""
    (tmp_path / FILE).write_bytes(content)
    file = StateFile(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert file.read() == {}
    aside = [one for one in tmp_path.iterdir() if "set-aside" in one.name]
    assert [one.read_bytes()[: len(content)] for one in aside] == ([content] if content else [])
    file.write([(Key("kind"), Fact(1, 0.0))])
    assert file.read() == {Key("kind"): Fact(1, 0.0)}
    file.close()


def test_what_can_be_read_of_another_version_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file of another version is set aside, and its facts are carried over."""
    file = StateFile(tmp_path)
    file.write([(Key("bond", NEAR, DEVICE), Fact(True, 1.0))])
    file.close()
    with sqlite3.connect(file.path) as database:
        database.execute("PRAGMA user_version = 7")
    database.close()
    with caplog.at_level(logging.WARNING):
        assert file.read() == {Key("bond", NEAR, DEVICE): Fact(True, 1.0)}
    assert "version 7" in caplog.text
    assert file.read() == {Key("bond", NEAR, DEVICE): Fact(True, 1.0)}
    file.close()


def test_rows_that_are_none(tmp_path: Path) -> None:
    """A row that cannot be read costs no other one."""
    file = StateFile(tmp_path)
    file.write([(Key("kind", "a"), Fact(1, 0.0)), (Key("kind", "b"), Fact(2, 0.0))])
    file.close()
    with sqlite3.connect(file.path) as database:
        database.execute("UPDATE facts SET value = '{' WHERE radio = 'a'")
    database.close()
    assert file.read() == {Key("kind", "b"): Fact(2, 0.0)}


def test_folder_that_is_none(tmp_path: Path) -> None:
    """A folder that cannot be one is an error that names the way out."""
    (tmp_path / "file").write_text("")
    with pytest.raises(StateError, match="another folder"):
        StateFile(tmp_path / "file").write([(Key("kind"), Fact(1, 0.0))])


async def test_memory_goes_on_without_a_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A state that cannot be written is said in the log, and is remembered while it lasts."""
    await asyncio.to_thread((tmp_path / "file").write_text, "")
    state = FileMemory(StateFile(tmp_path / "file"))
    await state.open()
    state.put("kind")
    await state.aclose()
    assert state.get("kind") is True
    assert "not remembered" in caplog.text


WRITER = """
import sys, time
from pathlib import Path
from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateFile
file = StateFile(Path(sys.argv[1]))
number = int(sys.argv[2])
while True:
    changes = [(Key("bond", "r", str(number)), Fact(True, time.time()))]
    changes += [(Key("noise", "r", str(n)), Fact("x" * 500, time.time())) for n in range(50)]
    file.write(changes)
    print(number, flush=True)
    number += 1
"""


def test_killed_while_writing(tmp_path: Path) -> None:
    """However often a process is killed, the file can be read, and no bond it reported is lost."""
    told = 0
    for round_number in range(8):
        writer = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(tmp_path), str(told + 1)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert writer.stdout is not None
        told = int(writer.stdout.readline())
        time.sleep(0.003 * round_number)
        os.kill(writer.pid, signal.SIGKILL)
        rest = writer.stdout.read().split("\n")
        told = max([told, *(int(line) for line in rest[:-1] if line)])
        writer.wait()
        writer.stdout.close()
        known = {int(key.device) for key in StateFile(tmp_path).read() if key.kind == "bond"}
        assert set(range(1, told + 1)) <= known
        told = max(known)


def test_bonds_and_security() -> None:
    """A device goes where its bond is; a radio that it refused is remembered for a while."""
    bonds = Bonds(NoMemory())
    assert bonds.radios(DEVICE, [NEAR, FAR]) == set()
    bonds.made(DEVICE, FAR)
    assert bonds.radios(DEVICE, [NEAR, FAR]) == {FAR}
    assert bonds.radios(DEVICE, [NEAR]) == set()
    bonds.refused(DEVICE, FAR, 5.0)
    assert bonds.radios(DEVICE, [NEAR, FAR]) == set()
    assert bonds.was_refused(DEVICE, FAR, 5.0)
    assert not bonds.was_refused(DEVICE, NEAR, 5.0)
    assert bonds.was_refused(DEVICE, FAR, 4.0 + REFUSED_FOR)
    assert not bonds.was_refused(DEVICE, FAR, 5.0 + REFUSED_FOR)
    bonds.made(DEVICE, FAR)
    assert not bonds.was_refused(DEVICE, FAR, 5.0)
    bonds.removed(DEVICE, FAR)
    assert bonds.radios(DEVICE, [NEAR, FAR]) == set()


async def test_bonds_are_remembered(tmp_path: Path) -> None:
    """A bond of an earlier run counts, and one that was removed does not."""
    state = await remembered(tmp_path)
    bonds = Bonds(state)
    bonds.made(DEVICE, NEAR)
    bonds.made(DEVICE, FAR)
    bonds.removed(DEVICE, NEAR)
    await state.aclose()
    again = await remembered(tmp_path)
    assert Bonds(again).radios(DEVICE, [NEAR, FAR]) == {FAR}
    assert [key.radio for key, _, _ in again.facts(BOND)] == [FAR]


async def test_what_is_saved_is_in_the_file(tmp_path: Path) -> None:
    """Whoever waits for it finds it there, though another write is under way."""
    state = await remembered(tmp_path)
    state.put("first", soon=True)
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    state.put("second")
    await state.saved()
    kinds = {key.kind for key in await asyncio.to_thread(StateFile(tmp_path).read)}
    assert kinds == {"first", "second"}
    await state.aclose()


class SlowFile(StateFile):
    """A file that is written when it may be, or fails to be.

    Attributes:
        may: set while it may be written.
        error: why it cannot be written; None if it can.
        written: the kinds of facts of each write.
    """

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.may = threading.Event()
        self.may.set()
        self.error: str | None = None
        self.written: list[set[str]] = []

    def write(self, changes: Iterable[tuple[Key, Fact | None]], *, synced: bool = False) -> None:
        """Write, or fail."""
        changes = list(changes)
        assert self.may.wait(10)
        self.written.append({key.kind for key, _ in changes})
        if self.error:
            raise StateError(self.error)
        super().write(changes, synced=synced)


async def test_what_is_put_while_it_closes_is_written(tmp_path: Path) -> None:
    """Sessions that end then have something to say."""
    file = SlowFile(tmp_path)
    state = FileMemory(file)
    await state.open()
    state.put("first")
    file.may.clear()
    closing = asyncio.create_task(state.aclose())
    await asyncio.sleep(0.05)
    state.put("second", soon=True)
    file.may.set()
    await closing
    assert file.written == [{"first"}, {"second"}]
    assert {key.kind for key in await asyncio.to_thread(StateFile(tmp_path).read)} == {
        "first",
        "second",
    }


async def test_what_could_not_be_written_is_tried_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is said once, nobody waits for it, and nothing of it is lost."""
    monkeypatch.setattr("proxyconn.state.memory.RETRY_AFTER", 0.05)
    file = SlowFile(tmp_path)
    file.error = "the disk is full"
    state = FileMemory(file)
    await state.open()
    state.put("first")
    began = time.monotonic()
    await state.saved()
    assert time.monotonic() - began < 1.0
    state.put("second", soon=True)
    async with asyncio.timeout(5):
        while len(file.written) < 3:  # noqa: ASYNC110 - a file
            await asyncio.sleep(0.01)
    assert caplog.text.count("the disk is full") == 1
    file.error = None
    await asyncio.sleep(0.2)
    assert {key.kind for key in await asyncio.to_thread(StateFile(tmp_path).read)} == {
        "first",
        "second",
    }
    await state.aclose()


async def test_what_is_dropped_again_soon_is_never_written(tmp_path: Path) -> None:
    """A link that did not come up, or did not last, costs no write; one of before is removed."""
    first = await remembered(tmp_path)
    first.put("old")
    await first.aclose()
    file = SlowFile(tmp_path)
    state = FileMemory(file)
    await state.open()
    state.put("new", soon=True)
    state.drop("new", soon=True)
    await asyncio.sleep(2 * WRITE_SOON)
    assert file.written == []
    state.drop("old")
    state.put("old")
    state.drop("old", soon=True)
    await state.aclose()
    assert file.written == [{"old"}]
    assert await asyncio.to_thread(StateFile(tmp_path).read) == {}


@pytest.mark.parametrize("taken", ["removed", "set aside"])
def test_a_file_that_was_taken_away_is_made_anew(tmp_path: Path, taken: str) -> None:
    """Nothing is written where nobody reads it any more."""
    file = StateFile(tmp_path)
    file.write([(Key("first"), Fact(1, 0.0))])
    if taken == "removed":
        file.path.unlink()
    else:
        file.path.rename(tmp_path / "aside")
    file.write([(Key("second"), Fact(2, 0.0))])
    assert StateFile(tmp_path).read() == {Key("second"): Fact(2, 0.0)}
    file.close()


def test_all_that_is_in_the_folder_is_for_its_user_alone(tmp_path: Path) -> None:
    """What SQLite keeps beside the file, too."""
    tmp_path.chmod(0o755)
    file = StateFile(tmp_path)
    file.write([(Key("kind"), Fact(1, 0.0))])
    modes = {one.name: one.stat().st_mode & 0o077 for one in tmp_path.iterdir()}
    assert len(modes) > 1
    assert set(modes.values()) == {0}
    file.close()


def test_who_comes_later_leaves_the_first_ones_file_alone(tmp_path: Path) -> None:
    """A process that comes and goes must not take what two fleets of another one write to."""
    looks = "import sys; from pathlib import Path; from proxyconn.state.file import StateFile; "
    looks += "print(len(StateFile(Path(sys.argv[1])).read()))"

    def seen() -> int:
        words = [sys.executable, "-c", looks, str(tmp_path)]
        return int(subprocess.run(words, check=True, capture_output=True, text=True).stdout)

    first, second = StateFile(tmp_path), StateFile(tmp_path)
    first.write([(Key("first"), Fact(1, 0.0))])
    second.write([(Key("second"), Fact(1, 0.0))])
    assert seen() == 2
    first.write([(Key("third"), Fact(1, 0.0))])
    second.write([(Key("fourth"), Fact(1, 0.0))])
    assert seen() == 4
    first.close()
    second.close()
