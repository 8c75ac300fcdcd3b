"""`scripts/bench fleet`."""

from __future__ import annotations

import argparse
import dataclasses
from typing import Any

from . import bench, report
from .setting import STANDARD, Setting

HELP = {
    "proxies": "how many",
    "slots": "connection slots of each, 1..9",
    "devices": "how many, with one session each",
    "hold": "seconds that a session keeps its link",
    "connect_time": "seconds that a radio takes to open a link",
    "seed": "of the signal strengths",
}


def options(parser: argparse.ArgumentParser) -> None:
    """Add the options: each field of a setting is one."""
    for field in dataclasses.fields(Setting):
        parser.add_argument(
            "--" + field.name.replace("_", "-"),
            type=type(getattr(STANDARD[0], field.name)),
            metavar="N",
            help=HELP[field.name],
        )
    parser.add_argument(
        "--peer",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether to measure the peer as well",
    )


def run(chosen: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measure in the setting that was given, or in the standard ones.

    Returns what was found, and a table of it.
    """
    asked = {
        field.name: value
        for field in dataclasses.fields(Setting)
        if (value := getattr(chosen, field.name)) is not None
    }
    settings = [dataclasses.replace(STANDARD[0], **asked)] if asked else STANDARD
    found = bench.run(settings, bench.SIDES if chosen.peer else ("ours",))
    return {"settings": found}, report.table(found)
