"""Callbacks: each registration is one of its own, and no callback is in another's way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from proxyconn.callbacks import Callbacks, call_guarded


@pytest.fixture
def callbacks() -> Callbacks[[int]]:
    """Return some that nobody has registered with."""
    return Callbacks[[int]]("the test")


def test_a_callback_may_be_registered_twice(callbacks: Callbacks[[int]]) -> None:
    """It is called twice then, and undoing one registration twice leaves the other."""
    seen: list[int] = []
    first = callbacks.register(seen.append)
    second = callbacks.register(seen.append)
    callbacks(1)
    assert seen == [1, 1]
    first()
    first()
    callbacks(2)
    assert seen == [1, 1, 2]
    second()
    callbacks(3)
    assert seen == [1, 1, 2]
    assert callbacks.registered == ()


def test_what_changes_during_a_call(callbacks: Callbacks[[int]]) -> None:
    """One that is taken out is not called any more, one that is added only the next time."""
    seen: list[str] = []

    def change(number: int) -> None:
        seen.append(f"change {number}")
        if number == 1:
            removes[1]()
            callbacks.register(lambda number: seen.append(f"late {number}"))

    removes: list[Callable[[], None]] = [callbacks.register(change)]
    removes.append(callbacks.register(lambda number: seen.append(f"removed {number}")))
    callbacks(1)
    callbacks(2)
    assert seen == ["change 1", "change 2", "late 2"]


def test_one_that_raises_is_logged(
    callbacks: Callbacks[[int]], caplog: pytest.LogCaptureFixture
) -> None:
    """And the others are called, before and after it."""
    seen: list[int] = []

    def fail(number: int) -> None:
        raise ZeroDivisionError

    callbacks.register(seen.append)
    callbacks.register(fail)
    callbacks.register(seen.append)
    with caplog.at_level(logging.ERROR):
        callbacks(1)
    assert seen == [1, 1]
    assert "a callback of the test failed" in caplog.text


async def test_what_a_guarded_callback_raises_is_handed_to_the_loop() -> None:
    """Whoever calls goes on, and the program's own handler of exceptions sees it."""
    told: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: told.append(context))
    error = ValueError("mine")

    def fail() -> None:
        raise error

    call_guarded(fail)
    assert [context["exception"] for context in told] == [error]
