"""`proxyconn state`: what is remembered from one run to the next, shown, exported and forgotten."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table

from proxyconn.cli.display.tables import table
from proxyconn.cli.errors import BAD_USAGE, describe, fail
from proxyconn.cli.option_types import AsJson, parse_address
from proxyconn.cli.output import print_json, safe, stdout
from proxyconn.device import colon_address, is_address
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
        _check_known(forget or (), facts)
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


def _check_known(devices: Iterable[str], facts: Iterable[Key]) -> None:
    """Refuse what is no address, and nothing is remembered by."""
    known = {key.device for key in facts}
    for device in devices:
        if device not in known and not is_address(device):
            text = f"--forget: {device!r} is not an address, such as C4:00:00:00:00:01"
            raise fail(f"{text}; the table shows which there are", BAD_USAGE)


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
        value = _text(row["value"])
        short = value if len(value) <= LONGEST_VALUE else f"{value[: LONGEST_VALUE - 1]}…"
        picture.add_row(
            safe(row["kind"]),
            safe(_radio_text(row["radio"] or "")),
            safe(row["device"] or ""),
            safe(short),
            _age(row["age"]),
        )
    return picture


def _radio_text(identity: str) -> str:
    """Spell the MAC address of a radio as that of a device is spelled."""
    return colon_address(identity) if is_address(identity) else identity


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)


def _age(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
