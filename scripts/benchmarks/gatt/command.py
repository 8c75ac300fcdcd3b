"""`scripts/bench gatt`."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from . import bench, report
from .world import SIDES


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--rounds", type=int, help="times that all clients are started anew")
    parser.add_argument("--quick", action="store_true", help="measure little: some seconds")
    parser.add_argument(
        "--level", choices=("direct", "managed", "both"), default="both", help="which clients"
    )
    parser.add_argument(
        "--loop", choices=("asyncio", "uvloop"), default="asyncio", help="event loop of the clients"
    )


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; return what was found, and a table of it."""
    size = bench.QUICK if chosen.quick else bench.FULL
    if chosen.rounds:
        size = dataclasses.replace(size, rounds=chosen.rounds)
    sides = [
        side
        for side in SIDES
        if chosen.level == "both" or side == "bare" or side.endswith(chosen.level)
    ]
    samples = bench.run(size, sides, chosen.loop)
    rows = list(report.rows(samples))
    own = list(report.beyond_bare(samples))
    return {"figures": rows, "own": own, "samples": samples}, report.table(rows, samples)
