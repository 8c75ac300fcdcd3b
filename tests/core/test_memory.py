"""Failures that fade, and slots that are expected to come free."""

from __future__ import annotations

import pytest

from proxyconn._holding import LEAST_REST, USUAL_HOLD, Holding
from proxyconn._memory import PATH_HALF_LIFE, RADIO_HALF_LIFE, FailureMemory

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
    memory.succeed(OTHER, "kitchen")
    assert memory.on_radio("kitchen", 0.0, but=OTHER) == 0.0


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
