"""The addresses of a proxy, and the order in which they are tried."""

from __future__ import annotations

import pytest

from proxyconn_esphome.wire.addresses import MOST_ADDRESSES, Addresses, reachable

V4, V6, LOCAL = "10.0.0.7", "fd00::7", "fe80::7%eth0"


@pytest.mark.parametrize(
    ("peer", "order"), [(V6, [V6, V4, LOCAL]), ("fe80::7", [LOCAL, V4, V6]), ("10.0.0.8", None)]
)
def test_the_one_that_worked_is_tried_first(peer: str, order: list[str] | None) -> None:
    """A socket does not tell the scope of its peer."""
    addresses = Addresses((V4, V6, LOCAL))
    addresses.worked(peer)
    assert addresses.hosts == (order or [V4, V6, LOCAL])


def test_the_one_where_somebody_else_is_is_tried_last() -> None:
    """And no address is given up."""
    addresses = Addresses((V4, V6, LOCAL, V4))
    addresses.failed(V4)
    assert addresses.hosts == [V6, LOCAL, V4]
    addresses.failed(None)
    assert addresses.hosts == [V6, LOCAL, V4]


def test_other_records_keep_the_order() -> None:
    """What worked before is tried first as long as it is announced."""
    addresses = Addresses((V6, V4))
    addresses.replace((V4, "10.0.0.8", V6))
    assert addresses.hosts == [V6, V4, "10.0.0.8"]
    addresses.replace((LOCAL,))
    assert addresses.hosts == [LOCAL]


def test_a_record_has_no_end_of_addresses() -> None:
    """Anybody can announce any number."""
    assert len(Addresses(f"10.0.0.{n}" for n in range(99)).hosts) == MOST_ADDRESSES
    assert len(reachable(f"10.0.0.{n}" for n in range(99))) == MOST_ADDRESSES


@pytest.mark.parametrize(
    ("announced", "tried"),
    [
        ([V4, "fe80::7", LOCAL, V6], [V4, LOCAL, V6]),
        (["fe80::7"], ["fe80::7"]),
        ([], []),
    ],
)
def test_link_local_address_needs_its_interface(announced: list[str], tried: list[str]) -> None:
    """Without it there is no way there; better than nothing, if it is all there is."""
    assert reachable(announced) == tried
