"""How what two proxies said is compared."""

from __future__ import annotations

import pytest

from proxyconn_virtual.firmware.profiles import PROFILES
from scripts.firmware.case import Line, play
from scripts.firmware.cases import CASES
from scripts.firmware.compare import Difference, differences
from scripts.firmware.left_out import LEFT_OUT
from scripts.firmware.virtual_world import VirtualWorld

UP = Line("first", "up", 1.0)
DOWN = Line("first", "down", 2.0)
FACT = Line("fact", "links: []")


def test_alike() -> None:
    """The same messages in the same order, at about the same time, are alike."""
    later = Line("first", "down", 2.3)
    assert differences([UP, DOWN, FACT], [UP, later, FACT]) == []


def test_order() -> None:
    """Messages in another order differ."""
    assert differences([UP, DOWN], [DOWN, UP]) == [
        Difference("first", None, DOWN),
        Difference("first", DOWN, None),
    ]


def test_time() -> None:
    """A message that comes too late differs, and says so."""
    late = Line("first", "down", 2.5)
    (found,) = differences([UP, DOWN], [UP, late])
    assert str(found) == "first: 2.00 down | 2.50 down"
    assert differences([UP, DOWN], [UP, late], tolerance=0.6) == []


def test_missing_and_extra() -> None:
    """A message that is missing, one that is too many, and another fact differ."""
    other = Line("fact", "links: ['01']")
    assert differences([UP, FACT], [UP, DOWN, other]) == [
        Difference("fact", FACT, other),
        Difference("first", None, DOWN),
    ]


def test_clients_are_apart() -> None:
    """What two clients are told at one time has no order between them."""
    other = Line("second", "up", 1.0)
    assert differences([UP, other, DOWN], [other, UP, DOWN]) == []


def test_left_out() -> None:
    """At most five cases are left out, each with a reason, and each is a case."""
    assert set(LEFT_OUT) <= {case.name for case in CASES}
    assert len(LEFT_OUT) <= 5
    assert all(LEFT_OUT.values())
    assert len({case.name for case in CASES}) == len(CASES) >= 60


@pytest.mark.parametrize(
    ("release", "end"), [("2026.8", []), ("2026.10", ["69(False, mtu 0, error 256)@01"])]
)
async def test_play(release: str, end: list[str]) -> None:
    """A case plays on a virtual proxy, and shows what a release changed."""
    (case,) = (case for case in CASES if case.name == "cancel_opening")
    lines = await play(case, VirtualWorld(PROFILES[release]))
    assert [line.text for line in lines][:1] == ["81(free 2/3 [01])"]
    assert [line.text for line in lines if line.text.startswith("69")] == end
