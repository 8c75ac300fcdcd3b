"""Decisions read from bytes, so that any engine that makes bytes can make a whole scenario."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

T = TypeVar("T")

EDGES = (0, 1, 2, 127, 128, 255, 256, 512, 517, 65535, 65536, 2**31 - 1, 2**31, 2**32 - 1)
"""Numbers at which fields and lengths change their size or their sign."""


class Choices:
    """A tape of bytes; at its end every choice is the first one, which is the harmless one."""

    def __init__(self, tape: bytes) -> None:
        self._tape = tape
        self._at = 0

    @property
    def over(self) -> bool:
        """Whether the tape has been read to its end."""
        return self._at >= len(self._tape)

    def byte(self) -> int:
        """Return the next byte; 0 behind the end."""
        if self.over:
            return 0
        self._at += 1
        return self._tape[self._at - 1]

    def below(self, limit: int) -> int:
        """Return a number from 0 to `limit` - 1."""
        number = self.byte()
        if limit > 256:
            number |= self.byte() << 8
        return number % limit

    def pick(self, options: Sequence[T]) -> T:
        """Return one of the options."""
        return options[self.below(len(options))]

    def chance(self, one_in: int) -> bool:
        """Return whether something that happens once in so many times happens; not at the end."""
        return not self.over and self.byte() % one_in == one_in - 1

    def bytes(self, length: int) -> bytes:
        """Return so many bytes, or as many as there are."""
        taken = self._tape[self._at : self._at + length]
        self._at += len(taken)
        return taken

    def number(self, bits: int) -> int:
        """Return an unsigned number of so many bits; often one at an edge."""
        how = self.below(4)
        if how == 0:
            return self.byte()
        if how == 1:
            return self.pick(EDGES) & (1 << bits) - 1
        if how == 2:
            return (1 << bits) - 1 - self.below(3)
        return int.from_bytes(self.bytes(bits // 8), "little")
