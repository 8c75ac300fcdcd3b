"""Runs `proxyconn` with a wall clock that signals set: SIGUSR1 an hour on, SIGUSR2 two back."""

from __future__ import annotations

import runpy
import signal
import time

HOUR = 3600.0

ON, BACK = signal.SIGUSR1, signal.SIGUSR2

PROGRAM = [__file__]
"""What Python is to run."""


def main() -> None:
    """Replace what tells the time before anything else asks for it."""
    ahead = 0.0
    told, told_ns = time.time, time.time_ns

    def step(number: int, _: object) -> None:
        nonlocal ahead
        ahead += HOUR if number == ON else -2 * HOUR

    for number in (ON, BACK):
        signal.signal(number, step)
    time.time = lambda: told() + ahead
    time.time_ns = lambda: told_ns() + int(ahead * 1e9)
    runpy.run_module("proxyconn", run_name="__main__")


if __name__ == "__main__":
    main()
