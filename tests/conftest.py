"""Guards round every test: nothing blocks the event loop, and nothing is left behind.

A test fails when a blocking call is made while the loop runs, when an asynchronous test ends with
a task still alive, or when a socket or another file descriptor is open that was not open before.
"""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from uuid import uuid4

import pytest
from blockbuster import blockbuster_ctx

ROOT = Path(__file__).resolve().parent.parent
DESCRIPTORS = Path("/proc/self/fd")
CAN_COUNT = DESCRIPTORS.is_dir()
FOREIGN_GRACE = 12.0
"""Seconds that tasks of libraries get to end: nats-py looks ten seconds later whether a connection
is closed, and aioesphomeapi reads the time zone in a thread."""


def pytest_configure() -> None:
    """Have SIGINT interrupt what the tests start, though a shell ignores it for its background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def no_owner(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep an owner that this user runs out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNTIME_DIRECTORY", str(tmp_path_factory.mktemp("run")))
        yield


@pytest.fixture(autouse=True)
def no_state(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Let no test remember what another one has learned, nor the user's own programs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("STATE_DIRECTORY", str(tmp_path_factory.getbasetemp() / uuid4().hex))
        yield


@pytest.fixture(scope="session", autouse=True)
def nothing_blocks() -> Iterator[None]:
    """Make a blocking call while a loop runs an error, in whatever package it is made."""
    with blockbuster_ctx() as blockbuster:
        for name in ("os.listdir", "os.readlink"):  # these guards read /proc, which is in memory
            blockbuster.functions[name].can_block_in(__file__, {"open_descriptors"})
        yield


@pytest.fixture(scope="session", autouse=True)
def current_loop() -> Iterator[None]:
    """Give looptime the current loop that it asks for round synchronous tests as well.

    It would make one, and leave it open, inside the first such test.
    """
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.fixture(autouse=True)
def nothing_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail the test that leaves a task or a file descriptor behind."""
    if inspect.iscoroutinefunction(getattr(request, "function", None)):
        request.getfixturevalue("nothing_left_in_loop")
        yield
        return
    before = open_descriptors()
    yield
    fail_if_open(before)


@pytest.fixture
async def nothing_left_in_loop() -> AsyncIterator[None]:
    """Compare before and after inside the loop, which has descriptors of its own.

    The first fixture to be set up is the last to be torn down: the others have cleaned up by then.
    """
    descriptors, tasks = open_descriptors(), asyncio.all_tasks()
    yield
    current = asyncio.current_task()
    await asyncio.sleep(0)  # transports close in the turn after close()
    left = asyncio.all_tasks() - tasks - {current}
    if left and not any(is_ours(task) for task in left):
        _, left = await asyncio.wait(left, timeout=FOREIGN_GRACE)
    if left:
        pytest.fail(f"tasks left: {[repr(task) for task in left]}", pytrace=False)
    fail_if_open(descriptors)


def fail_if_open(before: Counter[str]) -> None:
    """Fail if more is open than was before; what was closed and opened again is the same."""
    if open_descriptors() - before:
        gc.collect()  # what is closed by this was left open, and pytest reports its ResourceWarning
        left = open_descriptors() - before
        if left:
            pytest.fail(f"left open: {sorted(left)}", pytrace=False)


def is_ours(task: asyncio.Task[object]) -> bool:
    """Tell whether a task runs code of this repository, which awaits what it cancels."""
    code = getattr(task.get_coro(), "cr_code", None)
    file = Path(code.co_filename) if code is not None else Path(sys.prefix)
    # An environment may lie inside the repository.
    return file.is_relative_to(ROOT) and not file.is_relative_to(sys.prefix)


def open_descriptors() -> Counter[str]:
    """Return the target of every open file descriptor; nothing where /proc is missing.

    There a ResourceWarning, which is an error in these tests, is the only sign of a leak.
    """
    found = Counter[str]()
    for name in os.listdir(DESCRIPTORS) if CAN_COUNT else ():
        try:
            found[os.readlink(DESCRIPTORS / name)] += 1
        except FileNotFoundError:  # the descriptor of this very listing
            continue
    return found
