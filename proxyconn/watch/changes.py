"""How two states differ: the tables, rows and fields that are other ones now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from proxyconn.watch.rows import Row

Table = dict[str, Row]
"""Key -> row."""


def table_changes(before: Mapping[str, Row], after: Mapping[str, Row]) -> dict[str, Row | None]:
    """Return, by key, the fields that have changed; None for a row that is no more.

    A field that is no more has the value None.
    """
    if before is after:
        return {}
    changes: dict[str, Row | None] = {key: None for key in before if key not in after}
    for key, row in after.items():
        old = before.get(key)
        if old is None:
            changes[key] = row
        elif old is not row and (changed := row_changes(old, row)):
            changes[key] = changed
    return changes


def row_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> Row:
    """Return the fields of a row that have changed."""
    changed = {
        name: value for name, value in after.items() if name not in before or before[name] != value
    }
    changed.update((name, None) for name in before if name not in after)
    return changed


def apply_changes(table: dict[str, Row], changes: Mapping[str, Row | None]) -> None:
    """Change a table as an event says; what readers do.

    A field that becomes None stays, with that value: it means the same as one that is not there.
    """
    for key, changed in changes.items():
        if changed is None:
            table.pop(key, None)
        else:
            table[key] = {**table.get(key, {}), **changed}
