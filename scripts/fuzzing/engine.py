"""Runs a target for a while on inputs that an engine makes; keeps what breaks it."""

from __future__ import annotations

import random
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha1
from pathlib import Path

CORPUS = Path(__file__).resolve().parents[2] / "tests" / "fuzz" / "corpus"
"""Small inputs that reach far, by target; in the repository."""

SIZES = (0, 8, 32, 128, 512, 2048)
"""Bytes of inputs that are made from nothing."""

Target = Callable[[bytes], None]


@dataclass(slots=True)
class Findings:
    """What broke, each kind once.

    Attributes:
        folder: where the inputs are written.
        kinds: where and how it broke -> file with the input.
    """

    folder: Path
    kinds: dict[str, Path] = field(default_factory=dict)

    def take(self, error: BaseException, tape: bytes) -> None:
        """Take note of an input and of what came of it."""
        place = traceback.extract_tb(error.__traceback__)[-1]
        kind = f"{type(error).__name__} in {place.name}: {str(error)[:20]}"
        if kind in self.kinds:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        file = self.folder / f"found-{sha1(tape, usedforsecurity=False).hexdigest()[:12]}"
        file.write_bytes(tape)
        self.kinds[kind] = file
        print(f"FOUND {file}\n{''.join(traceback.format_exception(error))}", flush=True)


def seeds(target: str) -> list[bytes]:
    """Return the corpus of a target."""
    return [file.read_bytes() for file in sorted((CORPUS / target).glob("*"))]


def run_random(
    target: Target, corpus: Sequence[bytes], findings: Findings, *, seconds: float, seed: int
) -> int:
    """Run a target on mutations of a corpus and on random bytes; return how often."""
    chance = random.Random(seed)
    ends = time.monotonic() + seconds
    executions = 0
    while time.monotonic() < ends:
        if corpus and chance.random() < 0.5:
            tape = _mutated(chance.choice(corpus), chance)
        else:
            tape = chance.randbytes(chance.randrange(1 + chance.choice(SIZES)))
        executions += 1
        try:
            target(tape)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is a finding
            findings.take(error, tape)
    return executions


def _mutated(tape: bytes, chance: random.Random) -> bytes:
    changed = bytearray(tape)
    for _ in range(chance.randrange(1, 6)):
        at = chance.randrange(len(changed) + 1)
        how = chance.randrange(3)
        if how == 0 and at < len(changed):
            changed[at] = chance.randrange(256)
        elif how == 1:
            changed[at:at] = chance.randbytes(chance.randrange(1, 9))
        else:
            del changed[at : at + chance.randrange(1, 9)]
    return bytes(changed)
