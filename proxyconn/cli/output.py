"""Where and how commands print: consoles, text from the air made harmless, JSON."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import functools
import json
import os
import stat
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from rich.console import Console
from rich.markup import escape

from proxyconn import Retry

SHOWN_BYTES = 64
"""Longest value whose text is shown beside its bytes."""

SHORTEST_TEXT = 2
"""Characters; a single one is rather a number."""

NUMBER_SIZES = (1, 2, 4)
"""Bytes of values that are shown as a number too."""


@functools.cache
def stdout() -> Console:
    """Return the process's console for results."""
    return Console(highlight=False, emoji=False)


@functools.cache
def stderr() -> Console:
    """Return the process's console for everything that is no result."""
    return Console(stderr=True, highlight=False, emoji=False)


def printable(text: str) -> str:
    """Return `text` with everything that could steer a terminal replaced."""
    return "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text)


def safe(text: str) -> str:
    """Return `text` as it may stand in rich markup: names of devices come from strangers."""
    return escape(printable(text))


async def confirm(question: str) -> bool:
    """Ask on the terminal; False for anything but yes, and at once where there is no terminal."""
    console = stderr()
    if not (console.is_terminal and sys.stdin.isatty()):
        return False
    console.print(f"{safe(question)} \\[y/N] ", end="", soft_wrap=True)
    loop = asyncio.get_running_loop()
    answered = asyncio.Event()
    # A terminal has something to read once a line is complete; a signal ends the wait.
    with contextlib.suppress(NotImplementedError):
        loop.add_reader(sys.stdin, answered.set)
        try:
            await answered.wait()
        finally:
            loop.remove_reader(sys.stdin)
    return sys.stdin.readline().strip().casefold() in ("y", "yes")


def print_json(value: Any) -> None:
    """Print one JSON document on one line."""
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


def value_text(value: bytes) -> str | None:
    """Return a value as text if it is some, else None."""
    try:
        text = value.rstrip(b"\0").decode()
    except UnicodeDecodeError:
        return None
    shown = len(text) >= SHORTEST_TEXT and len(value) <= SHOWN_BYTES and text.isprintable()
    return text if shown else None


def value_markup(value: bytes) -> str:
    """Return a value for people: its bytes in hex, as a number, and its text if it is some.

    The number is unsigned, the least significant byte first.
    """
    shown = [f"[bold]{value.hex(' ')}[/]" if value else "[dim](empty)[/]"]
    if len(value) in NUMBER_SIZES:
        shown.append(f"[cyan]{int.from_bytes(value, 'little')}[/]")
    text = value_text(value)
    if text is not None:
        shown.append(f"[green]{safe(json.dumps(text, ensure_ascii=False))}[/]")
    return "  ".join(shown)


@asynccontextmanager
async def while_read() -> AsyncIterator[None]:
    """Leave with BrokenPipeError as soon as the reader of stdout goes; only a pipe tells."""
    loop = asyncio.get_running_loop()
    pipe = _stdout_pipe()
    if pipe is None:
        yield
        return

    def gone() -> None:
        loop.remove_reader(pipe)
        scope.reschedule(loop.time())

    try:
        async with asyncio.timeout(None) as scope:
            # The writing end of a pipe becomes readable when nobody is at the other end.
            with contextlib.suppress(NotImplementedError):
                loop.add_reader(pipe, gone)
            try:
                yield
            finally:
                with contextlib.suppress(NotImplementedError):
                    loop.remove_reader(pipe)
    except TimeoutError:
        if scope.expired():
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE)) from None
        raise


def _stdout_pipe() -> int | None:
    try:
        number = sys.stdout.fileno()
    except (OSError, ValueError):
        return None
    return number if stat.S_ISFIFO(os.fstat(number).st_mode) else None


def print_retry(console: Console, name: str, retry: Retry) -> None:
    """Print a failed attempt that another one follows."""
    reason = " ".join(str(retry.error).split()) or type(retry.error).__name__
    where = f" on {safe(retry.source)}" if retry.source else ""
    console.print(
        f"[yellow]retry:[/] {safe(name)}: attempt {retry.attempt}{where} failed: {safe(reason)}"
        f" [dim](next within {retry.wait:g} s)[/]",
        soft_wrap=not console.is_terminal,
    )
