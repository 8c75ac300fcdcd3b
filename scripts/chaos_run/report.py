"""The figures of runs, as text."""

from __future__ import annotations

from typing import Any


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
        f"  invariants broken {found['broken']}, operations hung {found['hung']}",
    ]
    lines += [f"    {at:9.3f} {what}: {detail}" for at, what, detail in found["violations"]]
    lines += [
        f"  {name}: " + ", ".join(f"{how} {count}" for how, count in counts.items())
        for name, counts in found["outcomes"].items()
    ]
    faults = found.get("by name", {})
    lines.append("  " + ", ".join(f"{name} {count}" for name, count in faults.items()))
    return "\n".join(lines)


def _seconds(spread: dict[str, float] | None) -> str:
    if spread is None:
        return "none"
    return f"{spread['median']:g} s, p95 {spread['p95']:g} s, worst {spread['worst']:g} s"
