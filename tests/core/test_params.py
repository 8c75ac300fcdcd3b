"""Connection parameters are checked against every bound before anything is sent."""

from __future__ import annotations

import pytest

from proxyconn.radio import ConnectionParameters


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ((5, 800, 0, 600), "min_interval must be 6 to 3200, not 5"),
        ((3201, 3201, 0, 600), "min_interval must be 6 to 3200, not 3201"),
        ((800, 799, 0, 600), "max_interval must be 800"),
        ((6, 3201, 0, 600), "max_interval must be 6"),
        ((6, 6, -1, 600), "latency must be 0 to 499, not -1"),
        ((6, 6, 500, 600), "latency must be 0 to 499, not 500"),
        ((6, 6, 0, 9), "timeout must be 10 to 3200, not 9"),
        ((6, 6, 0, 3201), "timeout must be 10 to 3200, not 3201"),
        ((800, 800, 0, 200), "timeout must be at least 201"),
        ((800, 800, 2, 600), "timeout must be at least 601"),
    ],
)
def test_parameters_out_of_bounds(values: tuple[int, int, int, int], words: str) -> None:
    """The error names the bound."""
    with pytest.raises(ValueError, match=words):
        ConnectionParameters(*values)


@pytest.mark.parametrize(
    "values", [(6, 6, 0, 10), (3200, 3200, 0, 801), (800, 800, 0, 201), (6, 6, 499, 751)]
)
def test_parameters_at_the_bounds(values: tuple[int, int, int, int]) -> None:
    """What is just inside every bound is taken."""
    assert ConnectionParameters(*values).timeout == values[3]
