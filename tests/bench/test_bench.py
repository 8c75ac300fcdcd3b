"""The benchmarks run, and report what they say they do; how fast anything is does not matter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.benchmarks.cluster.linear import Point, from_line

ROOT = Path(__file__).resolve().parent.parent.parent


def bench(*arguments: str) -> Any:
    """Run a benchmark; return what it reports."""
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks", *arguments, "--json"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=150,
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
    assert [(one["proxies"], one["owners"]) for one in found["growth"]] == [
        *((0, 1), (0, 2)),
        *((4, 1), (4, 2)),
    ]
    for one in found["growth"]:
        assert {phase: len(used) for phase, used in one["used"].items()} == {
            "quiet": one["owners"],
            "telling": one["owners"],
        }
        pairs = bool(one["proxies"]) and one["owners"] > 1
        assert {phase: len(above) for phase, above in one["above_alone"].items()} == {
            "quiet": pairs,
            "telling": pairs,
        }
        if one["proxies"]:
            assert one["passed_on"] > 0.5 * one["sent"] > 0
    assert found["linear"]["quiet, an owner without a proxy, % of a core"] > 0


def test_what_grows_with_proxies_alone_is_on_the_line() -> None:
    """An owner's own cost does not count for its proxies; what is beyond both is a deviation."""

    def point(owners: int, proxies: float, times: float = 1.0) -> Point:
        base = 0.01 * owners
        return Point(owners, proxies, times * (base + 0.002 * proxies), base)

    on_it = [point(owners, all_of_them / owners) for owners in (1, 2) for all_of_them in (10, 100)]
    assert from_line(on_it) == pytest.approx([0.0] * 4)
    assert on_it[0].each == pytest.approx(0.002)
    assert from_line([*on_it, point(1, 100, 1.2)])[-1] == pytest.approx(0.2)
