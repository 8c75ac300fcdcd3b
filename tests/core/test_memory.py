"""Failures that fade, and slots that are expected to come free."""

from __future__ import annotations

import pytest

from proxyconn.routing.failure_memory import (
    FORGOTTEN,
    PATH_HALF_LIFE,
    RADIO_HALF_LIFE,
    Fading,
    FailureMemory,
)
from proxyconn.routing.slot_forecast import LEAST_REST, USUAL_CONNECT, USUAL_HOLD, Holding

ONE, OTHER = "C4:00:00:00:00:01", "C4:00:00:00:00:02"


def test_failures_fade_and_add_up() -> None:
    """Half is left after one half-life; a new one comes on top; in the end nothing is kept."""
    memory = FailureMemory()
    memory.fail(ONE, "kitchen", 0.0)
    assert memory.on_path(ONE, "kitchen", PATH_HALF_LIFE) == pytest.approx(0.5)
    memory.fail(ONE, "kitchen", PATH_HALF_LIFE)
    assert memory.on_path(ONE, "kitchen", PATH_HALF_LIFE) == pytest.approx(1.5)
    assert memory.on_path(ONE, "kitchen", 60 * PATH_HALF_LIFE) == 0.0
    memory.sweep(60 * PATH_HALF_LIFE)
    assert memory == FailureMemory()


def test_a_failure_is_held_against_one_path_only() -> None:
    """Neither another radio nor another device has failed (bleak-esphome issue 438)."""
    memory = FailureMemory()
    memory.fail(ONE, "far", 0.0)
    assert memory.on_path(ONE, "near", 0.0) == 0.0
    assert memory.on_path(OTHER, "far", 0.0) == 0.0


def test_a_radio_is_judged_by_its_other_devices() -> None:
    """One device out of reach says nothing about the radio; several do, until one succeeds."""
    memory = FailureMemory()
    for _ in range(3):
        memory.fail(ONE, "kitchen", 0.0)
    assert memory.on_radio("kitchen", 0.0, but=ONE) == 0.0
    assert memory.on_radio("kitchen", 0.0, but=OTHER) == 1.0
    assert memory.on_radio("kitchen", RADIO_HALF_LIFE, but=OTHER) == pytest.approx(0.5)
    assert memory.on_path(ONE, "kitchen", 0.0) == 3.0
    memory.succeed(OTHER, "kitchen")
    assert memory.on_radio("kitchen", 0.0, but=OTHER) == 0.0
    assert memory.on_path(ONE, "kitchen", 0.0) == 3.0
    memory.succeed(ONE, "kitchen")
    assert memory.on_path(ONE, "kitchen", 0.0) == 0.0


def test_what_is_held_against_a_radio_counts_from_then() -> None:
    """Not from the beginning of time; a success where nothing failed changes nothing."""
    memory = FailureMemory()
    memory.succeed(ONE, "kitchen")
    memory.fail(ONE, "kitchen", 5 * RADIO_HALF_LIFE)
    assert memory.on_radio("kitchen", 6 * RADIO_HALF_LIFE, but=OTHER) == pytest.approx(0.5)
    memory.sweep(6 * RADIO_HALF_LIFE)
    assert memory.on_radio("kitchen", 6 * RADIO_HALF_LIFE, but=OTHER) == pytest.approx(0.5)


def test_a_failure_counts_down_to_its_last_weight() -> None:
    """What has faded to the limit still counts; what has faded below it does not."""
    assert Fading(FORGOTTEN, 0.0).value(0.0, 1.0) == FORGOTTEN
    assert Fading(FORGOTTEN, 0.0).value(0.1, 1.0) == 0.0


def test_a_radio_shows_how_fast_it_connects() -> None:
    """The mean follows what is seen, a step at a time."""
    holding = Holding()
    holding.connected(USUAL_CONNECT + 2.0)
    assert holding.connect == pytest.approx(USUAL_CONNECT + 0.6)
    holding.connected(USUAL_CONNECT - 1.4)
    assert holding.connect == pytest.approx(USUAL_CONNECT)


def test_a_radio_shows_how_long_links_last() -> None:
    """The mean follows what is seen; a slot of before the fleet was opened says nothing."""
    holding = Holding()
    holding.freed(ONE, 100.0)
    assert holding.hold is None
    holding.taken(ONE, 0.0)
    holding.freed(ONE, 4.0)
    holding.taken(ONE, 10.0)
    holding.freed(ONE, 16.0)
    assert holding.hold == pytest.approx(4.6)


def test_slots_are_expected_as_others_came_free() -> None:
    """The mean of what was seen, less what has passed; later callers wait for later slots."""
    holding = Holding()
    holding.taken(ONE, 0.0)
    holding.freed(ONE, 4.0)
    holding.taken(ONE, 10.0)
    holding.taken(OTHER, 12.0)
    assert holding.until_free(13.0, 0) == pytest.approx(1.0)
    assert holding.until_free(13.0, 1) == pytest.approx(3.0)
    assert holding.until_free(13.0, 2) == pytest.approx(1.0 + 4.0)


def test_a_slot_that_outlives_the_others_is_not_waited_for() -> None:
    """A link that is late by long is expected to stay as long again."""
    holding = Holding()
    assert holding.until_free(0.0, 0) == 0.0
    holding.taken(ONE, 0.0)
    assert holding.until_free(1.0, 0) == USUAL_HOLD
    assert holding.until_free(60.0, 0) == 60.0
    holding.freed(ONE, 2.0)
    holding.taken(OTHER, 10.0)
    assert holding.until_free(12.0, 0) == LEAST_REST
    assert holding.until_free(42.0, 0) == pytest.approx(30.0)
