"""The benchmarks run, and report what they say they do; how fast anything is does not matter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def bench(*arguments: str) -> Any:
    """Run a benchmark; return what it reports."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks", *arguments, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_fleet_serves_more_devices_than_slots() -> None:
    """Three sessions share two slots; what the proxy saw and what the client says agree."""
    (found,) = bench(
        *("fleet", "--no-peer", "--proxies", "1", "--slots", "2", "--devices", "3"),
        *("--hold", "0.1", "--connect-time", "0.3"),
    )["settings"]
    assert (found["bound"], found["reachable"]) == pytest.approx((0.8, 1.0))
    ours = found["sides"].pop("ours")
    assert found["sides"] == {}
    assert (ours["served"], ours["errors"], ours["refusals"], ours["slots_held"]) == (3, {}, [0], 0)
    assert ours["attempts"] == 3
    assert ours["makespan"] > found["reachable"]
    assert 0.3 <= ours["spent"]["opening"]["median"] < ours["wait"]["max"]


def test_adverts_counts_what_was_sent() -> None:
    """Who asks for every advertisement has every one; the others leave some out."""
    found = bench("adverts", "--devices", "20", "5", "--seconds", "0.2", "--proxies", "3")
    first, second = found["compared"]
    assert (first["devices"], second["devices"]) == (20, 5)
    calls = {side: of_side["calls"] for side, of_side in first["sides"].items()}
    assert 0 < calls.pop("ours-changes") < 0.5
    assert 0 < calls.pop("peer") < 0.5
    assert calls == dict.fromkeys(("ours", "peer-every", "decode", "receive"), 1.0)
    assert second["sides"].keys() == {"ours", "ours-changes", "peer", "peer-every"}
    assert second["ratios"].keys() == {"every", "changes"}
    for side in ("ours", "peer"):
        assert found["paced"][side]["lost"] == 0
    assert found["paced"]["ours"]["calls_per_second"] > 0


def test_cluster_reads_connects_and_passes_on() -> None:
    """Both ways to a device are measured, and every owner's CPU."""
    found = bench("cluster", "--tiny")
    for figure in ("reads", "connects"):
        assert found["samples"][figure].keys() == {"alone", "owner", "bus"}
    for one in found["growth"]:
        assert len(one["idle"]) == len(one["telling"]) == one["owners"]
        assert one["passed_on"] > 0.5 * one["sent"] > 0
