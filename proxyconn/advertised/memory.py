"""Objects as they lie in memory, not made twice; `memory.pyx` is this in C."""

from __future__ import annotations

from typing import Any

new_tuple = tuple.__new__
"""`new_tuple(class, values)` for a named tuple: its constructor takes twice as long."""


def let_go(made: tuple[Any, ...]) -> None:
    """Say that a tuple made so is not needed any more by whoever made it."""


def only_kept(kept: object) -> bool:
    """Whether nobody has an object but who keeps it and who asks; False if that is not known."""
    return False


def fetch(wanted: object) -> None:
    """Have the processor fetch an object that is needed soon, and not wait for it."""


def lies_at(data: bytes, start: int, stop: int, part: bytes) -> bool:
    """Whether a part of some bytes is the same as others."""
    return data[start:stop] == part
