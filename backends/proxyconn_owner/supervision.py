"""Keeps whoever runs the owner informed, and reads the configuration again when told to.

systemd: readiness and watchdog by its notification socket (sd_notify(3)), which sdnotify speaks.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Self

import sdnotify

from proxyconn.callbacks import log_failure
from proxyconn.cli.config_file import Stamp, stamp_of

LOOK_EVERY: Final = 2.0
"""Seconds between two looks at the configuration file."""

NOTIFY_VARIABLE: Final = "NOTIFY_SOCKET"
"""Environment variable: where systemd listens to a service."""

WATCHDOG_VARIABLE: Final = "WATCHDOG_USEC"
"""Environment variable: microseconds after which systemd takes a silent service for dead."""

_LOGGER = logging.getLogger(__name__)

Reload = Callable[[], Awaitable[None]]


class FileChanges:
    """Decides when a file that changed is to be read again: once it was left alone for one look.

    A file that is not there, or is empty, is one that is being saved.

    Args:
        stamp: of the file that was read; None if there was none.
    """

    def __init__(self, stamp: Stamp | None) -> None:
        self._read = stamp
        self._seen = stamp

    def is_to_be_read(self, stamp: Stamp | None) -> bool:
        """Take another look at the file; return whether to read it now."""
        left_alone, self._seen = stamp == self._seen, stamp
        if not left_alone or stamp is None or not stamp[1] or stamp == self._read:
            return False
        self._read = stamp
        return True


class Supervisor:
    """Runs beside the owner from its start to its end, in an `async with`.

    Args:
        file: the configuration file; None if there is none to look at.
        read: its stamp before it was read; None if there was nothing to read.
        left_alone: called when the terminal that the owner was started in has been closed, unless
            it was told to outlive it, as by nohup.
    """

    def __init__(
        self, file: Path | None, read: Stamp | None, left_alone: Callable[[], None]
    ) -> None:
        self._file = file
        self._left_alone = left_alone
        self._has_terminal = False
        self._changes = FileChanges(read)
        # Where nobody listens, it would leave a socket open.
        is_service = NOTIFY_VARIABLE in os.environ
        self._notifier = sdnotify.SystemdNotifier() if is_service else None
        self._asked = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._file is not None:
            self._tasks.append(loop.create_task(self._follow(self._file)))
        if microseconds := os.environ.get(WATCHDOG_VARIABLE, ""):
            self._tasks.append(loop.create_task(self._feed(int(microseconds) / 2e6)))
        for task in self._tasks:
            task.add_done_callback(log_failure)
        # Without a handler it would end the process.
        with contextlib.suppress(NotImplementedError, RuntimeError):
            outlives = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
            self._has_terminal = not outlives and _has_terminal()
            loop.add_signal_handler(signal.SIGHUP, self._hung_up)
        return self

    def _hung_up(self) -> None:
        """SIGHUP says that somebody asks for the configuration, or that the terminal is gone."""
        if self._has_terminal and not _has_terminal():
            self._left_alone()
        else:
            self._asked.set()

    async def __aexit__(self, *exc_info: object) -> None:
        with contextlib.suppress(NotImplementedError, RuntimeError):
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        await _end(self._tasks)

    @contextlib.asynccontextmanager
    async def clients_are_welcome(self, reload: Reload) -> AsyncIterator[None]:
        """Say that the owner is ready, and read its configuration again until the block is left.

        What was asked for during the start is done then.

        Args:
            reload: reads the configuration again and applies it; raises nothing.
        """
        reloading = asyncio.get_running_loop().create_task(self._reload_when_asked(reload))
        reloading.add_done_callback(log_failure)
        self._notify("READY=1")
        try:
            yield
        finally:
            self._notify("STOPPING=1")
            await _end([reloading])

    async def _reload_when_asked(self, reload: Reload) -> None:
        while True:
            await self._asked.wait()
            self._asked.clear()
            await reload()

    async def _follow(self, file: Path) -> None:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if self._changes.is_to_be_read(await asyncio.to_thread(_stamp, file)):
                self._asked.set()

    def _notify(self, state: str) -> None:
        if self._notifier:
            self._notifier.notify(state)

    async def _feed(self, seconds: float) -> None:
        while True:
            self._notify("WATCHDOG=1")
            await asyncio.sleep(seconds)


async def _end(tasks: Sequence[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _has_terminal() -> bool:
    """Whether this process belongs to a terminal that is there (tty(4): ENXIO where it is not)."""
    try:
        os.close(os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY))
    except OSError:
        return False
    return True


def _stamp(file: Path) -> Stamp | None:
    """Return the stamp of a file; None if it is not there."""
    try:
        return stamp_of(file.stat())
    except OSError:
        return None
