"""`scripts/bench cluster`."""

from __future__ import annotations

import argparse
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from . import growth, linear, links
from .size import FULL, QUICK, TINY


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    parser.add_argument("--quick", action="store_true", help="measure little: three minutes")
    parser.add_argument("--tiny", action="store_true", help="measure nothing of worth, to try it")
    parser.add_argument(
        "--only", choices=("links", "growth"), help="measure links, or how owners grow"
    )


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; return what was found, and a table of it."""
    size = TINY if chosen.tiny else QUICK if chosen.quick else FULL
    found: dict[str, Any] = {}
    lines: list[str] = []
    if chosen.only != "growth":
        samples = links.links(size)
        figures = link_figures(samples)
        found |= {"figures": figures, "samples": samples}
        lines += map(as_line, figures.items())
    if chosen.only != "links":
        grown = growth.growth(size)
        found["growth"] = [{**asdict(one), "per_cpu_second": one.per_cpu_second} for one in grown]
        found["linear"] = linear_figures(grown)
        lines += ["", *growth_table(grown), "", *map(as_line, found["linear"].items())]
    return found, "\n".join(lines)


def link_figures(samples: links.Samples) -> dict[str, float]:
    """Return the figures of links: milliseconds, and how they compare."""
    figures: dict[str, float] = {}
    for figure in ("reads", "connects"):
        sides = samples[figure]
        for side, rows in sides.items():
            for name in ("median", "p99"):
                figures[f"{figure}, {side}, {name}, ms"] = links.middle(rows, name) * 1e3
        for name in ("median", "p99"):
            bus, alone = (links.middle(sides[side], name) for side in ("bus", "alone"))
            figures[f"{figure}, added by the bus, {name}, ms"] = (bus - alone) * 1e3
        for side in ("owner", "bus"):
            ratio = links.middle(sides[side], "median") / links.middle(sides["alone"], "median")
            figures[f"{figure}, {side} / alone"] = ratio
    return figures


def linear_figures(grown: list[growth.Grown]) -> dict[str, float]:
    """Return how far owners are from growing with their proxies, and nothing else."""
    figures: dict[str, float] = {}
    for phase in growth.PHASES:
        points = [point for _, point in growth.points(grown, phase)]
        base = fmean({point.owners: point.base for point in points}.values())
        figures[f"{phase}, an owner without a proxy, % of a core"] = 100 * base
        for name, away in (
            ("the straight line", linear.from_line(points)),
            ("one alone with as many", [one.from_alone(phase) for one in grown if one.owners > 1]),
        ):
            figures[f"{phase}, most above {name}, %"] = 100 * max(0.0, *away)
            figures[f"{phase}, most below {name}, %"] = -100 * min(0.0, *away)
    return figures


def growth_table(grown: list[growth.Grown]) -> list[str]:
    """Return the table of growth, in percents of one core.

    For each phase: CPU of an owner, on average and of the one with most; of each proxy, beyond an
    owner without any; how far the first is from the straight line, and from one owner alone; and at
    the end whether none of those is further above than it may be, or which is.
    """
    head = f"{'owner':>7} {'most':>6} {'proxy':>7} {'line':>6} {'alone':>6}"
    lines = [
        " " * 24 + "".join(f"| {phase:<36} " for phase in growth.PHASES) + "|",
        f"{'proxies':>7} {'owners':>6} {'sent/s':>8} | {head} | {head} | {'program':>7} "
        f"{'passed on/CPU s':>15} | within {linear.GOAL:.0%}",
    ]
    away = {phase: _away(grown, phase) for phase in growth.PHASES}
    for one in grown:
        cells = (_cells(one, phase, away[phase].get(one)) for phase in growth.PHASES)
        line = f"{one.proxies:7} {one.owners:6} {one.sent:8.0f} | {' | '.join(cells)} | "
        line += f"{100 * one.program:7.2f}"
        if one.proxies:
            above = [
                f"{phase} {name}"
                for phase in growth.PHASES
                for name, share in away[phase][one].shares.items()
                if share > linear.GOAL
            ]
            line += (
                f" {one.per_cpu_second:15.0f} | {'not: ' + ', '.join(above) if above else 'yes'}"
            )
        lines.append(line)
    return lines


@dataclass(frozen=True)
class Away:
    """How far owners with proxies are from what they are compared with, as shares."""

    each: float
    shares: dict[str, float]


def _away(grown: list[growth.Grown], phase: str) -> dict[growth.Grown, Away]:
    points = growth.points(grown, phase)
    lines = linear.from_line([point for _, point in points])
    return {
        one: Away(point.each, {"line": line, "alone": one.from_alone(phase)})
        for (one, point), line in zip(points, lines, strict=True)
    }


def _cells(one: growth.Grown, phase: str, away: Away | None) -> str:
    """Return the part of a row that is of one phase."""
    used = one.used[phase]
    cell = f"{100 * fmean(used):7.2f} {100 * max(used):6.2f}"
    if away:
        cell += f" {100 * away.each:7.4f}"
        cell += "".join(f" {share:+6.0%}" for share in away.shares.values())
    return f"{cell:<36}"


def as_line(figure: tuple[str, float]) -> str:
    """Return a figure with its name."""
    name, value = figure
    return f"{name:<60} {value:9.3f}"
