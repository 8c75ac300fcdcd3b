"""The processes that a benchmark is made of."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from typing import Any

LAST_WORDS = 10.0
"""Seconds that a process has to end by itself."""


class Process:
    """A module, run in a process of its own, that talks in lines of JSON.

    Args:
        stack: ends the process.
        module: its name within this package.
        arguments: of its command line; the first one is part of its name.
    """

    def __init__(self, stack: ExitStack, module: str, *arguments: str) -> None:
        self.name = " ".join((module, *arguments[:1]))
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-m", f"{__package__}.{module}", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self._end)

    def _end(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        try:
            self._process.wait(LAST_WORDS)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def tell(self, order: object) -> None:
        """Send a line."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return the next line. Raises RuntimeError if the process has ended."""
        assert self._process.stdout
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} has ended; its error is above")
        return json.loads(line)

    def ask(self, order: object) -> Any:
        """Send a line, and return the next one. Raises RuntimeError if the process has ended."""
        self.tell(order)
        return self.hear()
