"""`proxyconn run`: any bleak program, unchanged, through the fleet."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable
from typing import Annotated

import typer
from bleak.exc import BleakError

from proxyconn.cli.background_fleet import BackgroundFleet
from proxyconn.cli.errors import BAD_USAGE, describe, fail
from proxyconn.cli.fleet_session import Settings
from proxyconn.cli.logs import set_up_logging_apart
from proxyconn.cli.options import settings_command
from proxyconn.cli.output import safe, stderr
from proxyconn.programs.launch import Program, ProgramNotFoundError, find_program
from proxyconn.programs.replaced_threading import keep_ends_of_threads_quiet


@settings_command
def run(
    settings: Settings,
    *,
    ctx: typer.Context,
    program: Annotated[
        str, typer.Argument(metavar="PROGRAM", help="Script, or name of a command on PATH.")
    ],
    arguments: Annotated[
        list[str] | None, typer.Argument(metavar="ARGS", help="Arguments of the program.")
    ] = None,
    is_module: Annotated[
        bool, typer.Option("-m", help="PROGRAM is a module, as for python -m.")
    ] = False,
) -> None:
    """Run a Python program that uses bleak, unchanged, through the proxies.

    Its scanners hear what any proxy hears, and its clients connect through the best one. Options
    of proxyconn go before PROGRAM; what follows it is the program's. The exit code is the
    program's.
    """
    found = _find(program, tuple(arguments or ()), is_module=is_module)
    set_up_logging_apart(verbose=settings.verbose)
    fleet = BackgroundFleet(settings, _warn)
    try:
        fleet.open()
    except (BleakError, OSError) as exc:
        raise fail(describe(exc)) from None
    # Registered before the program can do so, it is called after whatever the program registers,
    # and not before the program's threads have ended.
    atexit.register(fleet.close)
    # Whoever called the command line starts the program, once that has been left.
    starts: list[Callable[[], None]] = ctx.obj
    starts.append(functools.partial(_start, found, fleet))


def _start(program: Program, fleet: BackgroundFleet) -> None:
    try:
        program.run()
    finally:
        fleet.needed = False
        keep_ends_of_threads_quiet()


def _find(name: str, arguments: tuple[str, ...], *, is_module: bool) -> Program:
    if name == "-m" and arguments and not is_module:
        # After `--`, this is no option of ours.
        name, *rest = arguments
        return Program(name, tuple(rest), is_module=True)
    if is_module:
        return Program(name, arguments, is_module=True)
    try:
        return Program(str(find_program(name)), arguments)
    except ProgramNotFoundError as exc:
        raise fail(str(exc), BAD_USAGE) from None


def _warn(reason: str) -> None:
    """Say why there will be no Bluetooth; the program goes on without it, or ends by itself."""
    console = stderr()
    console.print(
        f"[yellow]warning:[/] {safe(' '.join(reason.split()))}", soft_wrap=not console.is_terminal
    )
