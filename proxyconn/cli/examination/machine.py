"""What is the matter with this machine, whatever radios it has."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

import proxyconn
from proxyconn.keys import is_open_to_others
from proxyconn.models import Finding, Level
from proxyconn.state.file import StateError, StateFile
from proxyconn.state.folder import state_folder

CLOCK_SLACK = 300.0
"""Seconds by which a clock may be wrong without harm: it only tells how old a memory is."""


def of_machine(configuration: Path | None) -> list[Finding]:
    """Return what is found about the clock, the configuration and what is remembered. Blocks.

    Args:
        configuration: the file, whether it is there or not.
    """
    return [
        *_of_state(state_folder(), time.time()),
        *([_of_configuration(configuration)] if configuration else []),
    ]


def of_installation(checks: Sequence[object]) -> list[Finding]:
    """Return what is wrong if nothing that is installed can look at any radio."""
    if checks:
        return []
    seen = "nothing that is installed can look at proxies or adapters: nothing about them is known"
    advice = "install it anew: pip install --force-reinstall proxyconn"
    return [Finding("installation", Level.PROBLEM, None, seen, advice)]


def _of_state(folder: Path, now: float) -> list[Finding]:
    file = StateFile(folder)
    try:
        times = [fact.at for fact in file.read().values()]
    except StateError as exc:
        return [Finding("state", Level.WARNING, None, str(exc))]
    installed = Path(proxyconn.__file__).stat().st_mtime
    latest = max([installed, *times])
    if latest > now + CLOCK_SLACK:
        return [
            Finding(
                "clock",
                Level.WARNING,
                None,
                f"the clock says {_text(now)}, but proxyconn was at work at {_text(latest)}",
                "set the clock, by NTP for example, and then `proxyconn state --forget-all` if it "
                "had been ahead",
            )
        ]
    return [Finding("clock", Level.OK, None, f"the clock says {_text(now)}")]


def _text(at: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime(at))


def _of_configuration(file: Path) -> Finding:
    try:
        mode = file.stat().st_mode
    except FileNotFoundError:
        return Finding(
            "configuration",
            Level.NOTE,
            None,
            f"there is no {file}",
            "`proxyconn init` writes one",
        )
    if is_open_to_others(mode):
        return Finding(
            "configuration",
            Level.WARNING,
            None,
            f"others can read {file}",
            f"run: chmod 600 {file}",
        )
    return Finding("configuration", Level.OK, None, f"{file} is in use")
