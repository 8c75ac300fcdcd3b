"""The runs of programs that share one state: who lives, and when the others were last alive.

A run that has written something holds a lock on a file of its own, which the system lets go
whatever ends the process, and touches that file every BEAT seconds.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import secrets
import sys
import time
from math import inf
from pathlib import Path
from typing import Final

if sys.platform != "win32":
    import fcntl

BEAT: Final = 20.0
"""Seconds between two signs of life."""

KEPT: Final = 86_400.0
"""Seconds for which the file of a run that has ended is kept."""

PATTERN: Final = "run-{}.lock"

_LOGGER = logging.getLogger(__name__)


class Runs:
    """The runs of one state folder.

    Args:
        folder: where the state is; None if it is kept nowhere.

    Attributes:
        me: name of this run: number of its process, and something random.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.me = f"{os.getpid()}-{secrets.token_hex(4)}"
        self._folder = folder
        self._file: int | None = None
        self._seen: dict[str, float | None] = {}
        self._task: asyncio.Task[None] | None = None

    def silence(self, run: str) -> float | None:
        """Return for how many seconds a run has been dead at most; None while it lives.

        Infinite if nothing is known of it.
        """
        if run == self.me:
            return None
        at = self._seen.get(run, -inf)
        return None if at is None else max(0.0, time.time() - at)

    async def open(self) -> None:
        """Look who lives, and go on looking if anybody does."""
        if self._folder is None:
            return
        await asyncio.to_thread(self.look)
        if None in self._seen.values():
            self.watch()

    def watch(self) -> None:
        """Go on looking, and giving signs of life, until closed."""
        if self._task is None and self._folder is not None:
            self._task = asyncio.get_running_loop().create_task(self._live())

    async def aclose(self) -> None:
        """End this run; idempotent."""
        if self._task:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
            self._task = None
        if self._file is None:
            return
        try:
            await asyncio.to_thread(self._end)
        except RuntimeError:
            # The interpreter is ending, and starts no more threads.
            self._end()

    async def _live(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            await asyncio.to_thread(self.look)

    def begin(self) -> None:
        """Let others see that this run lives; idempotent. Blocks. Raises OSError."""
        if self._folder is None or self._file is not None:
            return
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._path(self.me)
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if sys.platform != "win32":
                # Whoever looks at it has it for an instant.
                fcntl.flock(file, fcntl.LOCK_EX)
        except OSError as exc:
            # Others go by its signs of life where there are no locks.
            _LOGGER.debug("%s cannot be locked: %s", path, exc)
        self._file = file

    def lives(self, run: str) -> bool:
        """Whether a run lives that is another one. Blocks."""
        if self._folder is None or run == self.me:
            return False
        path = self._path(run)
        try:
            return _is_locked(path, path.stat().st_mtime)
        except OSError:
            return False

    def look(self) -> None:
        """Give a sign of life, and look who else does. Blocks."""
        assert self._folder is not None
        there: set[str] = set()
        try:
            if self._file is not None:
                os.utime(self._path(self.me))
            for path in self._folder.glob(PATTERN.format("*")):
                run = path.name[len("run-") : -len(".lock")]
                if run != self.me and self._is_there(path, run):
                    there.add(run)
        except OSError as exc:
            _LOGGER.debug("runs in %s: %s", self._folder, exc)
            return
        for run, at in self._seen.items():
            if at is None and run not in there:
                # It has ended in order since, and taken its file along.
                self._seen[run] = time.time()

    def _is_there(self, path: Path, run: str) -> bool:
        """Look at a run; False if its file has gone meanwhile."""
        try:
            self._look_at(path, run)
        except FileNotFoundError:
            return False
        return True

    def _look_at(self, path: Path, run: str) -> None:
        at = path.stat().st_mtime
        alive = _is_locked(path, at)
        self._seen[run] = None if alive else at
        if not alive and time.time() - at > KEPT:
            path.unlink(missing_ok=True)

    def _path(self, run: str) -> Path:
        assert self._folder is not None
        return self._folder / PATTERN.format(run)

    def _end(self) -> None:
        file, self._file = self._file, None
        if file is None:
            return
        with contextlib.suppress(OSError):
            self._path(self.me).unlink(missing_ok=True)
        os.close(file)


def _is_locked(path: Path, touched: float) -> bool:
    """Whether a run holds the lock on its file; by its signs of life where there are no locks."""
    gives_signs = time.time() - touched < 3 * BEAT
    if sys.platform == "win32":
        return gives_signs
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return gives_signs
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return gives_signs
    finally:
        os.close(file)
    return False
