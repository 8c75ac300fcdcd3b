"""scripts/chaos: options, and what to print."""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import subprocess
import sys
from typing import Any

from . import report
from .run import run
from .setting import Setting

HELP = {
    "seed": "of every decision; the same one makes the same ones",
    "seconds": "how long faults are injected, on the clock of the run",
    "proxies": "how many",
    "twins": "pairs of them that have one name",
    "devices": "how many",
    "slots": "connection slots of each proxy, 1..9",
    "rate": "faults per second at each proxy, on average",
    "shortest": "least seconds that a fault lasts",
    "longest": "most seconds that a fault lasts",
    "off": "seconds that a proxy is away when it restarts",
    "pause": "seconds between two sessions of a device, at most",
    "kept": "of so many devices one is kept connected; 0 for none",
    "elsewhere": "of so many devices one is used from another event loop; 0 for none",
    "programs": "how many share the owner, with --side owner",
}


def arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(prog="scripts/chaos", description=__doc__)
    usual = Setting()
    for name, text in HELP.items():
        value = getattr(usual, name)
        parser.add_argument(
            f"--{name}", type=type(value), default=value, metavar="N", help=f"{text} ({value:g})"
        )
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="runs, a seed for each")
    parser.add_argument("--clock", choices=("virtual", "real"), default=usual.clock)
    parser.add_argument("--side", choices=("ours", "peer", "owner"), default=usual.side)
    parser.add_argument(
        "--strikes",
        choices=("proxies", "clients", "both"),
        default=usual.strikes,
        help="whom the faults strike, with --side owner: its proxies, its clients or both",
    )
    parser.add_argument(
        "--peer", action="store_true", help="make each run with the peer too; nothing is kept then"
    )
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def settings(chosen: argparse.Namespace) -> list[Setting]:
    """Return the runs to make."""
    names = [field.name for field in dataclasses.fields(Setting)]
    first = Setting(**{name: getattr(chosen, name) for name in names})
    if chosen.peer:
        first = dataclasses.replace(first, kept=0, elsewhere=0)
    return [
        dataclasses.replace(first, seed=first.seed + more, side=side)
        for more in range(chosen.seeds)
        for side in (("ours", "peer") if chosen.peer else (first.side,))
    ]


def run_apart(setting: Setting) -> dict[str, Any]:
    """Make a run in a process of its own: what the peer sets up holds for a whole process."""
    options = [f"--{name}={value}" for name, value in setting.dump().items()]
    done = subprocess.run(
        [sys.executable, "-m", __package__, *options, "--json"],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        stdout=subprocess.PIPE,
        check=False,
    )
    (found,) = json.loads(done.stdout)
    return dict(found)


def main() -> int:
    """Make the runs; return 1 if our client broke an invariant."""
    chosen = arguments()
    wanted = settings(chosen)
    found: list[dict[str, Any]] = []
    for setting in wanted:
        found.append(run(setting) if len(wanted) == 1 else run_apart(setting))
        if not chosen.json:
            print(report.one(found[-1]), flush=True)
    print(json.dumps(found, indent=1) if chosen.json else report.table(found))
    return 1 if any(one["broken"] for one in found if one["setting"]["side"] != "peer") else 0


if __name__ == "__main__":
    sys.exit(main())
