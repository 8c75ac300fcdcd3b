"""docs/faults.md and the catalogue of faults name the same."""

from __future__ import annotations

import re
from pathlib import Path

from proxyconn_virtual.fault_catalogue import FaultName

DOCUMENT = Path(__file__).parents[2] / "docs" / "faults.md"


def test_every_fault_has_its_row() -> None:
    """Each fault of the catalogue stands in the table once, and nothing else does."""
    rows = re.findall(r"^\| `(\w+)` \|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    assert rows == [str(name) for name in FaultName]
