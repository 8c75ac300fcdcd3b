"""What a device says in turns: sorts of packets, by the table itself; the time is an argument."""

from __future__ import annotations

from proxyconn.advertised.fields import Fields
from proxyconn.advertised.turns import Turns


def says(
    name: str | None = None,
    *,
    makers: tuple[int, ...] = (),
    uuids: tuple[str, ...] = (),
    tx_power: int | None = None,
) -> Fields:
    """Return a packet."""
    return (name, dict.fromkeys(makers, b"value"), {}, list(uuids), tx_power, -50, ())


def taken(*packets: Fields) -> Turns:
    """Return what was said, a second apart."""
    turns = Turns()
    for second, packet in enumerate(packets):
        turns.take(packet, float(second - 1), lambda: False)
    return turns


def test_a_packet_without_transmit_power_does_not_take_it_back() -> None:
    """The last one that says it counts, whatever is said in turn with it."""
    turns = taken(says("Lamp", tx_power=4), says(makers=(1,), tx_power=8), says(makers=(2,)))
    assert turns.together(0.0, "Lamp", -50).tx_power == 8
    assert taken(says("Lamp"), says(makers=(1,))).together(0.0, "Lamp", -50).tx_power is None


def test_a_key_stands_for_a_packet_only_while_nothing_else_is_said() -> None:
    """Who says two sorts of packets has to be asked which one it was."""
    turns = taken(says(makers=(1,)))
    assert turns.latest.only == 1
    first = turns.latest
    turns.take(says(makers=(2,)), 0.0, lambda: False)
    assert first.only is None
    assert turns.latest.only is None
    assert taken(says(makers=(1, 2))).latest.only is None


def test_what_was_said_before_some_time_is_left_out() -> None:
    """The sort that was said last counts in any case."""
    turns = taken(says("Lamp"), says(makers=(1,)), says(makers=(2,)))
    assert [set(one.advertisement[1]) for one in turns.within(1.0)] == [{1}, {2}]
    assert list(turns.names(1.0)) == []
    assert list(turns.names(0.0)) == ["Lamp"]
    assert [set(one.advertisement[1]) for one in turns.within(100.0)] == [{2}]


def test_uuids_of_all_packets_are_told_once_each() -> None:
    """In the order in which they were said first."""
    turns = taken(says(uuids=("a", "b")), says(makers=(1,), uuids=("b", "c")))
    assert turns.together(0.0, None, -50).service_uuids == ["a", "b", "c"]
