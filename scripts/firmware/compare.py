"""Compares what was said in two worlds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Final

from .case import Line

TOLERANCE: Final = 0.35
"""Seconds by which the same message may come earlier or later: a busy machine is slow."""


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference: what the first world had and what the second, None for nothing."""

    who: str
    first: Line | None
    second: Line | None

    def __str__(self) -> str:
        return f"{self.who}: {_text(self.first)} | {_text(self.second)}"


def _text(line: Line | None) -> str:
    if line is None:
        return "-"
    return line.text if line.at is None else f"{line.at:.2f} {line.text}"


def _by_speaker(lines: Sequence[Line]) -> Mapping[str, list[Line]]:
    found: dict[str, list[Line]] = {}
    for line in lines:
        found.setdefault(line.who, []).append(line)
    return found


def differences(
    first: Sequence[Line], second: Sequence[Line], *, tolerance: float = TOLERANCE
) -> list[Difference]:
    """Return where two records differ, client by client: messages, their order, their times."""
    ours, theirs = _by_speaker(first), _by_speaker(second)
    return [
        difference
        for who in sorted(ours.keys() | theirs.keys())
        for difference in _of_one(who, ours.get(who, []), theirs.get(who, []), tolerance)
    ]


def _of_one(
    who: str, first: Sequence[Line], second: Sequence[Line], tolerance: float
) -> Iterator[Difference]:
    matcher = SequenceMatcher(
        None, [line.text for line in first], [line.text for line in second], autojunk=False
    )
    for kind, a, a_end, b, b_end in matcher.get_opcodes():
        if kind == "equal":
            for one, other in zip(first[a:a_end], second[b:b_end], strict=True):
                if not _at_once(one, other, tolerance):
                    yield Difference(who, one, other)
            continue
        for index in range(max(a_end - a, b_end - b)):
            yield Difference(
                who,
                first[a + index] if a + index < a_end else None,
                second[b + index] if b + index < b_end else None,
            )


def _at_once(one: Line, other: Line, tolerance: float) -> bool:
    if one.at is None or other.at is None:
        return one.at is other.at
    return abs(one.at - other.at) <= tolerance
