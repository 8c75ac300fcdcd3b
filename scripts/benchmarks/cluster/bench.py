"""Runs the cluster benchmark.

Links: one proxy has an owner that is alone, another one an owner in a cluster; each owner reads and
connects through its own, and a program through the second one over the bus, by turns.
Growth: so many proxies, shared out among so many owners, hear advertisements; first nobody in the
cluster wants to hear of them, then one program wants all.
"""

from __future__ import annotations

import json
import sys
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Any

from scripts.benchmarks.process import Process

from . import world
from .broker import start_broker

Samples = dict[str, dict[str, list[dict[str, float]]]]

STATE = {"do": "state"}

SETTLE = 2.0
"""Seconds before anything is measured."""


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        repeats: times that links are measured.
        reads, connects: how many make one measurement.
        owners, proxies: numbers of them for which growth is measured.
        seconds: for which advertisements are heard.
    """

    repeats: int
    reads: int
    connects: int
    owners: tuple[int, ...]
    proxies: tuple[int, ...]
    seconds: float


FULL = Size(7, 3000, 30, (1, 2, 3), (10, 30, 100, 300), 10.0)
QUICK = Size(3, 1000, 15, (1, 2, 3), (10, 100), 3.0)
TINY = Size(1, 30, 2, (1, 2), (4,), 0.5)


@dataclass(frozen=True)
class Grown:
    """What was measured of some owners.

    Attributes:
        owners, proxies: how many.
        idle: CPU seconds per second of each owner while nobody wants to hear.
        telling: the same while one program wants to hear everything.
        passed_on: advertisements a second that were passed on, all owners together.
        sent: advertisements a second that the proxies sent.
        hearing: CPU seconds per second of the program that hears them.
    """

    owners: int
    proxies: int
    idle: list[float]
    telling: list[float]
    passed_on: float
    sent: float
    hearing: float

    @property
    def per_cpu_second(self) -> float:
        """Advertisements passed on for each CPU second that this takes beyond hearing them."""
        added = sum(self.telling) - sum(self.idle)
        return self.passed_on / added if added > 0 else float("inf")


def note(text: str) -> None:
    """Say what is being done."""
    print(text, file=sys.stderr, flush=True)


def links(size: Size) -> Samples:
    """Measure reads and connects."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        url = start_broker(stack)
        ways = Process(stack, "cluster.server").hear()
        sides = {
            "alone": ("alone", _member(stack, "alone", "", [ways["alone"]])),
            "owner": ("shared", _member(stack, "owner", url, [ways["shared"]])),
            "bus": ("shared", _member(stack, "program", url, [])),
        }
        for figure, count in (("reads", size.reads), ("connects", size.connects)):
            for number in range(size.repeats):
                note(f"{figure}, {number + 1} of {size.repeats}")
                for name, (side, member) in sides.items():
                    order = {"do": figure, "side": side, "count": count}
                    samples[figure][name].append(member.ask(order))
    return samples


def _member(stack: ExitStack, name: str, url: str, proxies: list[Any]) -> Process:
    """Start a process, and wait until it is ready."""
    member = Process(stack, "cluster.member", name, url, json.dumps(proxies))
    member.hear()
    return member


def growth(size: Size) -> list[Grown]:
    """Measure owners of more and more proxies."""
    found = []
    for proxies in size.proxies:
        for owners in size.owners:
            note(f"{proxies} proxies on {owners} owners")
            found.append(_grown(size, owners, proxies))
    return found


def _grown(size: Size, owners: int, proxies: int) -> Grown:
    with ExitStack() as stack:
        url = start_broker(stack)
        names = [f"proxy-{number}" for number in range(proxies)]
        air = Process(stack, "adverts.server", str(world.DEVICES), str(world.CHANGING), *names)
        ways = air.hear()
        shares = [ways[number::owners] for number in range(owners)]
        members = [
            _member(stack, f"owner-{number}", url, share) for number, share in enumerate(shares)
        ]
        # Owners get to know each other, and every device for the first time.
        air.ask({"rate": world.RATE, "seconds": SETTLE})
        idle, _, _ = _while_heard(air, members, size.seconds)
        program = _member(stack, "program", url, [])
        program.ask({"do": "listen", "on": True})
        time.sleep(0.5)
        before = program.ask(STATE)
        telling, sent, seconds = _while_heard(air, members, size.seconds)
        after = program.ask(STATE)
    return Grown(
        owners,
        proxies,
        idle,
        telling,
        (after["heard"] - before["heard"]) / seconds,
        sent,
        (after["cpu"] - before["cpu"]) / seconds,
    )


def _while_heard(
    air: Process, members: list[Process], seconds: float
) -> tuple[list[float], float, float]:
    """Have proxies hear; return CPU seconds per second of each owner, adverts a second, seconds."""
    before = [member.ask(STATE)["cpu"] for member in members]
    began = time.perf_counter()
    sent = air.ask({"rate": world.RATE, "seconds": seconds})
    time.sleep(0.2)
    passed = time.perf_counter() - began
    after = [member.ask(STATE)["cpu"] for member in members]
    used = [(later - earlier) / passed for earlier, later in zip(before, after, strict=True)]
    return used, sent["adverts"] / passed, passed


def middle(rows: list[dict[str, float]], name: str) -> float:
    """Return the median of one figure."""
    return median(row[name] for row in rows)
