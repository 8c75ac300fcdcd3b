"""Lets one owner run for each user, and says who the other one is."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from proxyconn.fleet.owner_socket import USERS_VARIABLE
from proxyconn.state.file import StateError

LOCK: Final = "owner.lock"


class OwnerRunningError(Exception):
    """Another owner runs.

    Attributes:
        who: which, in words.
    """

    def __init__(self, who: str) -> None:
        super().__init__(who)
        self.who = who

    def __str__(self) -> str:
        return f"an owner runs already: {self.who}; use it (every command does), or end it first"


@contextmanager
def only_owner(folder: Path) -> Iterator[None]:
    """Be the only owner of this user until the block is left.

    Raises:
        OwnerRunningError: another one runs.
        StateError: the folder cannot be made or written.
    """
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = (folder / LOCK).open("a+", encoding="utf-8")
    except OSError as exc:
        raise StateError(
            f"{folder}: {exc.strerror}; give this user the right to it, or name another runtime "
            f"folder in {USERS_VARIABLE}"
        ) from None
    with lock as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise OwnerRunningError(file.read().strip() or "somebody") from None
        file.truncate(0)
        file.write(f"process {os.getpid()} of user {os.getuid()}")
        file.flush()
        yield
        file.truncate(0)
