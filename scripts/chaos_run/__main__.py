"""scripts/chaos: options, and what to print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from typing import Any

from . import report
from .run import run
from .setting import Setting

HELP = {
    "seed": "of every decision; the same one makes the same ones",
    "seconds": "how long faults are injected, on the clock of the run",
    "proxies": "how many",
    "devices": "how many",
    "slots": "connection slots of each proxy, 1..9",
    "rate": "faults per second at each proxy, on average",
    "shortest": "least seconds that a fault lasts",
    "longest": "most seconds that a fault lasts",
    "off": "seconds that a proxy is away when it restarts",
    "pause": "seconds between two sessions of a device, at most",
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    usual = Setting()
    for field in dataclasses.fields(Setting):
        if field.name in HELP:
            value = getattr(usual, field.name)
            parser.add_argument(
                f"--{field.name}",
                type=type(value),
                default=value,
                metavar="N",
                help=f"{HELP[field.name]} ({value:g})",
            )
    parser.add_argument(
        "--seeds", type=int, default=1, metavar="N", help="runs; each seed one more"
    )
    parser.add_argument("--clock", choices=("virtual", "real"), default=usual.clock)
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def main() -> int:
    """Make the runs; return 1 if an invariant was broken."""
    chosen = arguments()
    values = {
        field.name: getattr(chosen, field.name)
        for field in dataclasses.fields(Setting)
        if hasattr(chosen, field.name)
    }
    found: list[dict[str, Any]] = []
    for more in range(chosen.seeds):
        found.append(run(Setting(**{**values, "seed": chosen.seed + more})))
        if not chosen.json:
            print(report.one(found[-1]), flush=True)
    if chosen.json:
        print(json.dumps(found, indent=1))
    return 1 if any(result["broken"] for result in found) else 0


if __name__ == "__main__":
    sys.exit(main())
