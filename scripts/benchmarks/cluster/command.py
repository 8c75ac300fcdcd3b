"""`scripts/bench cluster`."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from . import bench


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--quick", action="store_true", help="measure little: three minutes")
    parser.add_argument("--tiny", action="store_true", help="measure nothing of worth, to try it")
    parser.add_argument(
        "--only", choices=("links", "growth"), help="measure links, or how owners grow"
    )


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; return what was found, and a table of it."""
    size = bench.TINY if chosen.tiny else bench.QUICK if chosen.quick else bench.FULL
    found: dict[str, Any] = {}
    lines: list[str] = []
    if chosen.only != "growth":
        samples = bench.links(size)
        figures = link_figures(samples)
        found |= {"figures": figures, "samples": samples}
        lines += [f"{name:<52} {value:9.3f}" for name, value in figures.items()]
    if chosen.only != "links":
        grown = bench.growth(size)
        found["growth"] = [{**asdict(one), "per_cpu_second": one.per_cpu_second} for one in grown]
        lines += ["", *growth_table(grown)]
    return found, "\n".join(lines)


def link_figures(samples: bench.Samples) -> dict[str, float]:
    """Return the figures of links: milliseconds, and how they compare."""
    figures: dict[str, float] = {}
    for figure in ("reads", "connects"):
        sides = samples[figure]
        for side, rows in sides.items():
            for name in ("median", "p99"):
                figures[f"{figure}, {side}, {name}, ms"] = bench.middle(rows, name) * 1e3
        for name in ("median", "p99"):
            bus, alone = (bench.middle(sides[side], name) for side in ("bus", "alone"))
            figures[f"{figure}, added by the bus, {name}, ms"] = (bus - alone) * 1e3
        for side in ("owner", "bus"):
            ratio = bench.middle(sides[side], "median") / bench.middle(sides["alone"], "median")
            figures[f"{figure}, {side} / alone"] = ratio
    return figures


def growth_table(grown: list[bench.Grown]) -> list[str]:
    """Return the table of growth: CPU as a share of one core."""
    lines = [
        f"{'proxies':>7} {'owners':>6} {'sent/s':>8} {'heard/s':>8} {'CPU idle':>9} "
        f"{'telling':>8} {'worst':>6} {'program':>8} {'passed on/CPU s':>16}"
    ]
    for one in grown:
        idle, telling = sum(one.idle), sum(one.telling)
        lines.append(
            f"{one.proxies:7} {one.owners:6} {one.sent:8.0f} {one.passed_on:8.0f} {idle:9.3f} "
            f"{telling:8.3f} {max(one.telling):6.3f} {one.hearing:8.3f} {one.per_cpu_second:16.0f}"
        )
    return lines
