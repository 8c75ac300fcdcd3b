"""Runs the sharing benchmark.

One process has two proxies, one an owner of the second one, and each client has its own: one goes
to the first proxy directly, the other one to the second through the owner, by turns.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median

from proxyconn_virtual.proxy import new_noise_psk
from scripts.benchmarks.process import Process

from . import world


@dataclass(frozen=True)
class Size:
    """How much is measured.

    Attributes:
        repeats: times that each measurement is taken.
        reads, connects: how many make one measurement.
        seconds: for which clients listen.
    """

    repeats: int
    reads: int
    connects: int
    seconds: float


FULL = Size(repeats=7, reads=3000, connects=30, seconds=5.0)
QUICK = Size(repeats=3, reads=1000, connects=10, seconds=2.0)

Samples = dict[str, dict[str, list[dict[str, float]]]]


def run(size: Size) -> tuple[Samples, dict[int, float]]:
    """Measure; return the samples, and the owner's CPU seconds per batch and listeners."""
    samples: Samples = defaultdict(lambda: defaultdict(list))
    with ExitStack() as stack:
        ways = Process(stack, "share.server").hear()
        key = new_noise_psk()
        behind = ways["owner"]
        owner = Process(stack, "share.owner", str(behind["port"]), behind["noise_psk"], key)
        served = owner.hear()["port"]
        direct = ways["direct"]
        clients = {
            "direct": Process(
                stack, "share.client", "direct", str(direct["port"]), direct["noise_psk"]
            ),
            "owner": Process(stack, "share.client", "owner", str(served), key),
        }
        for figure, order in (
            ("reads", {"do": "reads", "count": size.reads}),
            ("connects", {"do": "connects", "count": size.connects}),
        ):
            for number in range(size.repeats):
                print(f"{figure}, {number + 1} of {size.repeats}", file=sys.stderr, flush=True)
                for side, client in clients.items():
                    before = owner.ask("")["cpu"]
                    result = client.ask(order)
                    result["owner_cpu"] = owner.ask("")["cpu"] - before
                    samples[figure][side].append(result)
        return samples, _listening(size, owner, clients["owner"])


def _listening(size: Size, owner: Process, client: Process) -> dict[int, float]:
    """Return the owner's CPU seconds for each batch, by how many listen."""
    costs: dict[int, float] = {}
    for count in world.LISTENERS:
        print(f"{count} listening", file=sys.stderr, flush=True)
        client.ask({"do": "listen", "count": count, "seconds": 0.1})
        found: list[float] = []
        for _ in range(size.repeats):
            before = owner.ask("")["cpu"]
            batches = client.ask({"do": "listen", "count": count, "seconds": size.seconds})
            spent = owner.ask("")["cpu"] - before
            found.append(spent / max(batches["batches"] / count, 1.0))
        costs[count] = median(found)
    return costs
