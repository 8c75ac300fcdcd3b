"""Starts owners and programs, each in a process of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Literal

from proxyconn_cluster.settings import DEFAULT_FLEET
from scripts.benchmarks.process import Process


def started(
    stack: ExitStack,
    part: Literal["owner", "program"],
    name: str,
    url: str,
    proxies: Sequence[tuple[int, str]],
    lease: float,
    fleet: str = DEFAULT_FLEET,
) -> Process:
    """Start one; it says a line when it is ready.

    Args:
        stack: ends it.
        part: what it is.
        name: what it is called.
        url: of the broker; empty for one that is in no cluster.
        proxies: port and key of each.
        lease: seconds for which its leases are.
        fleet: who names the same one is in the same cluster.
    """
    ways = json.dumps(list(proxies))
    return Process(stack, "cluster.member", part, name, url, ways, str(lease), fleet)
