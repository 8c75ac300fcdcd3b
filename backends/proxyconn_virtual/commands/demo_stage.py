"""How the demo tells what it does: numbered steps, claims that are checked, tables."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console, RenderableType
from rich.markup import escape
from rich.padding import Padding

INDENT = 3
"""Columns that everything under a heading stands in."""


class ClaimError(Exception):
    """Something that the demo claims did not happen; the text is the claim."""


class Stage:
    """Prints the demo, and checks what it claims.

    Args:
        console: where to print.
        clock: returns the time in seconds.
    """

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self.console = console
        self._clock = clock
        self.claims = 0
        self._steps = 0
        self._started = clock()

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return self._clock() - self._started

    @contextmanager
    def step(self, title: str, waiting: str) -> Iterator[None]:
        """Print a heading, then how long the step took; `waiting` is shown meanwhile."""
        self._steps += 1
        self.console.print(f"[bold cyan]{self._steps:>2} {escape(title)}[/]")
        started = self._clock()
        with self.console.status(f"[dim]{escape(waiting)}[/]"):
            yield
        self._line(f"[dim]{self._clock() - started:.2f} s[/]")
        self.console.print()

    def title(self, text: str) -> None:
        """Print the title of a table."""
        self._line(f"[bold]{escape(text)}[/]")

    def say(self, text: str) -> None:
        """Print a sentence."""
        self._line(escape(text))

    def retry(self, text: str) -> None:
        """Print that an attempt failed and another follows."""
        mark = "~" if self.console.options.ascii_only else "↻"
        self._line(f"[yellow]{mark}[/] {escape(text)}")

    def confirm(self, happened: object, claim: str) -> None:
        """Print a claim, if it is true.

        Raises:
            ClaimError: it is not.
        """
        if not happened:
            raise ClaimError(claim)
        self.claims += 1
        mark = "*" if self.console.options.ascii_only else "✓"
        self._line(f"[green]{mark}[/] {escape(claim)}")

    def show(self, picture: RenderableType) -> None:
        """Print a table."""
        self.console.print(Padding.indent(picture, INDENT - 1))

    def _line(self, markup: str) -> None:
        self.console.print(Padding.indent(markup, INDENT))
