"""Every target on its corpus, and on the same inputs in each run; scripts/fuzz does more."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .targets import TARGETS

CORPUS = Path(__file__).parent / "corpus"

EXAMPLES = {"client": 150, "server": 150, "owner": 60, "hearing": 300, "mdns": 200}
"""Inputs for those that need a loop; seconds each."""

MANY = 1000
"""Inputs for the others."""

LONGEST = 600
"""Bytes of an input."""


def noise(seed: int) -> bytes:
    """Return a long input, which hypothesis makes but rarely."""
    chance = random.Random(seed)
    return chance.randbytes(chance.randrange(LONGEST))


def files() -> list[Path]:
    """Return the corpus."""
    return sorted(file for file in CORPUS.rglob("*") if file.is_file())


@pytest.mark.parametrize("file", files(), ids=lambda file: f"{file.parent.name}-{file.name}")
def test_corpus(file: Path) -> None:
    """What once reached far, or broke something, does no harm."""
    TARGETS[file.parent.name](file.read_bytes())


@pytest.mark.parametrize("name", TARGETS)
def test_inputs(name: str) -> None:
    """Nothing that a stranger sends breaks a property."""

    @settings(
        max_examples=EXAMPLES.get(name, MANY),
        derandomize=True,
        database=None,
        deadline=None,
        # Shrinking what is found takes longer than a test may; scripts/fuzz keeps the input.
        phases=(Phase.explicit, Phase.generate),
        suppress_health_check=list(HealthCheck),
    )
    @given(st.binary(max_size=LONGEST) | st.builds(noise, st.integers(0, 1 << 32)))
    def each(tape: bytes) -> None:
        TARGETS[name](tape)

    each()


def test_corpus_is_small() -> None:
    """Kilobytes, and something for every target."""
    assert {file.parent.name for file in files()} == set(TARGETS)
    assert sum(file.stat().st_size for file in files()) < 100_000
