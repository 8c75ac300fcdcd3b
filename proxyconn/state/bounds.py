"""How many facts are kept: every bond, and of each other kind the newest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from proxyconn.state.facts import Fact, Key

BOND: Final = "bond"
"""Kind of fact: a device is bonded through a radio. Only pairing makes one, and nothing makes up
for one that is lost."""

MOST: Final = 2_000
"""Facts of one kind that are kept, bonds aside."""

SPARE: Final = 200
"""Facts of one kind beyond MOST before the oldest are looked for."""

REFRESH_AFTER: Final = 3600.0
"""Seconds by which the age of a fact may be wrong in the file, where nothing else has changed."""


def too_old(facts: Mapping[Key, Fact], kind: str, count: int) -> list[Key]:
    """Return the facts of a kind to forget, the oldest, if its `count` ones are too many."""
    if kind == BOND or count <= MOST + SPARE:
        return []
    ages = sorted((fact.at, key) for key, fact in facts.items() if key.kind == kind)
    return [key for _, key in ages[: len(ages) - MOST]]
