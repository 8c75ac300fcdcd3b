"""Runs the fleet benchmark: the proxies in one process, the client in another."""

from __future__ import annotations

import statistics
import sys
import time
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from typing import Any

from scripts.benchmarks.process import Process

from .setting import Setting

SETTLE = 0.5
"""Seconds after the last session in which proxies may still free slots."""

SIDES = ("ours", "peer")


def run(settings: Iterable[Setting], sides: Sequence[str]) -> list[dict[str, Any]]:
    """Measure every side in every setting, one after the other."""
    found = []
    for setting in settings:
        results = {}
        for side in sides:
            print(f"{setting}: {side}", file=sys.stderr, flush=True)
            results[side] = measure(setting, side)
        found.append(
            {
                "setting": vars(setting),
                "title": str(setting),
                "bound": setting.bound(),
                "reachable": setting.reachable(),
                "sides": results,
            }
        )
    return found


def measure(setting: Setting, side: str) -> dict[str, Any]:
    """Let one side serve every device."""
    with ExitStack() as stack:
        server = Process(stack, "fleet.server", setting.dump())
        ways = server.hear()
        client = Process(stack, "fleet.client", side, setting.dump())
        told = client.ask(ways)
        time.sleep(SETTLE)
        at_proxies = server.ask({})
    return judge(setting, told, at_proxies)


def judge(setting: Setting, told: dict[str, Any], at_proxies: dict[str, Any]) -> dict[str, Any]:
    """Return the figures, from what the client and the proxies tell."""
    start, sessions = told["start"], told["sessions"]
    errors = Counter(session["error"][0] for session in sessions if session["error"])
    texts = {session["error"][0]: session["error"][1] for session in sessions if session["error"]}
    makespan = max(session["over"] for session in sessions) - start
    waits = [
        session["connected"] - start - setting.connect_time
        for session in sessions
        if session["connected"] is not None
    ]
    refusals = Counter(proxy for _, what, proxy, _ in at_proxies["events"] if what == "Refused")
    return {
        "served": sum(not session["error"] for session in sessions),
        "errors": dict(errors),
        "error_texts": texts,
        "refusals": [refusals[f"proxy-{number}"] for number in range(setting.proxies)],
        "makespan": makespan,
        "of_bound": makespan / setting.bound(),
        "slots_held": at_proxies["held"],
        "wait": spread(waits),
        "cpu": told["cpu"],
        "attempts": sum(what == "Connecting" for _, what, _, _ in at_proxies["events"]),
        "spent": spent(setting, at_proxies["events"], start),
        "sessions": sessions,
        "events": at_proxies["events"],
    }


def spent(setting: Setting, events: Sequence[Sequence[Any]], start: float) -> dict[str, Any]:
    """Return where a slot's time goes, in seconds as the proxies see it.

    turnaround: from when there are a free slot and a free radio until the radio opens a link.
    opening: from then until the link is up.
    beyond hold: of a link's time what the session did not hold it for: discovery, read, messages.
    unused: for how long a proxy had a free slot in vain, before the last opening of all began.
    """
    proxies = {f"proxy-{number}" for number in range(setting.proxies)}
    freed = {proxy: deque([start] * setting.slots) for proxy in proxies}
    radio_free = dict.fromkeys(proxies, start)
    began: dict[tuple[str, str], float] = {}
    turnarounds, openings, links = [], [], []
    for at, what, proxy, address in events:
        if what == "Connecting":
            turnarounds.append(at - max(freed[proxy].popleft(), radio_free[proxy]))
            began[proxy, address] = at
        elif what in ("Connected", "OpenFailed"):
            openings.append(at - began.pop((proxy, address)))
            began[proxy, address] = radio_free[proxy] = at
        if what == "Disconnected":
            links.append(at - began.pop((proxy, address)) - setting.hold)
        if what in ("Disconnected", "OpenFailed"):
            freed[proxy].append(at)
    last = max((at for at, what, *_ in events if what == "Connecting"), default=start)
    unused = [last - min(times) for times in freed.values() if times and min(times) < last]
    return {
        "turnaround": spread(turnarounds),
        "opening": spread(openings),
        "beyond hold": spread(links),
        "unused": spread(unused),
    }


def spread(values: Sequence[float]) -> dict[str, float]:
    """Return median, mean and most; nothing of nothing."""
    if not values:
        return {}
    return {
        "median": statistics.median(values),
        "mean": statistics.mean(values),
        "max": max(values),
    }
