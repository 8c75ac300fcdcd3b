"""`scripts/bench adverts`."""

from __future__ import annotations

import argparse
from typing import Any

from . import bench, report


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options."""
    size = bench.Size()
    parser.add_argument(
        "--devices",
        type=int,
        nargs="+",
        default=size.devices,
        metavar="N",
        help="numbers of devices; all clients are measured with the first one",
    )
    parser.add_argument(
        "--changing",
        type=float,
        default=size.changing,
        metavar="SHARE",
        help="share of the advertisements, 0..1, that say something new",
    )
    parser.add_argument(
        "--seconds", type=float, default=size.seconds, metavar="T", help="for each of them"
    )
    parser.add_argument(
        "--proxies",
        type=int,
        default=size.proxies,
        metavar="N",
        help="of the fleet of many; 0 for none",
    )


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure; return what was found, and a table of it."""
    found = bench.run(
        bench.Size(
            devices=tuple(chosen.devices),
            changing=chosen.changing,
            seconds=chosen.seconds,
            proxies=chosen.proxies,
        )
    )
    return found, report.table(found)
