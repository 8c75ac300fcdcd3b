"""What users may import stays as it is, unless somebody means to change it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def test_public_names_are_those_on_record() -> None:
    """Every public name has the signature on record.

    A change that is meant is put on record with
    `python tests/house/public_api.py >tests/house/public_api.txt`, and told in CHANGELOG.md.
    """
    now = subprocess.run(
        [sys.executable, HERE / "public_api.py"],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert now.splitlines() == (HERE / "public_api.txt").read_text("utf-8").splitlines()
