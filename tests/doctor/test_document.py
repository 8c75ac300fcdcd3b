"""docs/troubleshooting.md and the help say all that the doctor can."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from proxyconn import ErrorKind
from proxyconn.cli.examination.examine import ORDER

ROOT = Path(__file__).resolve().parent.parent.parent
TEXT = (ROOT / "docs" / "troubleshooting.md").read_text(encoding="utf-8")


def rows(heading: str) -> set[str]:
    """Return the names in the first column of the table under a heading."""
    part = TEXT.split(f"## {heading}\n")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+) \|", part, re.MULTILINE)
    return {name for cell in cells for name in re.findall(r"`([^`]+)`", cell)}


@pytest.mark.parametrize(
    ("heading", "names"),
    [
        ("By what the doctor finds", set(ORDER)),
        ("By the kind of an error", {str(kind) for kind in ErrorKind} - {"other"}),
    ],
)
def test_document_is_complete(heading: str, names: set[str]) -> None:
    """Every check and every kind of error has a row, and no row is of something that is gone."""
    assert rows(heading) == names


def test_every_problem_has_a_place() -> None:
    """What a session says is wrong is a check with a place in the order."""
    package = ROOT / "backends" / "proxyconn_esphome"
    used = {
        name
        for file in package.rglob("*.py")
        for name in re.findall(r"\bcheck=\"([a-z-]+)\"", file.read_text(encoding="utf-8"))
    }
    assert used
    assert used <= set(ORDER)
