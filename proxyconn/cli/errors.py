"""How a command ends: exit codes, and errors told in one paragraph."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Callable, Coroutine
from typing import Any

import typer
from bleak.exc import BleakError

from proxyconn.cli.config_file import ConfigError
from proxyconn.cli.output import safe, stderr
from proxyconn.errors import ErrorKind, InvalidKeyError, ProxyconnError

FAILED = 1
"""Bluetooth, or a proxy, did not do what was asked."""

WARNED = 3
"""`doctor` has found nothing that does not work, but something that could be better."""

BAD_USAGE = 2
"""The command line or the configuration cannot be meant so; as typer's own."""

INTERRUPTED = 130
"""Ctrl-C: 128 + SIGINT, as shells report it."""

TERMINATED = 143
"""128 + SIGTERM."""


class CommandFailedError(Exception):
    """The command did not do what was asked; the text says why."""


def run(
    command: Coroutine[Any, Any, None],
    make_loop: Callable[[], asyncio.AbstractEventLoop] | None = None,
) -> None:
    """Run a command to its end, or until a signal; links are closed before this returns.

    Args:
        command: what to run.
        make_loop: makes the event loop; None for the usual one.

    Raises:
        typer.Exit: with the exit code of anything but success.
    """
    try:
        with asyncio.Runner(loop_factory=make_loop) as runner:
            runner.run(_until_terminated(command))
    except KeyboardInterrupt:
        raise typer.Exit(INTERRUPTED) from None
    except asyncio.CancelledError:
        raise typer.Exit(TERMINATED) from None
    except (ConfigError, InvalidKeyError) as exc:
        raise fail(describe(exc), BAD_USAGE) from None
    except BrokenPipeError:
        # Whoever read our output has gone: typer knows how to end quietly.
        raise
    except (CommandFailedError, BleakError, OSError, TimeoutError) as exc:
        raise fail(describe(exc)) from None


async def _until_terminated(command: Coroutine[Any, Any, None]) -> None:
    """Make SIGTERM a cancellation, so that it leaves no more behind than Ctrl-C does."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    # Not on Windows, nor off the main thread: there a proxy frees what a lost session held.
    with contextlib.suppress(NotImplementedError, RuntimeError):
        loop.add_signal_handler(signal.SIGTERM, task.cancel)
    await command


def fail(message: str, code: int = FAILED) -> typer.Exit:
    """Print why a command ends; return what to raise."""
    console = stderr()
    console.print(
        f"[bold red]error:[/] {safe(message)}",
        highlight=False,
        soft_wrap=not console.is_terminal,
    )
    return typer.Exit(code)


def describe(error: BaseException) -> str:
    """Return an error as one paragraph."""
    text = " ".join(str(error).split()) or f"no answer in time ({type(error).__name__})"
    if isinstance(error, ProxyconnError) and error.kind is ErrorKind.SECURITY:
        return f"{text}. If the device asks for pairing, add --pair."
    return text
