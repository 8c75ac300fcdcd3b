"""`proxyconn state`: what is remembered from one run to the next, shown, exported and forgotten."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from proxyconn.cli.display.tables import table
from proxyconn.cli.errors import describe, fail
from proxyconn.cli.option_types import AsJson, parse_address
from proxyconn.cli.output import print_json, safe, stdout
from proxyconn.state.facts import Fact, Key
from proxyconn.state.file import StateError, StateFile
from proxyconn.state.folder import state_folder

LONGEST_VALUE = 40
"""Characters of a value that are shown to people; `--json` has all of it."""


def state(
    *,
    forget: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ADDR",
            help="Forget everything about a device; may be repeated.",
            parser=parse_address,
        ),
    ] = None,
    forget_all: Annotated[bool, typer.Option("--forget-all", help="Forget everything.")] = False,
    as_json: AsJson = False,
    folder: Annotated[
        Path | None,
        typer.Option("--state", metavar="FOLDER", help="Another folder than this user's own."),
    ] = None,
) -> None:
    """Show what is remembered from one run to the next, or forget it.

    Bonds and services of devices, the radios that they were connected through, and failures. A
    program that runs keeps what it has read already.
    """
    file = StateFile(state_folder(folder))
    try:
        facts = file.read()
        gone = [key for key in facts if forget_all or key.device in (forget or ())]
        if gone:
            file.write([(key, None) for key in gone])
            file.close()
    except StateError as exc:
        raise fail(describe(exc)) from None
    rows = [_row(key, fact) for key, fact in facts.items() if key not in gone]
    if as_json:
        print_json({"file": str(file.path), "forgotten": len(gone), "facts": rows})
        return
    if forget or forget_all:
        stdout().print(f"{len(gone)} facts forgotten.")
    stdout().print(_picture(rows) if rows else f"Nothing is remembered in {safe(str(file.path))}.")


def _row(key: Key, fact: Fact) -> dict[str, Any]:
    return {
        "kind": key.kind,
        "radio": key.radio or None,
        "device": key.device or None,
        "value": fact.value,
        "age": round(max(0.0, time.time() - fact.at), 1),
    }


def _picture(rows: list[dict[str, Any]]) -> Table:
    picture = table("Kind", "Radio", "Device", "Value", "Age")
    for row in sorted(rows, key=lambda row: (row["kind"], row["device"] or "", row["radio"] or "")):
        value = str(row["value"])
        short = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"
        picture.add_row(
            safe(row["kind"]),
            safe(row["radio"] or ""),
            safe(row["device"] or ""),
            safe(short),
            _age(row["age"]),
        )
    return picture


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
