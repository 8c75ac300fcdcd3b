"""A fleet that crashes amid faults: what it had is taken or freed, and nothing else is touched."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


@pytest.mark.timeout(120)
def test_crashes() -> None:
    """Links of the life before are there again, and other clients' links are left alone."""
    words = ("-m", "scripts.chaos_run.crashes", "--seeds", "2", "--seconds", "400")
    done = subprocess.run(
        [sys.executable, *words],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["violations"] for one in found] == [[], []], done.stderr
    assert done.returncode == 0
    for one in found:
        assert one["lives"] > 4
        assert one["sessions"] > 40
        assert one["inherited"] > 5
        assert one["foreign"] > 0
