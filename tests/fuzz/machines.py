"""What the state machines share: a loop on a controlled clock that is turned by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

import looptime
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine

T = TypeVar("T")

FIXED = settings(
    max_examples=150, stateful_step_count=50, derandomize=True, database=None, deadline=None
)
"""The same runs in every run of the tests, in seconds."""

TURNS = 8
"""Turns of the loop in which everything that can go on has gone on, if nobody waits for others."""


SELDOM = st.integers(0, 7).map(lambda number: number == 7)
"""Whether something happens that would otherwise end everything before it has begun."""


class LoopMachine(RuleBasedStateMachine):
    """A machine whose rules turn a loop."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = looptime.new_event_loop(noop_cycles=1)
        self.errors: list[dict[str, Any]] = []
        self.loop.set_exception_handler(lambda _, context: self.errors.append(context))

    def do(self, main: Coroutine[Any, Any, T]) -> T:
        """Run a coroutine to its end."""
        return self.loop.run_until_complete(main)

    def task(self, main: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin a coroutine."""
        task = self.loop.create_task(main)
        self.settle()
        return task

    def settle(self) -> None:
        """Let every task that can go on do so."""
        self.do(_turns())

    def wait(self, seconds: float) -> None:
        """Let time go by."""
        self.do(asyncio.sleep(seconds))

    def teardown(self) -> None:
        """End what is under way; nothing may have raised unheard."""
        tasks = asyncio.all_tasks(self.loop)
        for task in tasks:
            task.cancel()
        self.do(_gather(tasks))
        self.check_end()
        self.loop.close()
        assert not self.errors

    def check_end(self) -> None:
        """Look at what is left after everything has ended."""


async def _turns() -> None:
    # Callers that wait in line are woken one after the other.
    for _ in range(TURNS + 2 * len(asyncio.all_tasks())):
        await asyncio.sleep(0)


async def _gather(tasks: set[asyncio.Task[Any]]) -> None:
    await asyncio.gather(*tasks, return_exceptions=True)
    await _turns()
