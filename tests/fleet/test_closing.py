"""The end of a fleet, whatever becomes of one part of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from proxyconn import Fleet
from proxyconn.fleet import backends
from proxyconn.radio import FleetOptions, RadioSink
from proxyconn.state.facts import Key
from proxyconn.state.file import StateFile


class FakeBackend:
    """A backend without radios.

    Attributes:
        errors: what its ends fail with, one after the other.
        may_end: set while it may end.
        ended: how often it has.
    """

    def __init__(self) -> None:
        self.errors: list[Exception] = []
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.ended = 0
        self.options: FleetOptions | None = None

    def made(self, options: FleetOptions, sink: RadioSink) -> FakeBackend:
        """Be the one that is made."""
        self.options = options
        return self

    async def start(self) -> None:
        """Look for nothing."""

    async def reconfigure(self, options: FleetOptions) -> None:
        """Go on."""

    async def aclose(self) -> None:
        """End, or fail to."""
        await self.may_end.wait()
        if self.errors:
            raise self.errors.pop(0)
        self.ended += 1


@pytest.fixture
async def parts(monkeypatch: pytest.MonkeyPatch) -> list[FakeBackend]:
    """Return the backends that there are: two."""
    parts = [FakeBackend(), FakeBackend()]
    monkeypatch.setattr(
        backends, "load_backends", lambda: {str(n): one.made for n, one in enumerate(parts)}
    )
    return parts


async def begun(tmp_path: Path, parts: list[FakeBackend]) -> Fleet:
    """Return a fleet that runs, and has something to remember."""
    fleet = Fleet(discover=False, owner=False, state=tmp_path)
    await fleet.__aenter__()
    assert parts[0].options
    parts[0].options.state.put("fact")
    return fleet


@pytest.mark.parametrize("which", [0, 1])
async def test_a_backend_that_fails_leaves_the_rest_to_end(
    tmp_path: Path, parts: list[FakeBackend], which: int
) -> None:
    """What is known is written, and only the one that failed is asked again."""
    fleet = await begun(tmp_path, parts)
    failing, other = parts[which], parts[1 - which]
    failing.errors = [ValueError("a defect")]
    with pytest.raises(ValueError, match="a defect"):
        await fleet.aclose()
    assert (failing.ended, other.ended) == (0, 1)
    assert Key("fact") in await asyncio.to_thread(StateFile(tmp_path).read)
    await fleet.aclose()
    assert (failing.ended, other.ended) == (1, 1)


async def test_of_several_errors_none_is_lost(
    tmp_path: Path, parts: list[FakeBackend], caplog: pytest.LogCaptureFixture
) -> None:
    """The first is raised, the others are in the log."""
    fleet = await begun(tmp_path, parts)
    for number, part in enumerate(parts):
        part.errors = [ValueError(f"defect {number}")]
    with pytest.raises(ValueError, match="defect 0"):
        await fleet.aclose()
    assert "defect 1" in caplog.text
    await fleet.aclose()
    assert [part.ended for part in parts] == [1, 1]


async def test_an_end_that_is_cancelled_can_be_finished(
    tmp_path: Path, parts: list[FakeBackend]
) -> None:
    """What is known is written all the same: nobody may call it again."""
    fleet = await begun(tmp_path, parts)
    parts[0].may_end.clear()
    closing = asyncio.create_task(fleet.aclose())
    async with asyncio.timeout(10):
        while not parts[1].ended:  # noqa: ASYNC110 - a fake
            await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert Key("fact") in await asyncio.to_thread(StateFile(tmp_path).read)
    parts[0].may_end.set()
    await fleet.aclose()
    assert [part.ended for part in parts] == [1, 1]


@pytest.mark.parametrize("turns", range(6))
async def test_two_ends_at_once(tmp_path: Path, parts: list[FakeBackend], turns: int) -> None:
    """The second one finds what the first has left, whenever it comes."""
    fleet = await begun(tmp_path, parts)
    for part in parts:
        part.may_end.clear()
    first = asyncio.create_task(fleet.aclose())
    await asyncio.sleep(0.01)
    second = asyncio.create_task(fleet.aclose())
    for _ in range(turns):
        await asyncio.sleep(0)
    for part in parts:
        part.may_end.set()
    await asyncio.gather(first, second)
    assert all(part.ended for part in parts)
