"""The figures of runs, as text."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

from .record import spread


def one(found: dict[str, Any]) -> str:
    """Return the report of one run."""
    setting = found["setting"]
    lines = [
        f"{setting['side']}, seed {setting['seed']}: {setting['proxies']} proxies, "
        f"{setting['devices']} devices, {setting['seconds']:g} s of faults; "
        f"{found['on the clock']:g} s on the {setting['clock']} clock, "
        f"{found['in the world']:g} s in the world",
        f"  sessions {found['sessions']}, complete {found['completed']}, "
        f"links ended {found['drops']}, faults {found.get('faults')}, "
        f"connects refused {found.get('refused')}",
        f"  outage {_seconds(found['outage'])}; healing {_seconds(found['healing'])}; "
        f"memory {' -> '.join(found.get('memory', []))}",
        f"  invariants broken {found['broken']}, "
        f"operations late {found['late']}, hung {found['hung']}",
    ]
    lines += [f"    {at:9.3f} {what}: {detail}" for at, what, detail in found["violations"]]
    lines += [
        f"  {name}: " + ", ".join(f"{how} {count}" for how, count in counts.items())
        for name, counts in found["outcomes"].items()
    ]
    faults = found.get("by name", {})
    lines.append("  " + ", ".join(f"{name} {count}" for name, count in faults.items()))
    return "\n".join(lines)


def table(found: Sequence[dict[str, Any]]) -> str:
    """Return what all runs of each side come to, as a table in Markdown."""
    sides = {
        side: _together([one for one in found if one["setting"]["side"] == side])
        for side in dict.fromkeys(one["setting"]["side"] for one in found)
    }
    rows = next(iter(sides.values())).keys()
    return "\n".join(
        [
            f"| | {' | '.join(sides)} |",
            f"|---|{'--:|' * len(sides)}",
            *(f"| {row} | {' | '.join(side[row] for side in sides.values())} |" for row in rows),
        ]
    )


def _together(runs: list[dict[str, Any]]) -> dict[str, str]:
    def total(key: str) -> int:
        return sum(one.get(key) or 0 for one in runs)

    storm = sum((Counter(one["in storm"]) for one in runs), Counter[str]())
    devices = sum(one["setting"]["devices"] * one["setting"]["seconds"] for one in runs)
    share = sum(one["out of order"] for one in runs) / devices
    broken = sum((Counter(one["broken by name"]) for one in runs), Counter[str]())
    return {
        "seeds": str(len(runs)),
        "faults": f"{total('faults'):,}",
        "connected during the faults": f"{storm['connected']:,} of {storm['asked']:,}",
        "complete sessions": f"{storm['completed']:,}",
        "out of order, share of the time": f"{share:.1%}",
        "an outage, seconds": _of_all(runs, "outage"),
        "healing, seconds": _of_all(runs, "healing"),
        "connects refused": str(total("refused")),
        "operations late": str(total("late")),
        "operations hung": str(total("hung")),
        "invariants broken": str(total("broken")),
        **{f"… {what}": str(count) for what, count in broken.items()},
    }


def _of_all(runs: list[dict[str, Any]], key: str) -> str:
    seconds = [value for one in runs for value in one["samples"][key]]
    found = spread(seconds)
    return _seconds(found) if found else "-"


def _seconds(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "none"
    return f"{spread['median']:g} s, p95 {spread['p95']:g} s, worst {spread['worst']:g} s"
