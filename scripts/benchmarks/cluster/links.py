"""Measures links: how long reads and connects take, alone, in a cluster, and over the bus.

One proxy has an owner that is alone, another one an owner in a cluster; each owner reads and
connects through its own, and a program through the second one over the bus, by turns.
"""

from __future__ import annotations

from collections import defaultdict
from contextlib import ExitStack
from statistics import median

from scripts.benchmarks.process import Process

from .broker import start_broker
from .members import started
from .size import Size, note

Samples = dict[str, dict[str, list[dict[str, float]]]]


def links(size: Size) -> Samples:
    """Measure reads and connects."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        url = start_broker(stack)
        ways = Process(stack, "cluster.server").hear()
        sides = {
            "alone": ("alone", started(stack, "owner", "alone", "", [ways["alone"]], size.lease)),
            "owner": (
                "shared",
                started(stack, "owner", "owner", url, [ways["shared"]], size.lease),
            ),
            "bus": ("shared", started(stack, "program", "program", url, [], size.lease)),
        }
        for _, member in sides.values():
            member.hear()
        for figure, count in (("reads", size.reads), ("connects", size.connects)):
            for number in range(size.repeats):
                note(f"{figure}, {number + 1} of {size.repeats}")
                for name, (side, member) in sides.items():
                    order = {"do": figure, "side": side, "count": count}
                    samples[figure][name].append(member.ask(order))
    return samples


def middle(rows: list[dict[str, float]], name: str) -> float:
    """Return the median of one figure."""
    return median(row[name] for row in rows)
