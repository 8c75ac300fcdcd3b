"""`scripts/bench share`."""

from __future__ import annotations

import argparse
from statistics import median
from typing import Any

from . import bench


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--quick", action="store_true", help="measure little: some seconds")


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; return what was found, and a table of it."""
    samples, costs = bench.run(bench.QUICK if chosen.quick else bench.FULL)
    reads, connects = samples["reads"], samples["connects"]
    size = bench.QUICK if chosen.quick else bench.FULL

    def middle(rows: list[dict[str, float]], name: str) -> float:
        return median(row[name] for row in rows)

    direct, through = middle(reads["direct"], "median"), middle(reads["owner"], "median")
    per_cpu = {
        "direct client": size.reads / middle(reads["direct"], "cpu"),
        "owner": size.reads / middle(reads["owner"], "owner_cpu"),
    }
    opened = {side: middle(rows, "median") for side, rows in connects.items()}
    figures = {
        "read, direct, ms": direct * 1e3,
        "read, through the owner, ms": through * 1e3,
        "added at the median, ms": (through - direct) * 1e3,
        "reads per CPU second of a direct client": per_cpu["direct client"],
        "reads per CPU second of the owner": per_cpu["owner"],
        "owner / direct client": per_cpu["owner"] / per_cpu["direct client"],
        "connect, direct, ms": opened["direct"] * 1e3,
        "connect, through the owner, ms": opened["owner"] * 1e3,
        "connect, ratio": opened["owner"] / opened["direct"],
        **{f"CPU for one batch to {n}, ms": cost * 1e3 for n, cost in costs.items()},
        **{f"{n} clients / one": cost / costs[1] for n, cost in costs.items() if n > 1},
    }
    lines = [f"{name:<42} {value:10.3f}" for name, value in figures.items()]
    return {"figures": figures, "samples": samples}, "\n".join(lines)
