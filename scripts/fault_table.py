"""From the measurements of the tests to the table of faults, in Markdown."""

from __future__ import annotations

import json
import statistics
import sys
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from proxyconn_virtual.fault_catalogue import CATALOGUE, FaultName
from proxyconn_virtual.firmware.profiles import KNOWN

HEAD = """\
# What proxies do wrong, and how long it takes to get over it

Every fault that ESPHome Bluetooth proxies are known to have, injected into a virtual proxy by its
name (`proxyconn virtual --fault NAME`), and survived by the real client over TCP and Noise. Each
cell is the median and the worst time in seconds, over the tests of that fault, from its beginning
to what the user sees, with one version of the firmware; a dash where that version cannot have the
fault, for a reason that stands below the table. Versions are those of an ESP32; `rp2` is a Pico W,
with one slot, `bk72xx` a chip that only scans, both with 2026.10. Waits of the proxy's own (20 s
for an attempt, 10 s for the lost end of a link), how long the fault itself lasts, and the
watchdogs' patience are part of it. `scripts/faults` runs the tests in `tests/faults` and writes
this file.
"""


@dataclass
class Row:
    """What was measured of one fault.

    Attributes:
        outcomes: what a user sees, in the order of the tests.
        seconds: firmware -> how long it took.
    """

    outcomes: dict[str, None] = field(default_factory=dict)
    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))


def read(lines: Iterable[str]) -> dict[str, Row]:
    """Return what was measured, by fault."""
    rows: dict[str, Row] = defaultdict(Row)
    for line in lines:
        measured = json.loads(line)
        row = rows[measured["fault"]]
        row.outcomes[measured["outcome"]] = None
        row.seconds[measured["profile"]].append(measured["seconds"])
    return rows


def table(rows: dict[str, Row]) -> list[str]:
    """Return the lines of the table.

    Raises:
        SystemExit: a fault has no test, or a firmware that has it.
    """
    lines = [
        "| fault | what goes wrong | what a user sees | " + " | ".join(KNOWN) + " |",
        "|---|---|---|" + "--:|" * len(KNOWN),
    ]
    for name in FaultName:
        fault, row = CATALOGUE[name], rows.get(name, Row())
        missing = set(fault.profiles) - row.seconds.keys()
        if missing:
            raise SystemExit(f"{name}: no test measured it with {', '.join(sorted(missing))}")
        cells = [_cell(row.seconds.get(profile)) for profile in KNOWN]
        outcomes = "; ".join(row.outcomes)
        lines.append(f"| `{name}` | {fault.text} | {outcomes} | " + " | ".join(cells) + " |")
    return lines


def absences() -> list[str]:
    """Return the lines that say why firmware cannot have a fault."""
    faults: dict[tuple[str, str], list[str]] = defaultdict(list)
    for name in FaultName:
        absent: dict[str, list[str]] = defaultdict(list)
        for profile, firmware in KNOWN.items():
            if why_not := CATALOGUE[name].why_not(firmware):
                absent[why_not].append(profile)
        for why_not, missing in absent.items():
            faults[why_not, ", ".join(missing)].append(f"`{name}`")
    lines = ["| where | why not | faults |", "|---|---|---|"]
    return lines + [
        f"| {without} | {why_not} | {', '.join(names)} |"
        for (why_not, without), names in faults.items()
    ]


def _cell(seconds: list[float] | None) -> str:
    if not seconds:
        return "-"
    return f"{_short(statistics.median(seconds))} / {_short(max(seconds))}"


def _short(seconds: float) -> str:
    return f"{seconds:.0f}" if seconds >= 10 else f"{seconds:.1f}"


def main() -> None:
    """Print the document."""
    with Path(sys.argv[1]).open(encoding="utf-8") as lines:
        rows = read(lines)
    print(HEAD)
    print("\n".join(table(rows)))
    print("\n## Where a fault cannot be\n")
    print("\n".join(absences()))


if __name__ == "__main__":
    main()
