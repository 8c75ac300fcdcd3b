"""Where and how commands print: consoles, text from the air made harmless, JSON."""

from __future__ import annotations

import functools
import json
import sys
from typing import Any

from rich.console import Console
from rich.markup import escape

from proxyconn import Retry

SHOWN_BYTES = 64
"""Longest value whose text is shown beside its bytes."""


@functools.cache
def stdout() -> Console:
    """Return the process's console for results."""
    return Console(highlight=False, emoji=False)


@functools.cache
def stderr() -> Console:
    """Return the process's console for everything that is no result."""
    return Console(stderr=True, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Return `text` with everything that could steer a terminal replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def safe(text: str) -> str:
    """Return `text` as it may stand in rich markup: names of devices come from strangers."""
    return escape(printable(text))


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def value_text(value: bytes) -> str | None:
    """Return a value as text if it is some, else None."""
    try:
        text = value.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    return text if text and len(value) <= SHOWN_BYTES and text.isprintable() else None


def value_markup(value: bytes) -> str:
    """Return a value for people: its bytes in hex, and its text if it is some."""
    shown = f"[bold]{value.hex(' ')}[/]" if value else "[dim](empty)[/]"
    text = value_text(value)
    if text is None:
        return shown
    return f"{shown}  [green]{safe(json.dumps(text, ensure_ascii=False))}[/]"


def print_retry(console: Console, name: str, retry: Retry) -> None:
    """Print a failed attempt that another one follows."""
    reason = " ".join(str(retry.error).split()) or type(retry.error).__name__
    where = f" on {safe(retry.source)}" if retry.source else ""
    console.print(
        f"[yellow]retry:[/] {safe(name)}: attempt {retry.attempt}{where} failed: {safe(reason)}"
        f" [dim](next within {retry.wait:g} s)[/]",
        soft_wrap=not console.is_terminal,
    )
