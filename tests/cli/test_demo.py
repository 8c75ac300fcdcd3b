"""`proxyconn demo`, and that it would notice if something did not happen."""

from __future__ import annotations

import asyncio
import io

import pytest
from rich.console import Console

from proxyconn_virtual.commands.demo import play
from proxyconn_virtual.commands.demo_house import build
from proxyconn_virtual.commands.demo_stage import ClaimError, Stage
from proxyconn_virtual.commands.demo_stories import STORIES
from tests.cli.conftest import Program

STEPS = 10


async def test_demo(program: Program) -> None:
    """It ends by itself with 0 on either radio, even side by side, and fits 80 columns."""
    runs = await asyncio.gather(
        program.run("demo", COLUMNS="80"),
        program.run("demo", "--radio", "bumble", "--seed", "1"),
    )
    for done in runs:
        assert (done.code, done.err) == (0, "")
        lines = done.out.splitlines()
        claims = [line for line in lines if line.lstrip().startswith("✓")]
        assert f"All {len(claims)} claims hold" in done.out
        assert [line for line in lines if line.startswith(f"{STEPS} ")]
        words = " ".join(done.out.split())
        assert words.count("ESP_GATT_ERROR (0x85); next within") == 2
        assert "waits in the queue: no slot is free" in words
        assert "\x1b" not in done.out
    assert max(map(len, runs[0].out.splitlines())) <= 80


@pytest.fixture
def stage() -> Stage:
    """Return a stage that nobody sees."""
    return Stage(Console(file=io.StringIO()))


async def test_demo_without_fault(stage: Stage) -> None:
    """A fault that was not injected is missed."""
    house = build("simulated", 0, spared="Cellar sensor")
    for peripheral in house.fleet.peripherals:
        peripheral.outcomes.clear()
    with pytest.raises(ClaimError, match="ESP_GATT_ERROR was reported 2 times"):
        await play(stage, house)
    assert not any(house.taken().values())


def test_claims(stage: Stage) -> None:
    """A claim that is true is counted, one that is not is raised."""
    stage.confirm(True, "it rains")
    assert stage.claims == 1
    with pytest.raises(ClaimError, match="it snows"):
        stage.confirm(False, "it snows")
    assert stage.claims == 1


@pytest.mark.parametrize("story", STORIES)
async def test_stories(program: Program, story: str) -> None:
    """Each story of a proxy that went wrong ends well, and says what it is about."""
    done = await program.run("demo", "--story", story, COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert f"{story}: " in done.out
    assert "claims hold" in done.out


async def test_sharing(program: Program) -> None:
    """Several programs use one owner at once, and come back when it does."""
    done = await program.run("demo", "--story", "sharing", COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert "All 10 claims hold" in done.out


@pytest.mark.timeout(150)
async def test_takeover(program: Program) -> None:
    """A program that was killed finds its links again, or frees them, and touches no others."""
    program.seconds = 140.0
    done = await program.run("demo", "--story", "takeover", COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert "All 8 claims hold" in done.out


# It claims that an owner is replaced within 5 s, which a machine that is busy may not manage.
@pytest.mark.flaky(reruns=3, reruns_delay=5)
@pytest.mark.timeout(150)
async def test_cluster(program: Program) -> None:
    """Owners of two sites are one fleet, whoever is killed and whatever is cut off."""
    program.seconds = 140.0
    done = await program.run("demo", "--story", "cluster", COLUMNS="80")
    assert (done.code, done.err) == (0, "")
    assert "All 11 claims hold" in done.out


async def test_an_unknown_story(program: Program) -> None:
    """Those there are are named."""
    done = await program.run("demo", "--story", "snow-white")
    assert done.code == 2
    assert all(story in " ".join(done.err.split()) for story in STORIES)
