"""scripts/bench: which benchmark, how much of it, and what to print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from importlib.metadata import version
from typing import Any

from . import gatt, report, world

PACKAGES = ("proxyconn", "bleak-esphome", "habluetooth", "aioesphomeapi", "bleak")


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    command = benchmarks.add_parser("gatt", help=str(gatt.__doc__).split("\n", 1)[0])
    command.add_argument("--rounds", type=int, help="times that all clients are started anew")
    command.add_argument("--quick", action="store_true", help="measure little: some seconds")
    command.add_argument("--json", action="store_true", help="print JSON, every sample included")
    command.add_argument(
        "--level", choices=("direct", "managed", "both"), default="both", help="which clients"
    )
    return parser.parse_args()


def main() -> None:
    """Run a benchmark."""
    options = arguments()
    size = gatt.QUICK if options.quick else gatt.FULL
    if options.rounds:
        size = dataclasses.replace(size, rounds=options.rounds)
    sides = [side for side in world.SIDES if options.level in ("both", side.split("-")[1])]
    samples = gatt.run(size, sides)
    rows = list(report.rows(samples))
    setting: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in PACKAGES},
    }
    if options.json:
        print(json.dumps({"setting": setting, "figures": rows, "samples": samples}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in setting.items()), end="\n\n")
    print(report.table(rows, samples))


if __name__ == "__main__":
    main()
