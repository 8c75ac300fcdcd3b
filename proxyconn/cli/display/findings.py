"""Findings for people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from rich.console import Console, Group, RenderableType
from rich.table import Table

from proxyconn.cli.output import safe
from proxyconn.models import Finding, Level

_STYLES = {Level.OK: "green", Level.NOTE: "cyan", Level.WARNING: "yellow", Level.PROBLEM: "red"}
_MARKS = {Level.OK: "✓", Level.NOTE: "·", Level.WARNING: "!", Level.PROBLEM: "✗"}
_PLAIN_MARKS = {Level.OK: "+", Level.NOTE: "-", Level.WARNING: "!", Level.PROBLEM: "x"}

MACHINE = "this machine"
"""What findings that are about no radio are about."""


def findings_picture(found: Sequence[Finding], to: Console) -> Group:
    """Return findings, grouped by what they are about, each with what to do about it."""
    plain = to.options.ascii_only
    width = max((len(one.check) for one in found), default=0)
    parts: list[RenderableType] = []
    for subject, group in groupby(found, lambda one: one.subject):
        parts += [*([""] if parts else []), f"[bold]{safe(subject or MACHINE)}[/]"]
        parts.append(_group(list(group), width, plain=plain))
    return Group(*parts)


def _group(found: Sequence[Finding], width: int, *, plain: bool) -> Table:
    marks, arrow = (_PLAIN_MARKS, "->") if plain else (_MARKS, "→")
    made = Table.grid(padding=(0, 1, 0, 0))
    made.add_column(no_wrap=True)
    made.add_column(no_wrap=True, min_width=width)
    made.add_column(overflow="fold")
    for one in found:
        style = _STYLES[one.level]
        made.add_row(f"[{style}]{marks[one.level]}[/]", one.check, safe(one.seen))
        if one.advice:
            made.add_row("", "", f"[{style}]{arrow}[/] {safe(one.advice)}")
    return made


def summary(found: Sequence[Finding]) -> str:
    """Return how many problems and warnings there are, in words."""
    return ", ".join(_counted(found)) or "all is well"


def _counted(found: Sequence[Finding]) -> Iterator[str]:
    counts = Counter(one.level for one in found)
    for level in (Level.PROBLEM, Level.WARNING):
        if count := counts[level]:
            yield f"{count} {level}{'s' if count > 1 else ''}"
