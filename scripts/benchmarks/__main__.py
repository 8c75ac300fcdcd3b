"""scripts/bench: which benchmark, how much of it, and what to print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
from collections.abc import Callable
from importlib.metadata import version
from typing import Any

from . import adverts, fleet, gatt, report, world
from .adverts import bench as adverts_bench
from .adverts import report as adverts_report
from .fleet import bench as fleet_bench
from .fleet import report as fleet_report
from .fleet.setting import STANDARD, Setting

PACKAGES = ("proxyconn", "bleak-esphome", "habluetooth", "aioesphomeapi", "bleak")

Found = tuple[dict[str, Any], str]
"""What was measured: for --json, and as a table."""


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print JSON, every sample included")

    def add(name: str, module: Any, run: Callable[[argparse.Namespace], Found]) -> Any:
        summary = str(module.__doc__).split("\n", 1)[0]
        command = benchmarks.add_parser(name, help=summary, description=summary, parents=[common])
        command.set_defaults(run=run)
        return command

    gatt_options(add("gatt", gatt, run_gatt))
    adverts_options(add("adverts", adverts, run_adverts))
    fleet_options(add("fleet", fleet, run_fleet))
    return parser.parse_args()


def gatt_options(command: argparse.ArgumentParser) -> None:
    """Add what the GATT benchmark takes."""
    command.add_argument("--rounds", type=int, help="times that all clients are started anew")
    command.add_argument("--quick", action="store_true", help="measure little: some seconds")
    command.add_argument(
        "--level", choices=("direct", "managed", "both"), default="both", help="which clients"
    )


def adverts_options(command: argparse.ArgumentParser) -> None:
    """Add what the advertisement benchmark takes."""
    size = adverts_bench.Size()
    command.add_argument(
        "--devices",
        type=int,
        nargs="+",
        default=size.devices,
        help="numbers of devices; all clients are measured with the first one",
    )
    command.add_argument(
        "--changing", type=float, default=size.changing, help="share that says something new"
    )
    command.add_argument("--seconds", type=float, default=size.seconds, help="for each of them")
    command.add_argument(
        "--proxies", type=int, default=size.proxies, help="of the fleet of many; 0 for none"
    )


def fleet_options(command: argparse.ArgumentParser) -> None:
    """Add what the fleet benchmark takes; each field of a setting is an option."""
    for field in dataclasses.fields(Setting):
        option = "--" + field.name.replace("_", "-")
        kind = type(getattr(STANDARD[0], field.name))
        command.add_argument(option, type=kind, dest=field.name)
    command.add_argument(
        "--peer",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to measure the peer as well",
    )


def run_gatt(options: argparse.Namespace) -> Found:
    """Run the GATT benchmark."""
    size = gatt.QUICK if options.quick else gatt.FULL
    if options.rounds:
        size = dataclasses.replace(size, rounds=options.rounds)
    sides = [
        side
        for side in world.SIDES
        if options.level == "both" or side == "bare" or side.endswith(options.level)
    ]
    samples = gatt.run(size, sides)
    rows = list(report.rows(samples))
    own = list(report.beyond_bare(samples))
    return {"figures": rows, "own": own, "samples": samples}, report.table(rows, samples)


def run_adverts(options: argparse.Namespace) -> Found:
    """Run the advertisement benchmark."""
    found = adverts_bench.run(
        adverts_bench.Size(
            devices=tuple(options.devices),
            changing=options.changing,
            seconds=options.seconds,
            proxies=options.proxies,
        )
    )
    return found, adverts_report.table(found)


def run_fleet(options: argparse.Namespace) -> Found:
    """Run the fleet benchmark: in the setting that was given, or in the standard ones."""
    asked = {
        field.name: value
        for field in dataclasses.fields(Setting)
        if (value := getattr(options, field.name)) is not None
    }
    settings = [dataclasses.replace(STANDARD[0], **asked)] if asked else STANDARD
    found = fleet_bench.run(settings, fleet_bench.SIDES if options.peer else ("ours",))
    return {"settings": found}, fleet_report.table(found)


def main() -> None:
    """Run a benchmark."""
    options = arguments()
    found, table = options.run(options)
    setting: dict[str, Any] = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in PACKAGES},
    }
    if options.json:
        print(json.dumps({"setting": setting, **found}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in setting.items()), end="\n\n")
    print(table)


if __name__ == "__main__":
    main()
