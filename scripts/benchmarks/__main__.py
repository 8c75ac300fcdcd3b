"""scripts/bench: which benchmark, how much of it, and what to print."""

from __future__ import annotations

import argparse
import json
import platform
from importlib.metadata import version
from typing import Any

from . import adverts, cluster, fleet, gatt, share
from .adverts import command as adverts_command
from .cluster import command as cluster_command
from .fleet import command as fleet_command
from .gatt import command as gatt_command
from .share import command as share_command

BENCHMARKS: tuple[tuple[Any, Any], ...] = (
    (gatt, gatt_command),
    (fleet, fleet_command),
    (adverts, adverts_command),
    (share, share_command),
    (cluster, cluster_command),
)

PACKAGES = (
    "proxyconn",
    "bleak-esphome",
    "habluetooth",
    "bleak-retry-connector",
    "aioesphomeapi",
    "bleak",
)


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    benchmarks = parser.add_subparsers(dest="benchmark", required=True)
    for package, command in BENCHMARKS:
        summary = package.__doc__
        chosen = benchmarks.add_parser(
            package.__name__.rpartition(".")[2], help=summary, description=summary
        )
        chosen.add_argument("--json", action="store_true", help="print JSON, every sample included")
        command.options(chosen)
        chosen.set_defaults(run=command.run)
    return parser.parse_args()


def main() -> None:
    """Run a benchmark."""
    chosen = arguments()
    found, table = chosen.run(chosen)
    setting = {
        "python": platform.python_version(),
        "machine": platform.machine(),
        **{package: version(package) for package in PACKAGES},
    }
    if chosen.json:
        print(json.dumps({"setting": setting, **found}, indent=1))
        return
    print(", ".join(f"{name} {value}" for name, value in setting.items()), end="\n\n")
    print(table)


if __name__ == "__main__":
    main()
